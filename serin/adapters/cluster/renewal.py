"""Keeping a lease: a thread that renews it, and what happens to the work when it can't."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from serin.errors import ConflictError, SerinError, UnavailableError

if TYPE_CHECKING:
    from serin.adapters.cluster.lease import Record

# Nothing else in Serin uses it, and unlike SIGINT it is not ignored in a shell's background.
_SIGNAL = signal.SIGUSR2


@dataclass(frozen=True)
class Times:
    """In seconds: how long a lease lasts, how often it is renewed, after how long without that the work is
    interrupted, and how often one that another has is looked at.

    One attempt to renew takes up to 8 s, and the interruption must come before the lease may be taken over.
    """

    duration: float = 30.0
    renew: float = 5.0
    deadline: float = 20.0
    poll: float = 1.0


class _InterruptError(BaseException):
    """Raised in the main thread, past every `except Exception`."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise _InterruptError


@contextmanager
def interruptible() -> Iterator[int | None]:
    """A block that can be interrupted; gives the thread to signal, None outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    before = signal.signal(_SIGNAL, _interrupt)
    try:
        yield threading.main_thread().ident
    finally:
        signal.signal(_SIGNAL, signal.SIG_DFL if before is None else before)


class Renewal:
    """Renews a lease while its block runs, which it interrupts in the thread `target` when the lease is lost.

    Its block then ends with UnavailableError; `record` is the lease as it was written last, `lost` why it was lost.
    """

    def __init__(self, renew: "Callable[[Record], Record]", record: "Record", times: Times, target: int | None) -> None:
        self.record, self.lost = record, ""
        self._renew, self._times, self._target = renew, times, target
        self._ended = threading.Event()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"lease {record.name}", daemon=True)

    def __enter__(self) -> "Renewal":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The interruption may come just now, and must not leave the thread behind.
        with suppress(_InterruptError), self._guard:
            self._ended.set()
        self._ended.set()
        self._thread.join()
        if self.lost and (kind is None or issubclass(kind, _InterruptError)):
            raise UnavailableError(
                f"{self.record.name}: its lease was lost, and the work was interrupted: {self.lost}. What was written "
                "stays; run the same command again to go on"
            ) from None

    def _run(self) -> None:
        last, pause = time.monotonic(), self._times.renew
        while not self._ended.wait(pause):
            start = time.monotonic()
            try:
                self.record = self._renew(self.record)
                last, pause = start, self._times.renew
            except ConflictError as error:
                self._lose(str(error))
                return
            except SerinError as error:
                pause = min(self._times.poll, self._times.renew)
                if time.monotonic() - last > self._times.deadline:
                    self._lose(str(error))
                    return

    def _lose(self, why: str) -> None:
        with self._guard:
            if self._ended.is_set():
                return
            self.lost = why
            if self._target is not None:
                signal.pthread_kill(self._target, _SIGNAL)
