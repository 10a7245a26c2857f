"""What is left to KServe's application: with bodies that are bounded and decompressed, and without CloudEvents."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from predictors.edge import body as bodies
from predictors.edge.body import Headers, Hold, Message, Pairs, Receive
from predictors.edge.errors import utf8

Scope = Message
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_ID = b"x-request-id"
# They tell of the body as it was sent.
_BODY_HEADERS = (b"content-type", b"content-encoding", b"content-length", b"inference-header-content-length")


async def answer(app: App, scope: Scope, receive: Receive, send: Send, request_id: bytes, hold: Hold) -> None:
    """Let the application answer a request, and name its id in the answer. Raises RefusedError, GoneError and what
    `hold` does for a body that does not reach it."""

    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (_ID, request_id)]}
        await send(message)

    kept = [(name, value) for name, value in scope["headers"] if name != _ID]
    headers: Pairs = [*kept, (_ID, request_id)]
    if scope["method"] != "POST":
        await app({**scope, "headers": headers}, receive, named)
        return
    body = await bodies.read(receive, headers, hold)
    replayed = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return replayed.pop() if replayed else await receive()

    await app({**scope, "headers": _headers(headers)}, replay, named)


async def bad_body(_: Request, error: Exception) -> JSONResponse:
    """The answer to a body that KServe's routes can't parse: FastAPI's own would repeat the body, which may be no
    JSON."""
    problems: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else []
    text = "the body is not as expected: " + "; ".join(_problem(problem) for problem in problems[:3])
    return JSONResponse({"error": text}, HTTPStatus.BAD_REQUEST)


async def bad_input(_: Request, error: Exception) -> JSONResponse:
    """The answer to a refused request. Its text may repeat a lone surrogate of the request, which UTF-8 can't hold."""
    text = str(error).encode(errors="backslashreplace").decode()
    return JSONResponse({"error": text}, HTTPStatus.BAD_REQUEST)


async def bad_route(request: Request, error: Exception) -> JSONResponse:
    """The answer to a path, or a method of it, that there is not: FastAPI's own has no `error`."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (404, None)
    found = HTTPStatus(status)
    return JSONResponse({"error": f"{request.method} {utf8(request.url.path)}: {found.phrase.lower()}"}, found, headers)


def _problem(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"] if part != "body")
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _headers(headers: Headers) -> Pairs:
    """Headers without those of CloudEvents, which are not served, and with the body's true type."""
    kept = [(name, value) for name, value in headers if name not in _BODY_HEADERS and not name.startswith(b"ce-")]
    return [*kept, (b"content-type", b"application/json")]
