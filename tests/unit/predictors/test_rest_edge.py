import asyncio
import gzip
import json
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import Request
from kserve.errors import InvalidInput
from prometheus_client import CollectorRegistry

from predictors.edge.app import EVENTS, RestEdge, bad_input
from predictors.edge.body import MAX_BODY
from predictors.edge.model import NoEvents, Unavailable
from predictors.metrics import Metrics

LABELS = {"model": "card-fraud", "model_version": "12", "deployment": "card-fraud-v12"}
PREDICT = "/v1/models/card-fraud:predict"
INFER = "/v2/models/card-fraud/infer"
BODY = b'{"instances": []}'
GZIP = (b"content-encoding", b"gzip")


class Application:
    """An ASGI application that keeps what reached it and answers with `status`, or breaks."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.scope: Any = None
        self.body = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.body = (await receive())["body"]
        if not self.status:
            raise RuntimeError("broken")
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Edge:
    """The edge around an application, and what comes out of it."""

    def __init__(self, application: Application) -> None:
        self.registry = CollectorRegistry()
        metrics = Metrics("card-fraud", "12", "card-fraud-v12", self.registry)
        self.edge = RestEdge(application, "card-fraud", "12", metrics, self._push)
        self.sent: list[Any] = []
        self.pushed: list[bytes] = []
        self.refusal: Exception | None = None

    async def _push(self, body: bytes) -> dict[str, int]:
        if self.refusal:
            raise self.refusal
        self.pushed.append(body)
        return {"accepted": 1, "new": 0}

    @property
    def error(self) -> str:
        return str(json.loads(self.sent[1]["body"])["error"])

    def post(self, path: str, chunks: Iterable[bytes] = (b"{}",), headers: Any = (), method: str = "POST") -> int:
        scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
        parts = list(chunks)
        messages = [
            {"type": "http.request", "body": part, "more_body": number + 1 < len(parts)}
            for number, part in enumerate(parts)
        ]
        self.sent = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            self.sent.append(message)

        asyncio.run(self.edge(scope, receive, send))
        return int(self.sent[0]["status"])

    def counted(self, status: str) -> float | None:
        return self.registry.get_sample_value("model_predictions_total", {**LABELS, "status": status})


@pytest.mark.parametrize(("code", "status"), [(200, "ok"), (400, "invalid"), (422, "invalid"), (503, "error")])
def test_request_is_counted_by_its_status(code: int, status: str) -> None:
    edge = Edge(Application(code))
    assert edge.post(PREDICT) == code
    assert {name: edge.counted(name) for name in ("ok", "invalid", "error")} == {
        **dict.fromkeys(("ok", "invalid", "error"), 0),
        status: 1,
    }


def test_request_that_breaks_the_application_is_an_error() -> None:
    edge = Edge(Application(0))
    with pytest.raises(RuntimeError, match="broken"):
        edge.post(PREDICT)
    assert edge.counted("error") == 1


def test_request_for_another_path_is_not_counted() -> None:
    edge = Edge(Application(404))
    assert edge.post("/v1/models/other:predict") == 404
    assert edge.counted("invalid") == 0


def test_body_arrives_in_one_piece() -> None:
    application = Application()
    Edge(application).post(PREDICT, [b'{"inst', b'ances"', b": []}"])
    assert application.body == b'{"instances": []}'


def test_chunked_body_over_the_limit_is_refused_and_counted() -> None:
    application = Application()
    edge = Edge(application)
    assert edge.post(PREDICT, [b" " * MAX_BODY, b" "]) == 413
    assert edge.counted("invalid") == 1
    assert application.scope is None


def test_body_at_the_limit_passes() -> None:
    assert Edge(Application()).post(PREDICT, [b"{}" + b" " * (MAX_BODY - 2)]) == 200


def test_own_version_in_the_path_is_taken_out_and_another_is_not_found() -> None:
    application = Application()
    edge = Edge(application)
    assert edge.post("/v2/models/card-fraud/versions/12/infer") == 200
    assert application.scope["path"] == "/v2/models/card-fraud/infer"
    assert edge.post("/v2/models/card-fraud/versions/120/infer") == 404
    assert edge.counted("ok") == 1


def test_body_is_json_whatever_the_header_says_unless_it_is_binary() -> None:
    application = Application()
    edge = Edge(application)
    edge.post(PREDICT, headers=[(b"content-type", b"application/x-www-form-urlencoded"), (b"ce-id", b"1")])
    assert application.scope["headers"] == [(b"content-type", b"application/json")]
    edge.post(INFER, [b"\xff"], headers=[(b"inference-header-content-length", b"9")])
    assert application.scope["headers"][-1] == (b"content-type", b"application/octet-stream")
    edge.post(PREDICT, headers=[(b"inference-header-content-length", b"9")])
    assert application.scope["headers"] == [(b"content-type", b"application/json")]


@pytest.mark.parametrize("encoding", [b"gzip", b"GZIP", b"x-gzip"])
def test_gzip_body_arrives_decompressed(encoding: bytes) -> None:
    application = Application()
    body = gzip.compress(BODY)
    headers = [(b"content-encoding", encoding), (b"content-length", b"%d" % len(body))]
    assert Edge(application).post(PREDICT, [body[:9], body[9:]], headers) == 200
    assert application.body == BODY
    assert application.scope["headers"] == [(b"content-type", b"application/json")]


def test_gzip_body_that_becomes_larger_than_allowed_is_refused() -> None:
    application = Application()
    edge = Edge(application)
    bomb = gzip.compress(b"{}" + b" " * (MAX_BODY - 1))
    assert len(bomb) < MAX_BODY / 100
    assert edge.post(PREDICT, [bomb], [GZIP]) == 413
    assert edge.error == "the body is larger than allowed: 8388608 bytes"
    assert (application.scope, edge.counted("invalid")) == (None, 1)
    assert edge.post(PREDICT, [gzip.compress(b"{}" + b" " * (MAX_BODY - 2))], [GZIP]) == 200


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (BODY, "the body is no gzip, as its Content-Encoding says: "),
        (gzip.compress(BODY)[:-1], "the body's gzip is cut short, or something follows it"),
        (gzip.compress(BODY)[:-5] + b"12345", "the body is no gzip, as its Content-Encoding says: "),
        (gzip.compress(BODY) * 2, "the body's gzip is cut short, or something follows it"),
        (b"", "the body's gzip is cut short, or something follows it"),
    ],
    ids=["plain", "cut short", "wrong checksum", "two members", "empty"],
)
def test_body_that_is_no_gzip_is_refused(body: bytes, text: str) -> None:
    edge = Edge(Application())
    assert edge.post(PREDICT, [body], [GZIP]) == 400
    assert edge.error.startswith(text)


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"gzip, gzip", b"\xff"])
def test_other_content_encodings_are_not_supported(encoding: bytes) -> None:
    edge = Edge(Application())
    assert edge.post(PREDICT, [BODY], [(b"content-encoding", encoding)]) == 415
    assert edge.error == f"the body has Content-Encoding {encoding.decode('latin-1')!r}; allowed: gzip, or none"
    assert (b"accept-encoding", b"gzip") in edge.sent[0]["headers"]


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_byte_order_mark_before_json_is_passed_over(path: str) -> None:
    application = Application()
    assert Edge(application).post(path, [b"\xef\xbb\xbf" + BODY]) == 200
    assert application.body == BODY


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"a": NaN}', b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[" * 5000, BODY.decode().encode("utf-16")],
)
def test_body_that_is_no_json_is_refused_with_the_same_words_in_v1_and_v2(body: bytes) -> None:
    first, second = Edge(Application()), Edge(Application())
    assert (first.post(PREDICT, [body]), second.post(INFER, [body])) == (400, 400)
    assert first.error.startswith("the body is no JSON in UTF-8: ")
    assert first.error == second.error
    assert first.counted("invalid") == 1


@pytest.mark.parametrize("path", [PREDICT, INFER, "/v2/models/card-fraud/versions/12/infer"])
def test_slash_at_the_end_of_a_path_makes_no_difference(path: str) -> None:
    application = Application()
    edge = Edge(application)
    assert edge.post(path + "/", headers=[(b"host", b"elsewhere")]) == 200
    assert application.scope["path"] == path.replace("/versions/12", "")
    assert edge.counted("ok") == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [PREDICT, INFER, INFER + "/"])
def test_prediction_path_allows_post_only(method: str, path: str) -> None:
    application = Application()
    edge = Edge(application)
    assert edge.post(path, method=method) == 405
    assert (b"allow", b"POST") in edge.sent[0]["headers"]
    assert edge.error == f"{method} {path.rstrip('/')}: allowed is POST, with the rows to predict"
    assert (application.scope, edge.counted("invalid")) == (None, 0)


def test_refusal_with_a_lone_surrogate_can_be_sent() -> None:
    answer = asyncio.run(bad_input(Request({"type": "http"}), ValueError("column \ud800é is unknown")))
    assert answer.status_code == 400
    assert json.loads(bytes(answer.body)) == {"error": "column \\ud800é is unknown"}


def test_pushed_events_reach_no_model_and_are_no_prediction() -> None:
    application = Application()
    edge = Edge(application)
    body = b'{"events": [{}]}'
    assert edge.post(EVENTS, [b"\xef\xbb\xbf" + body]) == 200
    assert json.loads(edge.sent[1]["body"]) == {"accepted": 1, "new": 0}
    assert edge.post(EVENTS + "/", [gzip.compress(body)], [GZIP]) == 200
    assert (application.scope, edge.pushed, edge.counted("ok")) == (None, [body, body], 0)


@pytest.mark.parametrize(
    ("error", "status"), [(InvalidInput("no \ud800"), 400), (NoEvents("none"), 404), (Unavailable("away"), 503)]
)
def test_refused_events_are_told_with_their_status(error: Exception, status: int) -> None:
    edge = Edge(Application())
    edge.refusal = error
    assert edge.post(EVENTS) == status
    assert edge.error == str(error).encode(errors="backslashreplace").decode()


def test_events_are_posted_as_json_of_a_bounded_size() -> None:
    edge = Edge(Application())
    assert edge.post(EVENTS, method="GET") == 405
    assert edge.error == "GET /v1/events: allowed is POST, with the events and labels to push"
    assert edge.post(EVENTS, [b"{"]) == 400
    assert edge.post(EVENTS, [b" " * MAX_BODY, b" "]) == 413
    assert edge.pushed == []
