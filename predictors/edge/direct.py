"""Requests that are answered without ASGI: whole ones of hot routes, as nearly all are.

Uvicorn's scope, cycle and messages take about as long as decoding a row. Its own way stays for whatever is not plain: a
body that comes in parts, a caller who waits for "100 Continue", does not read, asks before the last answer is there, or
ends the connection with the request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from predictors.edge.body import Headers, Pairs
from predictors.edge.connection import TRAILERS, Connection, is_reset

Answer = tuple[int, Pairs, bytes]  # status, headers with the body's length, and the body
Handler = Callable[[Headers, bytes], Awaitable[Answer]]  # of a request's headers, their names in lower case, and body

_CLOSE = (b"connection", b"close")


def _nothing() -> None:
    """Follows from an answer."""


class DirectConnection(Connection):
    """A connection that knows what answers its requests."""

    def __init__(self, *arguments: Any, handlers: Mapping[bytes, Handler], **named: Any) -> None:
        """`handlers` answer POST, by the target of the request as it is sent."""
        super().__init__(*arguments, **named)
        self._handlers = handlers
        self._handler: Handler | None = None  # of the request whose body is next
        self._parts: list[bytes] = []  # what came of it
        self._task: asyncio.Task[None] | None = None
        self._defaults: Pairs = []  # headers of all answers, and as they are sent
        self._lines = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection."""
        super().connection_made(transport)
        # Uvicorn asks it whether a request is being answered, and tells it that the caller left or the server ends.
        self._direct = RequestResponseCycle(
            {}, transport, self.flow, self.logger, self.access_logger, False, [], asyncio.Event(), False, True,  # type: ignore[typeddict-item]
            _nothing,
        )  # fmt: skip
        self._direct.more_body = False

    def data_received(self, data: bytes) -> None:
        """Take part of a request; one that is not whole, with a part of its body, is left to uvicorn."""
        super().data_received(data)
        if self._parts:
            self._leave()

    def _go_on(self) -> None:
        """Parse what is left."""
        super()._go_on()
        if self._parts:
            self._leave()

    def shutdown(self) -> None:
        """Uvicorn's, of the server: answer what has begun."""
        if self._handler:
            self._leave()
        super().shutdown()

    def on_headers_complete(self) -> None:
        """Begin the body."""
        handler = self._handlers.get(self.url)
        if handler and self._is_plain():
            self._handler, self.headers = handler, TRAILERS
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of it."""
        if self._handler is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        handler, parts = self._handler, self._parts
        if handler is None:
            super().on_message_complete()
            return
        self._handler, self._parts, self._waited, self._seen = None, [], None, 0
        self._direct.response_complete = False
        self.cycle = self._direct
        self._task = self.loop.create_task(self._answer(handler, self.scope["headers"], b"".join(parts)))
        self.tasks.add(self._task)

    def _is_plain(self) -> bool:
        parser, cycle = self.parser, self.cycle
        return (
            (cycle is None or cycle.response_complete)
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
        )

    def _leave(self) -> None:
        """Leave the request that has begun to uvicorn, unless the connection ends."""
        parts, self._handler, self._parts = self._parts, None, []
        if self.transport.is_closing():
            return
        super().on_headers_complete()
        for part in parts:
            super().on_body(part)

    async def _answer(self, handler: Handler, headers: Headers, body: bytes) -> None:
        try:
            self._say(*await handler(headers, body))
        except BaseException as error:
            self._direct.response_complete = True
            self.logger.error("a request was not answered", exc_info=error)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the request was not answered")
            if not isinstance(error, Exception):
                raise
        finally:
            self.tasks.discard(self._task)

    def _say(self, status: int, headers: Pairs, body: bytes) -> None:
        """Send an answer in one write; nobody needs it where the caller went away."""
        request, defaults = self._direct, self.server_state.default_headers
        if defaults is not self._defaults:
            # Uvicorn makes them anew each second.
            self._defaults = defaults
            self._lines = b"".join(b"%b: %b\r\n" % pair for pair in defaults)
        request.response_complete = True
        if not self.transport.is_closing():
            says_so = _CLOSE in defaults or _CLOSE in headers
            close = b"" if request.keep_alive or says_so else b"\r\nconnection: close"
            own = b"\r\n".join(map(b": ".join, headers))
            try:
                self.transport.write(b"".join((STATUS_LINE[status], self._lines, own, close, b"\r\n\r\n", body)))
            except RuntimeError as error:
                if not is_reset(error):
                    raise
            if says_so or not request.keep_alive:
                self.transport.close()
        self.on_response_complete()
