"""The HTTP edge in front of KServe's application: what it must not see, and what is counted.

It bounds bodies, takes JSON as JSON whatever its Content-Type says (curl's default is a form), accepts this
model's own version in a V2 path, and counts every prediction request by the status that leaves the server.
"""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from predictors.metrics import Metrics, Status

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 8 * 1024 * 1024
_BINARY_HEADER = b"inference-header-content-length"


class RestEdge:
    """ASGI middleware around KServe's application."""

    def __init__(self, app: App, model: str, version: str, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._predictions = {f"/v1/models/{model}:predict", f"/v2/models/{model}/infer"}
        self._version = re.compile(rf"(/v2/models/{re.escape(model)})/versions/{re.escape(version)}(?=/|$)")
        self._other_version = re.compile(r"/v2/models/([^/]+)/versions/([^/]+)")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event; everything but HTTP passes as it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "path": self._version.sub(r"\1", scope["path"], count=1)}
        other = self._other_version.match(scope["path"])
        if other:
            text = f"Model with name {other[1]}, version {other[2]}, does not exist."
            await JSONResponse({"error": text}, HTTPStatus.NOT_FOUND)(scope, receive, send)
        elif scope["method"] == "POST" and scope["path"] in self._predictions:
            await self._measured(scope, receive, send)
        else:
            await self._bounded(scope, receive, send)

    async def _measured(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.perf_counter()
        code = 500

        async def observed(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._bounded(scope, receive, observed)
        finally:
            self._metrics.answered(_status(code), time.perf_counter() - start)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            text = f"the body is larger than allowed: {MAX_BODY} bytes"
            response = JSONResponse({"error": text}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"connection": "close"})
            await response(scope, receive, send)
            return
        replayed = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return replayed.pop() if replayed else await receive()

        await self._app({**scope, "headers": _headers(scope["headers"])}, replay, send)


async def bad_body(_: Request, error: Exception) -> JSONResponse:
    """The answer to a V2 body that does not parse: FastAPI's own would repeat the body, which may be no JSON."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    # The body may also be bytes (the binary extension); of a JSON body that alternative says nothing.
    told = [_problem(problem) for problem in problems if "bytes" not in problem["loc"]]
    text = "the body is no inference request: " + "; ".join(told[:3])
    return JSONResponse({"error": text}, HTTPStatus.BAD_REQUEST)


async def bad_input(_: Request, error: Exception) -> JSONResponse:
    """The answer to a refused request. Its text may repeat a lone surrogate of the request, which UTF-8 can't hold."""
    text = str(error).encode(errors="backslashreplace").decode()
    return JSONResponse({"error": text}, HTTPStatus.BAD_REQUEST)


def _problem(problem: Any) -> str:
    if problem["type"] == "json_invalid":
        return f"no JSON: {problem['ctx']['error']} at character {problem['loc'][-1]}"
    where = ".".join(str(part) for part in problem["loc"] if part not in ("body", "InferenceRequest"))
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _status(code: int) -> Status:
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "error"
    return "invalid" if code >= HTTPStatus.BAD_REQUEST else "ok"


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None where it is larger than MAX_BODY."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers without those of CloudEvents, which are not served, and with the body's true type."""
    binary = any(name == _BINARY_HEADER for name, _ in headers)
    kept = [(name, value) for name, value in headers if name != b"content-type" and not name.startswith(b"ce-")]
    return [*kept, (b"content-type", b"application/octet-stream" if binary else b"application/json")]
