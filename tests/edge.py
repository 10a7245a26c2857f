"""The edge in front of an application, with a kind of model whose answers are plain to see."""

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from prometheus_client import CollectorRegistry

from predictors.dataplane import DataPlane
from predictors.edge.app import RestEdge
from predictors.edge.direct import Answer
from predictors.faults import FaultLog
from predictors.identity import Identity
from predictors.log.columns import schema as log_schema
from predictors.log.writer import PredictionLog
from predictors.metrics import STATUSES, Metrics
from predictors.online.events import EventSink
from predictors.requests.rows import Rows
from predictors.requests.schema import RequestSchema
from predictors.scoring.kind import Answered, Kind, Output
from serin.errors import OverloadedError, UnavailableError
from tests.factories import make_manifest

IDENTITY = Identity("card-fraud", "12", "card-fraud-v12")
LABELS = {"model": "card-fraud", "model_version": "12", "deployment": "card-fraud-v12"}
PREDICT, EXPLAIN = "/v1/models/card-fraud:predict", "/v1/models/card-fraud:explain"
INFER, VERSIONED = "/v2/models/card-fraud/infer", "/v2/models/card-fraud/versions/12/infer"
ROW = {"CUSTOMER": 1, "AMOUNT": 500, "CHANNEL": "chip"}
TENSORS = [
    {"name": "CUSTOMER", "datatype": "INT64", "shape": [1], "data": [1]},
    {"name": "AMOUNT", "datatype": "FP64", "shape": [1], "data": [500]},
    {"name": "CHANNEL", "datatype": "BYTES", "shape": [1], "data": ["chip"]},
]
BODY, V2_BODY = orjson.dumps({"instances": [ROW]}), orjson.dumps({"inputs": TENSORS})
ANSWER = {"score": 0.5, "decision": True, "model_version": "12"}
GZIP = (b"content-encoding", b"gzip")
Pairs = Iterable[tuple[bytes, bytes]]


class Thousandth(Kind):
    """A thousandth of the amount is the score; of 333 the store lacks two features, 666 breaks it, for 777 the store is
    away, 888 is one too many."""

    outputs = (Output("score", "FP64"), Output("decision", "BOOL"))
    schema = RequestSchema(make_manifest())

    def answer(self, rows: Rows, found: Any, now: datetime) -> Answered:
        amounts = rows.columns["AMOUNT"]
        if 666 in amounts:
            raise ZeroDivisionError("a secret")
        if 777 in amounts:
            raise UnavailableError("the store is away")
        if 888 in amounts:
            raise OverloadedError("16 requests are in flight", 3)
        scores = [amount / 1000 for amount in amounts]
        unknown = [{"CHANNEL": channel} if channel == "pigeon" else {} for channel in rows.columns["CHANNEL"]]
        outputs = {"score": scores, "decision": [score >= 0.5 for score in scores]}
        missing = [2 if amount == 333 else 0 for amount in amounts]
        return Answered(rows, outputs, {}, unknown, missing if any(missing) else ())

    def explain(self, rows: Rows, found: Any) -> Any:
        self.answer(rows, found, datetime.now(UTC))
        return [{"AMOUNT": np.float64(amount)} for amount in rows.columns["AMOUNT"]]


class Application:
    """An ASGI application that keeps what reached it."""

    def __init__(self) -> None:
        self.scope: Any = None
        self.body = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Edge:
    """The edge in front of an application, with a data plane of its own, and what comes out of it."""

    def __init__(self, folder: Path, events: EventSink | None = None) -> None:
        self.registry, self.application = CollectorRegistry(), Application()
        self.told: list[str] = []
        metrics = Metrics(*LABELS.values(), self.registry)
        log = PredictionLog(str(folder / "log"), folder / "spool", IDENTITY, log_schema({}), metrics.dropped)
        self._loop = asyncio.Runner()
        self._loop.get_loop()
        kind = Thousandth()
        self.plane = DataPlane(IDENTITY, kind, log, metrics, max_threads=1, max_concurrency=8)
        self._loop.run(self.plane.start())
        faults = FaultLog(IDENTITY, self.told.append)
        self.edge = RestEdge(self.application, IDENTITY, kind, self.plane, faults, events)
        self.sent: list[Any] = []

    def post(self, path: str, body: bytes | Iterable[bytes] = BODY, headers: Pairs = (), method: str = "POST") -> int:
        """The status of the answer; -1 where none was sent."""
        parts = [body] if isinstance(body, bytes) else list(body)
        messages = [
            {"type": "http.request", "body": part, "more_body": number + 1 < len(parts)}
            for number, part in enumerate(parts)
        ]
        return self.exchange(path, messages, headers, method)

    def exchange(self, path: str, messages: list[dict[str, Any]], headers: Pairs = (), method: str = "POST") -> int:
        scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
        self.sent = []

        async def receive() -> Any:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.sent.append(message)

        self._loop.run(self.edge(scope, receive, send))
        return int(self.sent[0]["status"]) if self.sent else -1

    def post_directly(self, path: str, body: bytes, headers: Pairs = ()) -> int:
        """As `post`, without ASGI."""
        handler = self.edge.handlers[path.encode()]

        async def answered() -> Answer:
            return await handler(list(headers), body)

        status, told, text = self._loop.run(answered())
        self.sent = [{"status": status, "headers": told}, {"body": text}]
        return status

    def close(self) -> None:
        self._loop.run(self.plane.close())
        self._loop.close()

    @property
    def answer(self) -> bytes:
        assert self.headers.get("content-length") in (None, str(len(self.sent[1]["body"])))
        return bytes(self.sent[1]["body"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def error(self) -> str:
        return str(json.loads(self.answer)["error"])

    @property
    def counted(self) -> dict[str, float]:
        return self._counted("model_predictions_total")

    @property
    def explained(self) -> dict[str, float]:
        return self._counted("model_explanations_total")

    def _counted(self, name: str) -> dict[str, float]:
        found = {status: self.registry.get_sample_value(name, {**LABELS, "status": status}) for status in STATUSES}
        return {status: count for status, count in found.items() if count}


def amount(value: Any) -> bytes:
    return orjson.dumps({"instances": [{**ROW, "AMOUNT": value}]})
