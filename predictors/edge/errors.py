"""What a caller is told of an error: the one table for REST and gRPC.

A message of ours names the thing, what was found and what is allowed, and goes out as it is. Of an error that is none
of ours the caller learns that it is our fault and the request's id, never its text or traceback: those are in the log
(`predictors.faults`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

import orjson
from grpc import StatusCode

from predictors.metrics import Status
from serin.errors import NotFoundError, OverloadedError, RequestError, UnavailableError

MAX_HEADER = 6000  # bytes; gRPC clients take 8 KiB of headers unless told otherwise

_CODES = {
    HTTPStatus.BAD_REQUEST: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.NOT_FOUND: StatusCode.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: StatusCode.UNIMPLEMENTED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.SERVICE_UNAVAILABLE: StatusCode.UNAVAILABLE,
    HTTPStatus.INTERNAL_SERVER_ERROR: StatusCode.INTERNAL,
}
# The nearest class of an error's own counts: OverloadedError is an UnavailableError.
_STATUSES: Mapping[type[BaseException], HTTPStatus] = {
    RequestError: HTTPStatus.BAD_REQUEST,
    NotFoundError: HTTPStatus.NOT_FOUND,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class RefusedError(RequestError):
    """A request that is refused before its rows are looked at: with another status than 400, or with headers."""

    def __init__(self, status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> None:
        """`status` is one of those that gRPC has a word for, too (KeyError otherwise)."""
        super().__init__(text)
        self.code = _CODES[status]
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Told:
    """What a caller is told of an error; `counted` is the outcome that the metrics count."""

    status: HTTPStatus
    code: StatusCode
    text: str
    headers: Mapping[str, str]
    counted: Status

    @property
    def ours(self) -> bool:
        """Whether the fault is ours, so that the log has to tell of it."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def body(self) -> bytes:
        """The body of a REST answer."""
        return orjson.dumps({"error": self.text})

    @property
    def details(self) -> str:
        """The details of a gRPC status."""
        return fit_header(self.text)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The trailing metadata of a gRPC answer: `retry-after` in seconds, as in REST, and the same as gRPC's own
        clients read it, in milliseconds."""
        after = self.headers.get("retry-after")
        return (("retry-after", after), ("grpc-retry-pushback-ms", f"{after}000")) if after else ()


def told(error: BaseException, request_id: str = "") -> Told:
    """What the caller of a request is told of an error that it met."""
    status = _status(error)
    if status is None:
        named = f" {utf8(request_id)}" if request_id else ""
        text = f"the predictor failed to answer request{named}; the fault is not the request's, and its log tells more"
        return Told(HTTPStatus.INTERNAL_SERVER_ERROR, StatusCode.INTERNAL, text, {}, "error")
    headers = dict(error.headers) if isinstance(error, RefusedError) else {}
    if isinstance(error, UnavailableError) and error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return Told(status, _CODES[status], utf8(str(error)), headers, _counted(error, status))


def answer(error: BaseException, request_id: str = "") -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """The REST answer to a request that met an error: status, body and headers as ASGI takes them, lengths included."""
    found = told(error, request_id)
    body = found.body
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found.headers.items()]
    return int(found.status), body, headers


def utf8(text: str) -> str:
    """The text with its lone surrogates spelled out: it may repeat the request, and UTF-8 can't hold them."""
    return text.encode(errors="backslashreplace").decode()


def fit_header(text: str) -> str:
    """The text, or as much of its beginning as gRPC can carry: an error travels in a header, percent-encoded."""
    shown = text
    while len(quote(shown, errors="replace")) > MAX_HEADER:
        text = text[: len(text) * 3 // 4]
        shown = text + "…"
    return shown


def _counted(error: BaseException, status: HTTPStatus) -> Status:
    if isinstance(error, OverloadedError):
        return "overloaded"
    return "error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid"


def _status(error: BaseException) -> HTTPStatus | None:
    if isinstance(error, RefusedError):
        return error.status
    return next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), None)
