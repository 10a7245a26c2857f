"""A notice that the machine is taken away: SIGTERM, some seconds before the end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def notices() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM came, as a function; it ends nothing by itself while the block runs.

    What runs in the block looks at its next boundary, keeps what it has and raises InterruptedStepError. Outside of the
    main thread no signal can be heard, and the answer stays False.
    """
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told.is_set
        return

    def hear(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        told.set()

    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield told.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
