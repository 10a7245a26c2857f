"""What the process does when it is told to end (SIGTERM, SIGINT, SIGHUP), from its first moment to its last.

It imports nearly nothing: whatever is imported before `take` is a time in which a signal kills the process.
"""

import signal
from collections.abc import Callable
from types import FrameType


class ToldToEnd(SystemExit):
    """The process was told to end while it had nothing to finish."""


class Signals:
    """Who is told. While the process starts that is nobody: it leaves by ToldToEnd, wherever it is."""

    def __init__(self) -> None:
        self._listener: Callable[[], object] = _leave
        self.came = False  # a signal; code that was interrupted may have lost ToldToEnd

    def take(self) -> None:
        """Take the signals from now on; for the main thread. What nohup started outlives its terminal."""
        signal.signal(signal.SIGINT, self._take)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._take)
        signal.signal(signal.SIGTERM, self._take)

    def tell(self, listener: Callable[[], object]) -> None:
        """Tell `listener` of signals from now on; in the main thread, between any two steps of what that does."""
        self._listener = listener

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        self._listener()


def _leave() -> None:
    raise ToldToEnd(0)
