"""The body of an HTTP request: whole, bounded, decompressed, and JSON where it has to be."""

import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any

import orjson

from predictors.edge.errors import RefusedError, utf8
from serin.errors import OverloadedError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Hold = Callable[[int], None]
Headers = Iterable[tuple[bytes, bytes]]
Pairs = list[tuple[bytes, bytes]]  # headers of an answer

MAX_BODY = 8 * 1024 * 1024
# Of a larger body that much is read and thrown away, for a client reads no answer before it has sent its request.
_MAX_READ = 4 * MAX_BODY
# Bytes of bodies that are not whole yet, or not answered, of all callers together.
MAX_HELD = 16 * MAX_BODY
MAX_NESTED = 400_000  # lists and objects: one for each value, of 4096 rows by about a hundred columns
_BOM = b"\xef\xbb\xbf"
_GZIP = 16 + zlib.MAX_WBITS  # zlib's name of the format


class Held:
    """The bytes of large bodies that are in memory; what is taken has to be given back."""

    def __init__(self) -> None:
        self.bytes = 0

    def take(self, size: int) -> None:
        """Hold so many more. Raises OverloadedError."""
        if self.bytes + size > MAX_HELD:
            raise OverloadedError(f"the bodies of requests have {self.bytes} bytes; allowed: {MAX_HELD}", 1)
        self.bytes += size

    def give_back(self, size: int) -> None:
        """Hold so many less."""
        self.bytes -= size


def _freely(_: int) -> None:
    """Hold whatever comes."""


class GoneError(Exception):
    """The client went away before its request was whole: nobody is left to answer."""


async def read(receive: Receive, headers: Headers, hold: Hold = _freely) -> bytes:
    """The whole body, decompressed, of at most MAX_BODY bytes in either form; what is held of it is told to `hold`.

    Raises RefusedError (413 for a larger one, 415 for an encoding other than gzip, 400 for one that is no gzip),
    GoneError and what `hold` does.
    """
    gzip = _is_gzip(headers)
    body = await whole(receive, hold)
    return _decompressed(body, hold) if gzip else body


def decoded(body: bytes, headers: Headers, hold: Hold = _freely) -> bytes:
    """A body that is here, decompressed. Raises as `read`, but for GoneError."""
    return _decompressed(body, hold) if _is_gzip(headers) else body


def parsed(body: bytes) -> Any:
    """What the body holds, a byte order mark passed over. Raises RefusedError (400) where it is no JSON, or has more
    lists and objects than any request needs."""
    check_nesting(body)
    try:
        return orjson.loads(body.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"the body is no JSON in UTF-8: {utf8(str(error))}") from None


def check_nesting(body: bytes) -> None:
    """Raises RefusedError for a body of more than MAX_NESTED lists and objects: some megabytes of `[]` take seconds to
    build, during which nothing else is answered, and a hundred times their size in memory."""
    if body.count(b"[") + body.count(b"{") <= MAX_NESTED:
        return
    # Those in texts do not count. Without what is escaped, every other piece between quotes is outside of them.
    outside = b"".join(body.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
    if (found := outside.count(b"[") + outside.count(b"{")) > MAX_NESTED:
        text = f"the body has {found} lists and objects; allowed: {MAX_NESTED}"
        raise RefusedError(HTTPStatus.BAD_REQUEST, text)


def json_text(body: bytes) -> bytes:
    """The body without a byte order mark. Raises RefusedError (400) where it is no JSON."""
    parsed(body)
    return body.removeprefix(_BOM)


def _is_gzip(headers: Headers) -> bool:
    encoding = b", ".join([value for name, value in headers if name == b"content-encoding"]).decode("latin-1")
    name = encoding.lower()
    if name not in ("", "identity", "gzip", "x-gzip"):
        text = f"the body has Content-Encoding {encoding!r}; allowed: gzip, or none"
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text, {"accept-encoding": "gzip", "connection": "close"})
    return name.endswith("gzip")


def _decompressed(body: bytes, hold: Hold) -> bytes:
    found = _gunzip(body)
    hold(len(found))
    return found


async def whole(receive: Receive, hold: Hold = _freely) -> bytes:
    """The body as it was sent; of one that comes in parts each is told to `hold`. Raises RefusedError (413), GoneError
    and what `hold` does."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False):
        if len(body) > MAX_BODY:
            raise _too_large()
        return body
    parts, size = [body], len(body)
    hold(size)
    while message["type"] == "http.request" and message.get("more_body", False) and size <= _MAX_READ:
        message = await receive()
        body = message.get("body", b"")
        size += len(body)
        if size <= MAX_BODY:
            hold(len(body))
            parts.append(body)
        else:
            parts.clear()
    if message["type"] != "http.request":
        raise GoneError
    if size > MAX_BODY:
        raise _too_large()
    return b"".join(parts)


def _gunzip(data: bytes) -> bytes:
    # One member only: a body of many small ones would take its time.
    member = zlib.decompressobj(_GZIP)
    try:
        body = member.decompress(data, MAX_BODY + 1)
    except zlib.error as error:
        text = f"the body is no gzip, as its Content-Encoding says: {error}"
        raise RefusedError(HTTPStatus.BAD_REQUEST, text) from None
    if len(body) > MAX_BODY:
        raise _too_large()
    if not member.eof or member.unused_data:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the body's gzip is cut short, or something follows it")
    return body


def _too_large() -> RefusedError:
    text = f"the body is larger than allowed: {MAX_BODY} bytes"
    return RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, {"connection": "close"})
