import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import Request
from prometheus_client import CollectorRegistry

from predictors.metrics import Metrics
from predictors.rest import MAX_BODY, RestEdge, bad_input

LABELS = {"model": "card-fraud", "model_version": "12", "deployment": "card-fraud-v12"}
PREDICT = "/v1/models/card-fraud:predict"


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
        self.edge = RestEdge(application, "card-fraud", "12", metrics)

    def post(self, path: str, chunks: Iterable[bytes] = (b"{}",), headers: Any = ()) -> int:
        scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
        parts = list(chunks)
        messages = [
            {"type": "http.request", "body": part, "more_body": number + 1 < len(parts)}
            for number, part in enumerate(parts)
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.edge(scope, receive, send))
        return int(sent[0]["status"])

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
    assert Edge(Application()).post(PREDICT, [b" " * MAX_BODY]) == 200


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
    edge.post(PREDICT, headers=[(b"inference-header-content-length", b"9")])
    assert application.scope["headers"][-1] == (b"content-type", b"application/octet-stream")


def test_refusal_with_a_lone_surrogate_can_be_sent() -> None:
    answer = asyncio.run(bad_input(Request({"type": "http"}), ValueError("column \ud800é is unknown")))
    assert answer.status_code == 400
    assert json.loads(bytes(answer.body)) == {"error": "column \\ud800é is unknown"}
