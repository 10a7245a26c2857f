"""The HTTP edge in front of KServe's application: it answers the hot routes itself, and guards the others.

Hot are V1 :predict and :explain, V2 infer (for this model, under its own version, too) and POST /v1/events: none of
them sees FastAPI. JSON is JSON there whatever the Content-Type says (curl's default is a form), and each answer has
the request's id in X-Request-Id.

Everything else is KServe's (see `behind`). A path with a slash at its end is the one without (KServe's redirect would
go where the client's Host header says), and another version of the model is not found.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus

import orjson

from predictors.dataplane import SMALL, DataPlane
from predictors.edge import behind
from predictors.edge import body as bodies
from predictors.edge.behind import App, Scope, Send
from predictors.edge.body import GoneError, Headers, Pairs, Receive
from predictors.edge.call import Call
from predictors.edge.connection import is_reset
from predictors.edge.direct import Answer, Handler
from predictors.edge.errors import RefusedError, answer, told
from predictors.edge.ids import in_header, maker
from predictors.edge.v1 import V1
from predictors.edge.v2 import BINARY_HEADER, V2, Infer
from predictors.faults import FaultLog
from predictors.identity import Identity
from predictors.online.events import EventSink, Pushed
from predictors.requests.fast import FastDecoder
from predictors.requests.schema import check_id
from predictors.scoring.kind import Answered, Kind
from serin.errors import NotFoundError, OverloadedError, RequestError

_OK = int(HTTPStatus.OK)
EVENTS = "/v1/events"
_JSON, _OCTETS = (b"content-type", b"application/json"), (b"content-type", b"application/octet-stream")

# What answers a call: the body, and headers beyond length and id.
Route = Callable[[Call], Awaitable[tuple[bytes, Pairs]]]


class RestEdge:
    """The ASGI application that the server runs: hot routes, and `app` (KServe's) behind them."""

    def __init__(
        self,
        app: App,
        identity: Identity,
        kind: Kind,
        plane: DataPlane,
        faults: FaultLog,
        events: EventSink | None = None,
    ) -> None:
        self._app, self._plane, self._faults, self._events = app, plane, faults, events
        self._held = plane.held
        self._model = identity.model
        fast = FastDecoder(kind.schema)
        self._v1, self._v2 = V1(kind.schema, fast, identity.version), V2(identity, kind, fast)
        self._new_id = maker()
        self._routes = self._hot(identity)
        own = re.escape(identity.model), re.escape(identity.version)
        self._version = re.compile(rf"(/v2/models/{own[0]})/versions/{own[1]}(?=/|$)")
        self._other_version = re.compile(r"/v2/models/([^/]+)/versions/([^/]+)")
        self._other_model = re.compile(r"/v[12]/models/([^/:]+)(?::predict|:explain|/infer)")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event; everything but HTTP passes as it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = self._routes.get(scope["path"])
        if route is not None and scope["method"] == "POST":
            await self._answer(route, scope, receive, send)
        else:
            await self._other(scope, receive, send)

    @property
    def handlers(self) -> Mapping[bytes, Handler]:
        """What answers a POST to a hot route without ASGI, by its target as it is sent."""
        return {path.encode(): partial(self.answer, route) for path, route in self._routes.items()}

    def _hot(self, identity: Identity) -> dict[str, Route]:
        v1, v2 = f"/v1/models/{identity.model}", f"/v2/models/{identity.model}"
        routes: dict[str, Route] = {
            f"{v1}:predict": self._predict,
            f"{v1}:explain": self._explain,
            f"{v2}/infer": self._infer,
            f"{v2}/versions/{identity.version}/infer": self._infer,
            EVENTS: self._push,
        }
        return routes | {f"{path}/": route for path, route in routes.items()}

    async def answer(self, route: Route, headers: Headers, body: bytes) -> Answer:
        """Answer a request for a hot route, whose body is as it was sent."""
        call = Call(headers, self._held)
        try:
            call.body = bodies.decoded(body, headers, call.hold) if b"content-encoding" in call.headers else body
            return _ok(call, *await route(call))
        except Exception as error:  # noqa: BLE001
            return self._refused(error, call, route)
        finally:
            call.let_go()

    async def _answer(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope["headers"], self._held)
        try:
            call.body = await bodies.read(receive, scope["headers"], call.hold)
            found = _ok(call, *await route(call))
        except GoneError:
            return
        except Exception as error:  # noqa: BLE001
            found = self._refused(error, call, route)
        finally:
            call.let_go()
        await self._say(send, *found)

    def _count(self, route: Route, call: Call, error: Exception) -> None:
        """Count a request whose error the data plane does not know of."""
        if route == self._explain:
            self._plane.count_explained(told(error).counted)
        elif route != self._push:
            self._plane.count(told(error).counted, call.started)

    def _refused(self, error: Exception, call: Call, route: Route | None = None) -> Answer:
        """What the caller is told of an error; the log is told, too, where it is ours, and the metrics where they do
        not know of it."""
        if route and not call.counted:
            self._count(route, call, error)
        self._name(call)
        if told(error).ours:
            self._faults.fault(error, call.id)
        status, body, headers = answer(error, call.id)
        headers.append((b"x-request-id", in_header(call.id).encode()))
        return status, headers, body

    async def _say(self, send: Send, status: int, headers: Pairs, body: bytes) -> None:
        """Send a whole answer; nobody needs it where the caller went away."""
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        except RuntimeError as error:
            if not is_reset(error):
                raise

    def _name(self, call: Call) -> None:
        """Give the call an id where it has none that can be repeated."""
        try:
            call.id = check_id(call.id) if call.id else self._new_id()
        except RequestError:
            call.id = self._new_id()

    async def _predict(self, call: Call) -> tuple[bytes, Pairs]:
        call.id = check_id(call.id) if call.id else self._new_id()
        call.counted = True
        body = await self._plane.predict(
            partial(self._v1.rows, call.body),
            self._v1.answer,
            request_id=call.id,
            size=len(call.body),
            started=call.started,
            headers=call.trace,
        )
        return body, [_JSON]

    async def _explain(self, call: Call) -> tuple[bytes, Pairs]:
        call.id = check_id(call.id) if call.id else self._new_id()
        call.counted = True
        explanations = await self._plane.explain(
            partial(self._v1.rows, call.body), request_id=call.id, size=len(call.body), headers=call.trace
        )
        # Another kind's may be NumPy's.
        return orjson.dumps({"explanations": explanations}, option=orjson.OPT_SERIALIZE_NUMPY), [_JSON]

    async def _infer(self, call: Call) -> tuple[bytes, Pairs]:
        # Decoding may cost more than all the rest.
        self._plane.check()
        length = call.headers.get(BINARY_HEADER)
        if len(call.body) > SMALL:
            infer = await asyncio.to_thread(self._v2.request, call.body, length)
        else:
            infer = self._v2.request(call.body, length)
        call.id = check_id(infer.id or call.id or self._new_id())
        call.counted = True
        body, text = await self._plane.predict(
            infer.rows,
            self._encoder(infer, call.id),
            request_id=call.id,
            size=len(call.body),
            started=call.started,
            headers=call.trace,
        )
        return body, [_JSON] if text is None else [_OCTETS, (BINARY_HEADER, b"%d" % text)]

    def _encoder(self, infer: Infer, request_id: str) -> Callable[[Answered], tuple[bytes, int | None]]:
        return partial(self._v2.answer, infer, request_id)

    async def _push(self, call: Call) -> tuple[bytes, Pairs]:
        call.id = check_id(call.id) if call.id else self._new_id()
        if self._events is None:
            text = f"{self._model} takes no events: it has no window features, or its events have no `data.key`"
            raise NotFoundError(text)
        pushed = await asyncio.to_thread(_take, self._events, call.body)
        return orjson.dumps({"accepted": pushed.accepted, "new": pushed.new}), [_JSON]

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self._version.sub(r"\1", scope["path"].rstrip("/") or "/", count=1)
        route = self._routes.get(path)
        if route is not None:
            if scope["method"] == "POST":
                await self._answer(route, scope, receive, send)
            else:
                await self._turn_away(_not_allowed(scope["method"], path), scope, send)
        elif other := self._other_version.match(path):
            error = NotFoundError(f"Model with name {other[1]}, version {other[2]}, does not exist.")
            await self._turn_away(error, scope, send)
        elif other := self._other_model.fullmatch(path):
            # KServe would look at the body first, and take raw contents for bad JSON.
            error = NotFoundError(f"Model with name {other[1]} does not exist.")
            await self._turn_away(error, scope, send)
        else:
            await self._leave({**scope, "path": path}, receive, send)

    async def _turn_away(self, error: Exception, scope: Scope, send: Send) -> None:
        """Refuse a request without a look at its body."""
        await self._say(send, *self._refused(error, Call(scope["headers"], self._held)))

    async def _leave(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave the request to the application."""
        call = Call(scope["headers"], self._held)
        self._name(call)
        try:
            await behind.answer(self._app, scope, receive, send, in_header(call.id).encode(), call.hold)
        except GoneError:
            return
        except (RefusedError, OverloadedError) as error:
            await self._say(send, *self._refused(error, call))
        finally:
            call.let_go()


def _ok(call: Call, body: bytes, headers: Pairs) -> Answer:
    """The answer with this body; `headers` are those beyond its length and the id."""
    length = b"%d" % len(body)
    return _OK, [*headers, (b"content-length", length), (b"x-request-id", in_header(call.id).encode())], body


def _take(events: EventSink, body: bytes) -> Pushed:
    return events.take(bodies.json_text(body), datetime.now(UTC))


def _not_allowed(method: str, path: str) -> RefusedError:
    what = "the events and labels to push" if path == EVENTS else "the rows to predict"
    text = f"{method} {path}: allowed is POST, with {what}"
    return RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, text, {"allow": "POST"})
