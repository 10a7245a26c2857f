"""What the prediction log loses: counted at once, and said in one line a minute."""

import logging
import threading
import time
from collections.abc import Callable

_EVERY = 60.0  # seconds
logger = logging.getLogger(__name__)


class Drops:
    """Counts rows that are lost, and says how many and why; any thread may call it."""

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count
        self._guard = threading.Lock()
        self._rows = 0
        self._cause = ""
        self._next = 0.0

    def add(self, rows: int, cause: object) -> None:
        """`rows` rows were lost."""
        with self._guard:
            self._rows += rows
            self._cause = str(cause)
        self.tell()
        self._count(rows)

    def tell(self, *, now: bool = False) -> None:
        """Say what was lost since the last time, if that is a minute ago, or `now`."""
        with self._guard:
            rows, due = self._rows, now or time.monotonic() >= self._next
            if not rows or not due:
                return
            self._rows, self._next = 0, time.monotonic() + _EVERY
        logger.error("%d rows of the prediction log are lost: %s", rows, self._cause)


class Trouble:
    """Says that something fails, in one line a minute for as long as it does."""

    def __init__(self) -> None:
        self._next = 0.0

    def tell(self, text: str, *arguments: object) -> None:
        """Say it, unless it was said within the last minute."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            logger.error(text, *arguments)

    def over(self) -> None:
        """It works again: the next failure is said at once."""
        self._next = 0.0
