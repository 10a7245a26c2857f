"""The HTTP edge in front of KServe's application: what it must not see, and what is counted.

It bounds and decompresses bodies, takes JSON as JSON whatever its Content-Type says (curl's default is a form),
answers a path with a slash at its end as the one without (KServe's redirect would go where the client's Host header
says), accepts this model's own version in a V2 path, and counts every prediction request by the status that leaves
the server. Events and labels (POST /v1/events) are taken here, for KServe knows nothing of them.
"""

import re
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve.errors import InvalidInput

from predictors.edge import body as bodies
from predictors.edge.body import BodyError, Headers, Message, Receive
from predictors.edge.model import NoEvents, Unavailable
from predictors.metrics import Metrics, Status

Scope = Message
Send = Callable[[Message], Awaitable[None]]
Push = Callable[[bytes], Awaitable[dict[str, int]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

EVENTS = "/v1/events"
_BINARY_HEADER = b"inference-header-content-length"
# They tell of the body as it was sent.
_BODY_HEADERS = (b"content-type", b"content-encoding", b"content-length")


class RestEdge:
    """ASGI middleware around KServe's application."""

    def __init__(self, app: App, model: str, version: str, metrics: Metrics, push: Push) -> None:
        """`push` takes the body of POST /v1/events, and raises what `PredictorModel.push` does."""
        self._app, self._push = app, push
        self._metrics = metrics
        self._v2 = f"/v2/models/{model}/infer"
        self._predictions = {f"/v1/models/{model}:predict", self._v2}
        self._version = re.compile(rf"(/v2/models/{re.escape(model)})/versions/{re.escape(version)}(?=/|$)")
        self._other_version = re.compile(r"/v2/models/([^/]+)/versions/([^/]+)")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event; everything but HTTP passes as it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = self._version.sub(r"\1", scope["path"].rstrip("/") or "/", count=1)
        scope = {**scope, "path": path}
        other = self._other_version.match(path)
        if other:
            text = f"Model with name {other[1]}, version {other[2]}, does not exist."
            await JSONResponse({"error": text}, HTTPStatus.NOT_FOUND)(scope, receive, send)
        elif path not in self._predictions and path != EVENTS:
            await self._bounded(scope, receive, send)
        elif scope["method"] != "POST":
            what = "the events and labels to push" if path == EVENTS else "the rows to predict"
            text = f"{scope['method']} {path}: allowed is POST, with {what}"
            response = JSONResponse({"error": text}, HTTPStatus.METHOD_NOT_ALLOWED, {"allow": "POST"})
            await response(scope, receive, send)
        elif path == EVENTS:
            await (await self._pushed(scope, receive))(scope, receive, send)
        else:
            await self._measured(scope, receive, send)

    async def _pushed(self, scope: Scope, receive: Receive) -> JSONResponse:
        try:
            body = bodies.json_text(await bodies.read(receive, scope["headers"]))
            return JSONResponse(await self._push(body))
        except BodyError as error:
            return JSONResponse({"error": str(error)}, error.status, error.headers)
        except NoEvents as error:
            return JSONResponse({"error": str(error)}, HTTPStatus.NOT_FOUND)
        except Unavailable as error:
            return JSONResponse({"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)
        except InvalidInput as error:
            return _refused(error)

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
        is_binary = scope["path"] == self._v2 and any(name == _BINARY_HEADER for name, _ in scope["headers"])
        try:
            body = await bodies.read(receive, scope["headers"])
            if scope["path"] in self._predictions and not is_binary:
                body = bodies.json_text(body)
        except BodyError as error:
            await JSONResponse({"error": str(error)}, error.status, error.headers)(scope, receive, send)
            return
        replayed = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return replayed.pop() if replayed else await receive()

        await self._app({**scope, "headers": _headers(scope["headers"], is_binary)}, replay, send)


async def bad_body(_: Request, error: Exception) -> JSONResponse:
    """The answer to a V2 body that does not parse: FastAPI's own would repeat the body, which may be no JSON."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    # The body may also be bytes (the binary extension); of a JSON body that alternative says nothing.
    told = [_problem(problem) for problem in problems if "bytes" not in problem["loc"]]
    text = "the body is no inference request: " + "; ".join(told[:3])
    return JSONResponse({"error": text}, HTTPStatus.BAD_REQUEST)


async def bad_input(_: Request, error: Exception) -> JSONResponse:
    """The answer to a refused request. Its text may repeat a lone surrogate of the request, which UTF-8 can't hold."""
    return _refused(error)


def _refused(error: Exception) -> JSONResponse:
    text = str(error).encode(errors="backslashreplace").decode()
    return JSONResponse({"error": text}, HTTPStatus.BAD_REQUEST)


def _problem(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"] if part not in ("body", "InferenceRequest"))
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _status(code: int) -> Status:
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "error"
    return "invalid" if code >= HTTPStatus.BAD_REQUEST else "ok"


def _headers(headers: Headers, is_binary: bool) -> list[tuple[bytes, bytes]]:
    """Headers without those of CloudEvents, which are not served, and with the body's true type."""
    dropped = _BODY_HEADERS if is_binary else (*_BODY_HEADERS, _BINARY_HEADER)
    kept = [(name, value) for name, value in headers if name not in dropped and not name.startswith(b"ce-")]
    return [*kept, (b"content-type", b"application/octet-stream" if is_binary else b"application/json")]
