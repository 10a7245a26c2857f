"""The body of an HTTP request: whole, bounded, decompressed, and JSON where it has to be."""

import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

import orjson

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Headers = Iterable[tuple[bytes, bytes]]

MAX_BODY = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_GZIP = 16 + zlib.MAX_WBITS  # zlib's name of the format


class BodyError(Exception):
    """A body that is refused; its text says why."""

    def __init__(self, status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


async def read(receive: Receive, headers: Headers) -> bytes:
    """The whole body, decompressed, of at most MAX_BODY bytes in either form.

    Raises BodyError: 413 for a larger one, 415 for an encoding other than gzip, 400 for one that is no gzip.
    """
    encoding = b", ".join(value for name, value in headers if name == b"content-encoding").decode("latin-1")
    if encoding.lower() not in ("", "identity", "gzip", "x-gzip"):
        text = f"the body has Content-Encoding {encoding!r}; allowed: gzip, or none"
        raise BodyError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text, {"accept-encoding": "gzip", "connection": "close"})
    body = await _whole(receive)
    return _gunzip(body) if encoding.lower().endswith("gzip") else body


def json_text(body: bytes) -> bytes:
    """The body without a byte order mark. Raises BodyError (400) where it is no JSON."""
    body = body.removeprefix(_BOM)
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        text = str(error).encode(errors="backslashreplace").decode()
        raise BodyError(HTTPStatus.BAD_REQUEST, f"the body is no JSON in UTF-8: {text}") from None
    return body


async def _whole(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            raise _too_large()
        if not message.get("more_body", False):
            return b"".join(parts)


def _gunzip(data: bytes) -> bytes:
    # One member only: a body of many small ones would take its time.
    member = zlib.decompressobj(_GZIP)
    try:
        body = member.decompress(data, MAX_BODY + 1)
    except zlib.error as error:
        raise BodyError(HTTPStatus.BAD_REQUEST, f"the body is no gzip, as its Content-Encoding says: {error}") from None
    if len(body) > MAX_BODY:
        raise _too_large()
    if not member.eof or member.unused_data:
        raise BodyError(HTTPStatus.BAD_REQUEST, "the body's gzip is cut short, or something follows it")
    return body


def _too_large() -> BodyError:
    text = f"the body is larger than allowed: {MAX_BODY} bytes"
    return BodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, {"connection": "close"})
