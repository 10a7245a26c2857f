"""One HTTP/1.1 connection at the level of bytes, for requests that no client library would send."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SECONDS = 30  # the longest that an answer may take


@dataclass(frozen=True)
class Answer:
    """What came back. `status` is 0 where the connection was closed without an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    closed: bool

    @property
    def error(self) -> str:
        """The text of a refusal, empty where the body is no object with one."""
        try:
            found: Any = json.loads(self.body)
        except ValueError:
            return ""
        text = found.get("error") if isinstance(found, dict) else None
        return text if isinstance(text, str) else ""


NOTHING = Answer(0, {}, b"", True)


class Wire:
    """A connection that is opened where there is none, and kept as long as the server keeps it."""

    def __init__(self, address: str) -> None:
        """`address` is http://HOST:PORT."""
        host, port = address.removeprefix("http://").split(":")
        self._address = host, int(port)
        self._socket: socket.socket | None = None
        self._rest = b""

    def ask(self, request: bytes, *, more: bool = True, is_head: bool = False) -> Answer:
        """Send and read one answer; `more`: the client may still send, otherwise its side is shut."""
        self.send(request, more=more)
        return self.read(is_head=is_head)

    def send(self, request: bytes, *, more: bool = True) -> None:
        """Send bytes. What the server no longer takes is dropped: its answer tells."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(request)
            if not more:
                self._socket.shutdown(socket.SHUT_WR)

    def read(self, *, is_head: bool = False) -> Answer:
        """The next answer. Raises TimeoutError where the server says nothing and keeps the connection."""
        head = self._until(b"\r\n\r\n")
        while re.match(rb"HTTP/1\.1 1\d\d", head):
            head = self._until(b"\r\n\r\n")
        if not head:
            self.close()
            return NOTHING
        first, *lines = head.decode("latin-1").split("\r\n")
        assert re.match(r"HTTP/1\.[01] \d\d\d", first), head
        status = int(first.split()[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = b"" if is_head or status in (204, 304) else self._body(headers)
        closed = headers.get("connection", "").lower() == "close" or self._socket is None
        if closed:
            self.close()
        return Answer(status, headers, body, closed)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket:
            self._socket.close()
        self._socket, self._rest = None, b""

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(self._until(b"\r\n").split(b";")[0], 16):
                parts.append(self._exactly(size))
                self._exactly(2)
            self._until(b"\r\n")
            return b"".join(parts)
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        while part := self._part():
            self._rest += part
        body = self._rest
        self.close()
        return body

    def _until(self, end: bytes) -> bytes:
        while end not in self._rest:
            part = self._part()
            if not part:
                return b""
            self._rest += part
        found, _, self._rest = self._rest.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            part = self._part()
            assert part, f"the body ends after {len(self._rest)} of {size} bytes"
            self._rest += part
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _part(self) -> bytes:
        if self._socket is None:
            return b""
        try:
            return self._socket.recv(1 << 16)
        except ConnectionError:
            return b""


@contextlib.contextmanager
def wire(address: str) -> Iterator[Wire]:
    """A connection that is closed at the end of the block."""
    opened = Wire(address)
    try:
        yield opened
    finally:
        opened.close()


def request(
    path: str | bytes,
    body: bytes = b"",
    headers: Mapping[str, str | bytes] | None = None,
    method: str = "POST",
    version: str = "1.1",
) -> bytes:
    """A request with the length of its body, unless the headers say one or another framing."""
    lines: dict[str, str | bytes] = {"Host": "127.0.0.1", **(headers or {})}
    if not {"content-length", "transfer-encoding"} & {name.lower() for name in lines}:
        lines["Content-Length"] = str(len(body))
    target = path if isinstance(path, bytes) else path.encode()
    head = [b"%s %s HTTP/%s" % (method.encode(), target, version.encode())]
    head += [
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in lines.items()
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + body
