"""The body of an HTTP request: whole, bounded, decompressed, and JSON where it has to be."""

import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any

import orjson

from predictors.edge.errors import RefusedError, utf8

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Headers = Iterable[tuple[bytes, bytes]]

MAX_BODY = 8 * 1024 * 1024
# Of a larger body that much is read and thrown away, for a client reads no answer before it has sent its request.
_MAX_READ = 4 * MAX_BODY
_BOM = b"\xef\xbb\xbf"
_GZIP = 16 + zlib.MAX_WBITS  # zlib's name of the format


class GoneError(Exception):
    """The client went away before its request was whole: nobody is left to answer."""


async def read(receive: Receive, headers: Headers) -> bytes:
    """The whole body, decompressed, of at most MAX_BODY bytes in either form.

    Raises RefusedError (413 for a larger one, 415 for an encoding other than gzip, 400 for one that is no gzip) and
    GoneError.
    """
    encoding = b", ".join([value for name, value in headers if name == b"content-encoding"])
    if encoding:
        return await _encoded(receive, encoding.decode("latin-1"))
    return await whole(receive)


def parsed(body: bytes) -> Any:
    """What the body holds, a byte order mark passed over. Raises RefusedError (400) where it is no JSON."""
    try:
        return orjson.loads(body.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"the body is no JSON in UTF-8: {utf8(str(error))}") from None


def json_text(body: bytes) -> bytes:
    """The body without a byte order mark. Raises RefusedError (400) where it is no JSON."""
    parsed(body)
    return body.removeprefix(_BOM)


async def _encoded(receive: Receive, encoding: str) -> bytes:
    name = encoding.lower()
    if name not in ("", "identity", "gzip", "x-gzip"):
        text = f"the body has Content-Encoding {encoding!r}; allowed: gzip, or none"
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text, {"accept-encoding": "gzip", "connection": "close"})
    body = await whole(receive)
    return _gunzip(body) if name.endswith("gzip") else body


async def whole(receive: Receive) -> bytes:
    """The body as it was sent. Raises RefusedError (413) and GoneError."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False):
        if len(body) > MAX_BODY:
            raise _too_large()
        return body
    parts, size = [body], len(body)
    while message["type"] == "http.request" and message.get("more_body", False) and size <= _MAX_READ:
        message = await receive()
        body = message.get("body", b"")
        size += len(body)
        if size <= MAX_BODY:
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
