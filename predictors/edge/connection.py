"""A caller's connection, which holds only so much of the server, whatever the caller does or leaves undone.

Uvicorn itself waits for the rest of a request for ever, and for a caller to take its answer; it keeps as long a head as
comes (in time that grows with its square), and as many requests as come before the first is answered. Trailers are
headers to it where they come together. Of a request that offers HTTP/2, as the first one of Java's own client does,
it loses the body, and the connection for whatever follows.
"""

import asyncio
import resource
import sys
from collections.abc import Sized
from http import HTTPStatus
from typing import Any

import httptools
import orjson
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from predictors.edge.body import MAX_BODY

# Bytes of a request's line and headers, and of whatever else comes before the next byte of its body: marks of chunks,
# trailers. Give or take what is read at once.
MAX_HEAD = 64 * 1024
# From a request's first byte to its last, from a connection to its first request, and for its answers to be taken.
REQUEST_SECONDS = 60
# Bytes of a whole request: a body in tiny chunks is several times as long on the wire.
_MAX_MESSAGE = 8 * MAX_BODY
# Bytes that are parsed at once: some hundred requests, if they are as short as can be.
_PIECE = 8 * 1024
# The other half of the open files is for the log, the online store and gRPC.
_MOST = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


def is_reset(error: RuntimeError) -> bool:
    """Whether it is uvloop's, of a connection that was reset when uvicorn does not know of it yet."""
    return str(error).endswith("the handler is closed")


class _Trailers(list[tuple[bytes, bytes]]):
    """Where they go: nobody asks for them, and they are no headers, so that a proxy has not looked at them."""

    def append(self, _: tuple[bytes, bytes]) -> None:
        """Forget it."""


TRAILERS = _Trailers()


class _Flow(FlowControl):
    """Uvicorn's, that reads no more while there is something `unread` or a request waits for those before it."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized, unread: Sized) -> None:
        super().__init__(transport)
        self._waiting, self._unread = waiting, unread

    def resume_reading(self) -> None:
        """Read again, if it is time."""
        if self.read_paused and not self._waiting and not self._unread:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """Uvicorn's connection, bounded in the size of a request, in the time that it and its answer may take, and in the
    requests that wait."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._seen, self._allowed = 0, MAX_HEAD
        self._left: list[bytes | memoryview] = []  # what is still to be parsed, the next at the end
        self._parsed: bytes | memoryview = b""  # what the parser has, or had last
        # Seconds that a request is waited for, None while none is due.
        self._waited: int | None = 0
        self._untaken = 0  # seconds in a row in which something is left of an answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, unless there are too many."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline, self._left)
        if len(self.connections) > _MOST:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended; uvicorn forgets the timer where the caller reset it, and would keep all of this."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Take part of a request."""
        if self._seen > self._allowed:
            text = f"the head, or what is between the bytes of the body, has more than {MAX_HEAD} bytes"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
            return
        self._seen += len(data)
        if self._waited is None:
            # It may be nothing that begins a request.
            self._waited = 0
        if len(data) > _PIECE or self._left:
            whole = memoryview(data)
            self._left[:0] = [whole[place : place + _PIECE] for place in range(0, len(data), _PIECE)][::-1]
        else:
            self._parsed = data
            super().data_received(data)
        if self._left:
            self._go_on()

    def _go_on(self) -> None:
        """Parse what is left, until a request has to wait for those before it."""
        while self._left and not self.pipeline and not self.transport.is_closing():
            self._parsed = self._left.pop()
            super().data_received(self._parsed)  # type: ignore[arg-type]
        if self.transport.is_closing():
            self._left.clear()
        elif self.flow.read_paused and len(self.cycle.body) <= HIGH_WATER_LIMIT:
            self.flow.resume_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Uvicorn's, of a request that comes or has waited."""
        super()._start_asgi_task(cycle, app)
        if self._left:
            self.loop.call_soon(self._go_on)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._seen, self._allowed, self._waited = 0, MAX_HEAD, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin its body."""
        self._allowed = self._seen + MAX_HEAD
        if not self._offers():
            super().on_headers_complete()
            self.headers = TRAILERS

    def on_body(self, body: bytes) -> None:
        """Take a part of it."""
        self._allowed = min(self._seen + MAX_HEAD, _MAX_MESSAGE)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if not self._offers():
            self._seen, self._allowed, self._waited = 0, MAX_HEAD, None
            super().on_message_complete()

    def _offers(self) -> bool:
        """Whether the request offers another protocol, so that its body is not parsed. CONNECT has none."""
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _unsupported_upgrade_warning(self) -> None:
        """Uvicorn's, of an offer that it does not take: read the request as one without it.

        The parser stopped for good behind the head, so another one goes on.
        """
        stopped = sys.exception()
        if not self._offers() or not isinstance(stopped, httptools.HttpParserUpgrade):
            self._refuse(HTTPStatus.BAD_REQUEST, "CONNECT: this is no proxy; allowed is what /openapi.json tells")
            return
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [b"%b: %b" % pair for pair in self.headers if pair[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._left += [memoryview(self._parsed)[stopped.args[0] :], b"\r\n".join([line, *kept, b"", b""])]

    def second_passed(self) -> None:
        """End the connection whose request takes too long to come, or whose answer is not taken."""
        self._untaken = self._untaken + 1 if self.transport.get_write_buffer_size() else 0
        if self._untaken > REQUEST_SECONDS:
            # Closed, it would wait for the caller to take the rest.
            self.transport.abort()
        if self._waited is None or self.flow.read_paused:
            return
        self._waited += 1
        if self._waited > REQUEST_SECONDS:
            text = f"the request was not whole within {REQUEST_SECONDS} s"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, text)

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        """End the connection, with an answer where no other was begun or is under way."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or self._alone():
            body = orjson.dumps({"error": text})
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    def _alone(self) -> bool:
        """Whether the request that is not whole is the one that is being answered, and nothing is said yet."""
        return self.cycle.more_body and not self.pipeline and not self.cycle.response_started
