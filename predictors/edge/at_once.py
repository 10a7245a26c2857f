"""What most requests are: a body that is here already, and an answer that is whole.

Both pass uvicorn's ASGI messages by, which cost as much as decoding and encoding together. Uvicorn's own way stays for
all others: a body that is still coming, a caller who waits for "100 Continue" or reads slowly.
"""

from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

Pairs = Sequence[tuple[bytes, bytes]]

_OK = STATUS_LINE[200]


def body_of(receive: Any) -> bytes | None:
    """The body of the request that `receive` is of, where all of it has come; None where it has to be asked for."""
    cycle = getattr(receive, "__self__", None)
    if type(cycle) is not RequestResponseCycle or cycle.more_body or cycle.disconnected:
        return None
    if cycle.waiting_for_100_continue or cycle.response_complete or len(cycle.body) > HIGH_WATER_LIMIT:
        return None
    body = bytes(cycle.body)
    cycle.body = bytearray()
    cycle.message_event.clear()
    cycle.flow.resume_reading()
    return body


class Answers:
    """Whole answers of 200, in one write each."""

    def __init__(self) -> None:
        self._headers: Pairs | None = None
        self._lines, self._closes = b"", False

    def given(self, send: Any, headers: Pairs, body: bytes) -> bool:
        """Answer the request that `send` is of; whether that was possible. `headers` has the length of the body."""
        cycle = getattr(send, "__self__", None)
        if type(cycle) is not RequestResponseCycle or cycle.response_started or cycle.flow.write_paused:
            return False
        if cycle.disconnected or cycle.transport.is_closing():
            return False
        defaults = self._defaults(cycle.default_headers)
        lines = [b"%b: %b\r\n" % pair for pair in headers]
        close = b"" if cycle.keep_alive or self._closes else b"connection: close\r\n"
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.keep_alive = cycle.keep_alive and not self._closes
        cycle.transport.write(b"".join((_OK, defaults, *lines, close, b"\r\n", body)))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True

    def _defaults(self, headers: Pairs) -> bytes:
        """The lines of the headers that each answer has, which are made anew each second."""
        if headers is not self._headers:
            self._headers = headers
            self._lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
            self._closes = (b"connection", b"close") in headers
        return self._lines
