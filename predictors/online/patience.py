"""One wait for a store that does not answer, not one for each request.

A store that hangs costs whoever asks it the whole time that a read may take. Once it did, one read at a time finds out
whether it is back, with less time; whoever else asks meanwhile is told at once what the last one met.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from serin.errors import UnavailableError

TRY_SECONDS = 1.0  # for a read that finds out whether the store is back
RETRY_AFTER = 1  # seconds; until then one read has found out

_T = TypeVar("_T")


class Patience:
    """Reads of one store. All is called on one event loop."""

    def __init__(self) -> None:
        self._away: UnavailableError | None = None
        self._trying = False

    async def read(self, read: Callable[[], Awaitable[_T]]) -> _T:
        """What `read` gives. Raises UnavailableError as it does, or in its place, and with when to ask again."""
        if self._away is None:
            return await self._told(read)
        if self._trying:
            raise _away(self._away)
        self._trying = True
        try:
            async with asyncio.timeout(TRY_SECONDS):
                return await self._told(read)
        except TimeoutError:
            raise _away(self._away) from None
        finally:
            self._trying = False

    async def _told(self, read: Callable[[], Awaitable[_T]]) -> _T:
        try:
            found = await read()
        except UnavailableError as error:
            self._away = error
            raise _away(error) from error
        self._away = None
        return found


def _away(error: UnavailableError) -> UnavailableError:
    return UnavailableError(str(error), RETRY_AFTER)
