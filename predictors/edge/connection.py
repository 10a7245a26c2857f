"""A caller's connection, which holds only so much of the server, whatever the caller does or leaves undone.

Uvicorn itself waits for the rest of a request for ever, and for a caller to take its answer; it keeps as long a head as
comes (in time that grows with its square). Of a request that offers HTTP/2, as the first one of Java's own client does,
it loses the body, and the connection for whatever follows.
"""

import asyncio
import resource
import sys
from http import HTTPStatus
from typing import Any

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from predictors.edge.body import MAX_BODY

MAX_HEAD = 64 * 1024  # bytes of a request's line and headers, give or take what is read at once
# From a request's first byte to its last, from a connection to its first request, and for its answers to be taken.
REQUEST_SECONDS = 60
# Bytes of a whole request: a body in tiny chunks is several times as long on the wire.
_MAX_MESSAGE = 8 * MAX_BODY
# The other half of the open files is for the log, the online store and gRPC.
_MOST = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


def is_reset(error: RuntimeError) -> bool:
    """Whether it is uvloop's, of a connection that was reset when uvicorn does not know of it yet."""
    return str(error).endswith("the handler is closed")


class Connection(HttpToolsProtocol):
    """Uvicorn's connection, bounded in the size of a request, and in the time that it and its answer may take."""

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
        if len(self.connections) > _MOST:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take part of a request."""
        if self._seen > self._allowed:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head has more than {MAX_HEAD} bytes")
            return
        self._seen += len(data)
        self._parsed = data
        super().data_received(data)
        while self._left and not self.transport.is_closing():
            self._parsed = self._left.pop()
            super().data_received(self._parsed)  # type: ignore[arg-type]
        self._left.clear()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._seen, self._allowed, self._waited = 0, MAX_HEAD, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin its body."""
        self._allowed = _MAX_MESSAGE
        if not self._offers():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        if not self._offers():
            self._waited = None
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
        if self._waited is None:
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
