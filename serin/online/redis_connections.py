"""Connections to a Redis server: those that write, and those of an event loop that reads."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from serin.online.config import RedisConfig

_READ_SECONDS, _WRITE_SECONDS, _CLOSE_SECONDS = 5.0, 60.0, 1.0
_IDLE = 64  # connections kept open a loop


def client(config: RedisConfig) -> redis.Redis:
    """The client that writes. A server that is away is asked twice, at once: all that is written can be written twice.

    Raises TypeError where the client has no such option.
    """
    return redis.Redis(**_options(config), retry=Retry(NoBackoff(), 1))


class Readers:
    """Connections of one event loop. One that fails is closed, and the next request opens another."""

    def __init__(self, config: RedisConfig) -> None:
        # One timer for all of a request's replies, in place of one for each.
        options = _options(config) | {"socket_timeout": None, "socket_connect_timeout": None}
        pool = redis.asyncio.Redis(**options, retry=AsyncRetry(NoBackoff(), 0)).connection_pool
        self._make: Callable[[], Any] = pool.make_connection
        self._seconds = float(config.options.get("socket_timeout") or _READ_SECONDS)
        self._idle: list[Any] = []
        self._leaving: list[Any] = []
        self._guard = self._until_the_loop_ends()

    async def open(self) -> None:
        """Have the connections closed with the loop: it ends its asynchronous generators before itself."""
        await anext(self._guard)
        _OPEN.add(self)

    async def ask(self, lines: list[bytes]) -> list[Any]:
        """The replies to commands that are sent at once; nothing is changed by them.

        A connection that was idle may be one to a server that is gone: then a new one is tried, once.
        Raises RedisError, OSError, TimeoutError.
        """
        try:
            async with asyncio.timeout(self._seconds):
                if self._idle:
                    try:
                        return await self._asked(self._idle.pop(), lines)
                    except redis.ConnectionError:
                        self.close()
                return await self._asked(self._make(), lines)
        except TimeoutError:
            raise TimeoutError(f"no answer within {self._seconds:g} s") from None

    async def _asked(self, connection: Any, lines: list[bytes]) -> list[Any]:
        try:
            await connection.connect()
            await connection.send_packed_command(b"".join(lines))
            replies = [await connection.read_response() for _ in lines]
        except BaseException:
            # Replies may be left in it, which the next one to use it would take for its own.
            await connection.disconnect(nowait=True)
            raise
        if len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            await connection.disconnect(nowait=True)
        return replies

    def close(self) -> None:
        """Close what is idle, soon. It is called in the loop."""
        self._leaving += self._idle
        self._idle.clear()
        self._task = asyncio.ensure_future(self._leave())

    async def _leave(self) -> None:
        while self._leaving:
            await self._leaving.pop().disconnect(nowait=True)

    async def _until_the_loop_ends(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._leaving += self._idle
            self._idle.clear()
            # To the end of each, for nothing runs in this loop later; a server that hangs is not waited for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    while self._leaving:
                        await self._leaving.pop().disconnect()
            _OPEN.discard(self)


# A loop knows its generators by weak references.
_OPEN: set[Readers] = set()


def _options(config: RedisConfig) -> dict[str, Any]:
    timeouts = {"socket_timeout": _WRITE_SECONDS, "socket_connect_timeout": _READ_SECONDS}
    return {
        "socket_keepalive": True,
        **timeouts,
        **config.options,
        "host": config.host,
        "port": config.port,
        "protocol": 2,
    }
