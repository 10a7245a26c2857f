import asyncio
import gzip
import json
import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from fastapi import Request
from prometheus_client import CollectorRegistry

from predictors.dataplane import DataPlane
from predictors.edge.app import EVENTS, RestEdge
from predictors.edge.behind import bad_input
from predictors.edge.body import MAX_BODY
from predictors.faults import FaultLog
from predictors.identity import Identity
from predictors.log.columns import schema as log_schema
from predictors.log.writer import PredictionLog
from predictors.metrics import STATUSES, Metrics
from predictors.online.events import EventSink
from predictors.requests.rows import Rows
from predictors.requests.schema import RequestSchema
from predictors.scoring.kind import Answered, Kind, Output
from serin.errors import UnavailableError
from serin.online.opening import open_store
from tests.event_log import fill, sent, transaction
from tests.factories import EVENTS as EVENT_COLUMNS
from tests.factories import make_manifest, windows_plan
from tests.predictor_process import workspace

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
    """A thousandth of the amount is the score; 666 breaks it, and of 777 the store knows nothing."""

    outputs = (Output("score", "FP64"), Output("decision", "BOOL"))
    schema = RequestSchema(make_manifest())

    def answer(self, rows: Rows, found: Any, now: datetime) -> Answered:
        amounts = rows.columns["AMOUNT"]
        if 666 in amounts:
            raise ZeroDivisionError("a secret")
        if 777 in amounts:
            raise UnavailableError("the store is away")
        scores = [amount / 1000 for amount in amounts]
        unknown = [{"CHANNEL": channel} if channel == "pigeon" else {} for channel in rows.columns["CHANNEL"]]
        return Answered(rows, {"score": scores, "decision": [score >= 0.5 for score in scores]}, {}, unknown)

    def explain(self, rows: Rows, found: Any) -> Any:
        self.answer(rows, found, datetime.now(UTC))
        return [{"AMOUNT": amount} for amount in rows.columns["AMOUNT"]]


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


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    made = Edge(tmp_path)
    yield made
    made.close()


@pytest.fixture
def with_events(tmp_path: Path) -> Iterator[Edge]:
    store = open_store(workspace(tmp_path / "root") / "feature_repo" / "feature_store.yaml")
    plan = windows_plan()
    fill(store, plan, [])
    manifest = make_manifest((), timestamp="TX_DATETIME", events=EVENT_COLUMNS, online=plan)
    made = Edge(tmp_path, EventSink.of(store, manifest, Metrics(*LABELS.values(), CollectorRegistry())))
    yield made
    made.close()
    store.close()


def amount(value: Any) -> bytes:
    return orjson.dumps({"instances": [{**ROW, "AMOUNT": value}]})


def binary(inputs: list[dict[str, Any]], raw: bytes = b"", **more: Any) -> tuple[bytes, Pairs]:
    """A V2 body with raw contents, and its headers."""
    head = orjson.dumps({"inputs": inputs, **more})
    return head + raw, [(b"inference-header-content-length", b"%d" % len(head))]


def raw_input(name: str, datatype: str, size: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [1], "parameters": {"binary_data_size": size}}


RAW = [raw_input("CUSTOMER", "INT64", 8), raw_input("AMOUNT", "FP16", 2), raw_input("CHANNEL", "BYTES", 8)]
CONTENTS = struct.pack("<qe", 1, 500) + struct.pack("<I4s", 4, b"chip")


def test_v1_is_answered_without_the_application(edge: Edge) -> None:
    assert edge.post(PREDICT) == 200
    assert json.loads(edge.answer) == {"predictions": [ANSWER]}
    assert (edge.headers["content-type"], edge.application.scope) == ("application/json", None)


@pytest.mark.parametrize("path", [INFER, VERSIONED])
def test_v2_is_answered_without_the_application(edge: Edge, path: str) -> None:
    assert edge.post(path, orjson.dumps({"id": "r-1", "inputs": TENSORS})) == 200
    assert json.loads(edge.answer) == {
        "id": "r-1",
        "model_name": "card-fraud",
        "model_version": "12",
        "outputs": [
            {"name": "score", "datatype": "FP64", "shape": [1], "data": [0.5]},
            {"name": "decision", "datatype": "BOOL", "shape": [1], "data": [True]},
            {"name": "model_version", "datatype": "BYTES", "shape": [1], "data": ["12"]},
        ],
    }
    assert (edge.headers["x-request-id"], edge.application.scope) == ("r-1", None)


def test_rows_are_explained(edge: Edge) -> None:
    assert edge.post(EXPLAIN) == 200
    assert json.loads(edge.answer) == {"explanations": [{"AMOUNT": 500.0}]}
    assert edge.post(EXPLAIN, amount(-1)) == 400
    assert (edge.error, edge.counted) == ("row 0: AMOUNT: below 0 (found -1.0)", {})


def test_partial_answers_name_the_refused_rows_in_v1_and_v2(edge: Edge) -> None:
    parameters = {"partial": True, "explain_unknown": True}
    rows = [{**ROW, "AMOUNT": -1}, {**ROW, "CHANNEL": "pigeon"}]
    edge.post(PREDICT, orjson.dumps({"instances": rows, "parameters": parameters}))
    refused = "AMOUNT: below 0 (found -1.0)"
    known = {**ANSWER, "unknown_categories": {"CHANNEL": "pigeon"}}
    assert json.loads(edge.answer) == {"predictions": [{"error": refused}, known]}
    columns = {"CUSTOMER": [1, 1], "AMOUNT": [-1, 500], "CHANNEL": ["chip", "pigeon"]}
    tensors = [{**tensor, "shape": [2], "data": columns[str(tensor["name"])]} for tensor in TENSORS]
    edge.post(INFER, orjson.dumps({"inputs": tensors, "parameters": parameters}))
    assert {output["name"]: (output["shape"], output["data"]) for output in json.loads(edge.answer)["outputs"]} == {
        "score": ([1], [0.5]),
        "decision": ([1], [True]),
        "model_version": ([1], ["12"]),
        "unknown_categories": ([1], ['{"CHANNEL": "pigeon"}']),
        "row": ([1], [1]),
        "refused_row": ([1], [0]),
        "refusal": ([1], [refused]),
    }


@pytest.mark.parametrize(
    ("path", "body", "code", "counted"),
    [
        (PREDICT, BODY, 200, "ok"),
        (INFER, V2_BODY, 200, "ok"),
        (PREDICT, amount(-1), 400, "invalid"),
        (INFER, b'{"inputs": []}', 400, "invalid"),
        (INFER, b'{"inputs": 5}', 400, "invalid"),
        (PREDICT, b"{", 400, "invalid"),
        (INFER, b"{", 400, "invalid"),
        (PREDICT, amount(777), 503, "error"),
        (PREDICT, amount(666), 500, "error"),
    ],
)
def test_request_is_counted_once_by_its_outcome(edge: Edge, path: str, body: bytes, code: int, counted: str) -> None:
    assert edge.post(path, body) == code
    assert edge.counted == {counted: 1}


@pytest.mark.parametrize(
    ("body", "code", "counted"),
    [
        (BODY, 200, "ok"),
        (amount(-1), 400, "invalid"),
        (b"{", 400, "invalid"),
        (b" " * (MAX_BODY + 1), 413, "invalid"),
        (amount(666), 500, "error"),
    ],
)
def test_request_to_explain_is_counted_apart(edge: Edge, body: bytes, code: int, counted: str) -> None:
    assert edge.post(EXPLAIN, body) == code
    assert (edge.explained, edge.counted) == ({counted: 1}, {})


@pytest.mark.parametrize("path", [PREDICT, INFER, EXPLAIN])
def test_overload_is_told_before_a_body_is_decoded(edge: Edge, path: str) -> None:
    for _ in range(8):
        edge.plane._admission.enter()
    assert edge.post(path, b"{") == 503
    assert edge.error.endswith("8 requests are in flight; allowed: 8")
    assert (edge.explained if path == EXPLAIN else edge.counted) == {"overloaded": 1}
    for _ in range(8):
        edge.plane._admission.leave(0)


def test_error_that_is_ours_is_told_to_the_log_and_not_to_the_caller(edge: Edge) -> None:
    assert edge.post(PREDICT, amount(666), [(b"x-request-id", b"r-1")]) == 500
    assert "r-1" in edge.error
    assert "secret" not in edge.error
    (line,) = edge.told
    assert "a secret" in line
    assert json.loads(line)["request_id"] == "r-1"


def test_request_for_another_path_is_the_applications_and_not_counted(edge: Edge) -> None:
    assert edge.post("/v1/models/other:predict", [b'{"inst', b'ances"', b": []}"]) == 200
    assert (edge.application.body, edge.counted) == (b'{"instances": []}', {})


@pytest.mark.parametrize("path", [PREDICT, INFER, "/v1/models/other:predict"])
@pytest.mark.parametrize("parts", [[b" " * MAX_BODY, b" "], [b" " * (MAX_BODY + 1)], [b" " * MAX_BODY] * 6])
def test_body_over_the_limit_is_refused(edge: Edge, path: str, parts: list[bytes]) -> None:
    assert edge.post(path, parts) == 413
    assert edge.error == "the body is larger than allowed: 8388608 bytes"
    assert edge.headers["connection"] == "close"
    assert edge.counted == ({} if "other" in path else {"invalid": 1})
    assert edge.application.scope is None


def test_body_at_the_limit_and_in_parts_is_taken(edge: Edge) -> None:
    assert edge.post(PREDICT, [BODY[:20], BODY[20:], b" " * (MAX_BODY - len(BODY))]) == 200
    assert edge.post(INFER, [V2_BODY, b" " * (MAX_BODY - len(V2_BODY))]) == 200


@pytest.mark.parametrize("path", [PREDICT, INFER, EVENTS, "/v1/models/other:predict"])
def test_caller_that_goes_away_gets_no_answer_and_leaves_no_trace(edge: Edge, path: str) -> None:
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert edge.exchange(path, messages) == -1
    assert edge.exchange(path, [{"type": "http.disconnect"}]) == -1
    assert (edge.counted, edge.told, edge.application.scope) == ({}, [], None)


def test_own_version_is_taken_out_of_other_paths_and_another_is_not_found(edge: Edge) -> None:
    assert edge.post("/v2/models/card-fraud/versions/12/ready") == 200
    assert edge.application.scope["path"] == "/v2/models/card-fraud/ready"
    for path in ("/v2/models/card-fraud/versions/120/infer", "/v2/models/other/versions/12/infer"):
        assert edge.post(path, V2_BODY) == 404
        assert edge.error.endswith("does not exist.")
    assert edge.counted == {}


@pytest.mark.parametrize("content", [b"application/x-www-form-urlencoded", b"text/plain; charset=klingon", b"\xff"])
@pytest.mark.parametrize(("path", "body"), [(PREDICT, BODY), (INFER, V2_BODY)])
def test_body_is_json_whatever_the_header_says(edge: Edge, path: str, body: bytes, content: bytes) -> None:
    assert edge.post(path, body, [(b"content-type", content), (b"ce-id", b"1")]) == 200


def test_what_the_application_gets_is_json_without_cloud_events(edge: Edge) -> None:
    edge.post("/other", headers=[(b"content-type", b"text/plain"), (b"ce-id", b"1"), (b"x-request-id", b"r-1")])
    assert edge.application.scope["headers"] == [(b"x-request-id", b"r-1"), (b"content-type", b"application/json")]


@pytest.mark.parametrize("encoding", [b"gzip", b"GZIP", b"x-gzip"])
@pytest.mark.parametrize("path", [PREDICT, "/other"])
def test_gzip_body_is_decompressed(edge: Edge, path: str, encoding: bytes) -> None:
    body = gzip.compress(BODY)
    headers = [(b"content-encoding", encoding), (b"content-length", b"%d" % len(body))]
    assert edge.post(path, [body[:9], body[9:]], headers) == 200
    if path == PREDICT:
        assert json.loads(edge.answer)["predictions"] == [ANSWER]
    else:
        assert edge.application.body == BODY
        assert edge.application.scope["headers"][1:] == [(b"content-type", b"application/json")]


def test_gzip_body_that_becomes_larger_than_allowed_is_refused(edge: Edge) -> None:
    bomb = gzip.compress(BODY + b" " * (MAX_BODY - len(BODY) + 1))
    assert len(bomb) < MAX_BODY / 100
    assert edge.post(PREDICT, bomb, [GZIP]) == 413
    assert edge.error == "the body is larger than allowed: 8388608 bytes"
    assert edge.counted == {"invalid": 1}
    assert edge.post(PREDICT, gzip.compress(BODY + b" " * (MAX_BODY - len(BODY))), [GZIP]) == 200


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
def test_body_that_is_no_gzip_is_refused(edge: Edge, body: bytes, text: str) -> None:
    assert edge.post(PREDICT, body, [GZIP]) == 400
    assert edge.error.startswith(text)


@pytest.mark.parametrize("encodings", [[b"br"], [b"deflate"], [b"gzip, gzip"], [b"gzip", b"gzip"], [b"\xff"]])
def test_other_content_encodings_are_not_supported(edge: Edge, encodings: list[bytes]) -> None:
    assert edge.post(PREDICT, headers=[(b"content-encoding", encoding) for encoding in encodings]) == 415
    found = b", ".join(encodings).decode("latin-1")
    assert edge.error == f"the body has Content-Encoding {found!r}; allowed: gzip, or none"
    assert edge.headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(("path", "body"), [(PREDICT, BODY), (INFER, V2_BODY)])
def test_byte_order_mark_before_json_is_passed_over(edge: Edge, path: str, body: bytes) -> None:
    assert edge.post(path, b"\xef\xbb\xbf" + body) == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"a": NaN}', b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[" * 5000, BODY.decode().encode("utf-16")],
)
def test_body_that_is_no_json_is_refused_with_the_same_words_in_v1_and_v2(edge: Edge, body: bytes) -> None:
    told = set()
    for path in (PREDICT, INFER):
        assert edge.post(path, body) == 400
        told.add(edge.error)
    (text,) = told
    assert text.startswith("the body is no JSON in UTF-8: ")
    assert edge.counted == {"invalid": 2}


@pytest.mark.parametrize(("path", "body"), [(PREDICT, BODY), (EXPLAIN, BODY), (INFER, V2_BODY), (VERSIONED, V2_BODY)])
def test_slash_at_the_end_of_a_path_makes_no_difference(edge: Edge, path: str, body: bytes) -> None:
    for end in ("/", "//"):
        assert edge.post(path + end, body, [(b"host", b"elsewhere")]) == 200
    edge.post("/other/", body)
    assert edge.application.scope["path"] == "/other"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [PREDICT, EXPLAIN, INFER, INFER + "/"])
def test_hot_path_allows_post_only(edge: Edge, method: str, path: str) -> None:
    assert edge.post(path, method=method) == 405
    assert edge.headers["allow"] == "POST"
    assert edge.error == f"{method} {path.rstrip('/')}: allowed is POST, with the rows to predict"
    assert (edge.application.scope, edge.counted) == (None, {})


@pytest.mark.parametrize("path", [PREDICT, EXPLAIN])
def test_id_of_a_request_is_that_of_its_header_or_a_new_one(edge: Edge, path: str) -> None:
    for given in (b"r-1", b"r" * 256):
        edge.post(path, headers=[(b"x-request-id", given)])
        assert edge.headers["x-request-id"] == given.decode()
    found = set()
    for _ in range(600):
        edge.post(path, headers=[(b"x-request-id", b"")])
        found.add(edge.headers["x-request-id"])
    assert len(found) == 600
    assert {len(id_) for id_ in found} == {32}


def test_id_of_a_v2_request_is_its_own_before_its_headers(edge: Edge) -> None:
    header = [(b"x-request-id", b"h-1")]
    for own, expected in (({"id": "r-1"}, "r-1"), ({}, "h-1"), ({"id": ""}, "h-1"), ({"id": None}, "h-1")):
        edge.post(INFER, orjson.dumps({"inputs": TENSORS, **own}), header)
        assert (edge.headers["x-request-id"], json.loads(edge.answer)["id"]) == (expected, expected)


@pytest.mark.parametrize(
    ("own", "header"),
    [
        ("a\r\nx: y", "a%0D%0Ax%3A y"),
        ("é", "%C3%A9"),
        ("\x7f", "%7F"),
        ("a b", "a b"),
        (" ", "%20"),
        ("a b ", "a%20b%20"),
    ],
)
def test_id_that_a_header_can_not_hold_is_encoded_there(edge: Edge, own: str, header: str) -> None:
    edge.post(INFER, orjson.dumps({"inputs": TENSORS, "id": own}))
    assert (edge.headers["x-request-id"], json.loads(edge.answer)["id"]) == (header, own)


def test_refusals_carry_the_id_too(edge: Edge) -> None:
    header = [(b"x-request-id", b"r-1")]
    for path, body in ((PREDICT, b"{"), (PREDICT, amount(-1)), (PREDICT, amount(777)), (INFER, b"{"), (EVENTS, b"{")):
        assert edge.post(path, body, header) >= 400
        assert edge.headers["x-request-id"] == "r-1"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/other", "/v2/models/card-fraud/versions/13/infer"])
def test_every_other_answer_carries_an_id_that_the_application_knows_too(edge: Edge, path: str, method: str) -> None:
    edge.post(path, BODY, [(b"x-request-id", b"r-1")], method)
    assert edge.headers["x-request-id"] == "r-1"
    edge.post(path, BODY, [(b"x-request-id", b"r" * 257)], method)
    assert [name for name, _ in edge.sent[0]["headers"]].count(b"x-request-id") == 1
    assert len(edge.headers["x-request-id"]) == 32
    if path == "/other":
        assert (b"x-request-id", edge.headers["x-request-id"].encode()) in edge.application.scope["headers"]


@pytest.mark.parametrize("path", [PREDICT, EXPLAIN, INFER, EVENTS])
def test_id_that_is_too_long_is_refused_and_not_repeated(edge: Edge, path: str) -> None:
    body = V2_BODY if path == INFER else BODY
    assert edge.post(path, body, [(b"x-request-id", b"r" * 257)]) == 400
    assert edge.error == "the request id has 257 characters; allowed: a text of at most 256 characters"
    assert len(edge.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("more", "binaries"),
    [
        ({"parameters": {"binary_data_output": True}}, ("score", "decision", "model_version")),
        ({"outputs": [{"name": "score", "parameters": {"binary_data": True}}, {"name": "decision"}]}, ("score",)),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "score", "parameters": {"binary_data": False}}, {"name": "model_version"}],
            },
            ("model_version",),
        ),
        ({"outputs": [{"name": "decision"}, {"name": "score"}]}, ()),
    ],
)
def test_outputs_are_those_that_are_asked_for_and_encoded_so(
    edge: Edge, more: dict[str, Any], binaries: tuple[str, ...]
) -> None:
    from kserve import InferResponse

    body, headers = binary(RAW, CONTENTS, **more)
    assert edge.post(INFER, body, headers) == 200, edge.answer
    size = int(edge.headers.get("inference-header-content-length", len(edge.answer)))
    assert edge.headers["content-type"] == ("application/octet-stream" if binaries else "application/json")
    told = json.loads(edge.answer[:size])["outputs"]
    asked = [output["name"] for output in more.get("outputs", [])] or ["score", "decision", "model_version"]
    assert [output["name"] for output in told] == asked
    assert tuple(output["name"] for output in told if "data" not in output) == binaries
    read = InferResponse.from_bytes(edge.answer, size)
    assert {output.name: output.data for output in read.outputs} == {name: [ANSWER[name]] for name in asked}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"outputs": [{"name": "other"}]}, "output 'other' is unknown; allowed: score, decision, model_version"),
        ({"outputs": [{"name": "row"}]}, "output 'row' is unknown; allowed: score, decision, model_version"),
        (
            {"outputs": [{"name": "score", "parameters": {"binary_data": 1}}]},
            "output score: binary_data: found 1, allowed: true or false",
        ),
        (
            {"parameters": {"binary_data_output": "yes"}},
            "parameter binary_data_output: found 'yes', allowed: true or false",
        ),
        ({"outputs": 5}, "the body is no inference request: Expected `array | null`, got `int` - at `$.outputs`"),
        ({"id": 5}, "the body is no inference request: Expected `str | null`, got `int` - at `$.id`"),
        ({"parameters": {"partial": []}}, "the body is no inference request: "),
    ],
)
def test_request_for_what_there_is_not_is_refused_before_it_is_answered(
    edge: Edge, more: dict[str, Any], text: str
) -> None:
    assert edge.post(INFER, orjson.dumps({"inputs": TENSORS, **more})) == 400
    assert edge.error.startswith(text)
    assert edge.counted == {"invalid": 1}


@pytest.mark.parametrize(
    ("inputs", "raw", "text"),
    [
        (RAW, CONTENTS + b"x", "1 bytes follow the last tensor; allowed: none"),
        (RAW, CONTENTS[:-1], "column 'CHANNEL': found binary_data_size 8, allowed: what is left of the body after"),
        ([raw_input("AMOUNT", "FP64", -8)], b"", "column 'AMOUNT': found binary_data_size -8, allowed: what is left"),
        ([raw_input("AMOUNT", "FP64", 7)], b"1234567", "column AMOUNT: its raw contents have 7 bytes; allowed: 8 for"),
        ([raw_input("CHANNEL", "BYTES", 5)], b"\xff" * 5, "column CHANNEL: its raw contents end within value 0; "),
        ([raw_input("CHANNEL", "BOOL", 1)], b"\x02", "column CHANNEL: found 2 in its raw contents of BOOL; allowed: 0"),
        ([raw_input("AMOUNT", "FP99", 2)], b"12", "column AMOUNT: found datatype 'FP99', allowed: FP64, "),
        ([raw_input("AMOUNT", "FP64", 16)], b"\0" * 16, "column AMOUNT: found 2 values, allowed: 1, as its shape says"),
        ([{**RAW[0], "data": [1]}], CONTENTS[:8], "column 'CUSTOMER': found data beside binary_data_size"),
        (
            [{"name": "AMOUNT", "datatype": "FP64", "shape": [1]}],
            b"",
            "column 'AMOUNT': found no data, allowed: a list",
        ),
        ([{**TENSORS[1], "datatype": "FP16"}], b"", "column 'AMOUNT': found FP16 in JSON, allowed: as raw contents"),
    ],
)
def test_raw_contents_that_are_not_as_told_are_refused(
    edge: Edge, inputs: list[dict[str, Any]], raw: bytes, text: str
) -> None:
    body, headers = binary(inputs, raw)
    assert edge.post(INFER, body, headers) == 400
    assert edge.error.startswith(text)


@pytest.mark.parametrize("length", [b"many", b"-7", b"1000000", b"9" * 5000, b"", b"\xb2"])
def test_length_of_the_json_has_to_be_one(edge: Edge, length: bytes) -> None:
    assert edge.post(INFER, V2_BODY, [(b"inference-header-content-length", length)]) == 400
    assert edge.error.startswith("inference-header-content-length: found '")
    assert edge.post(PREDICT, headers=[(b"inference-header-content-length", length)]) == 200


def test_not_a_number_in_raw_contents_is_missing(edge: Edge) -> None:
    inputs = [raw_input(name, "FP64", 8) for name in ("AMOUNT", "count_1d", "rate_7d")]
    body, headers = binary(inputs, np.array([5.0, np.nan, 1.0]).tobytes())
    assert edge.post(INFER, body, headers) == 200


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_more_rows_than_allowed_are_refused(edge: Edge, path: str) -> None:
    count = 100_000
    rows = b'{"instances":[' + b",".join([b'{"AMOUNT":-1}'] * count) + b"]}"
    columns = {str(tensor["name"]): [value] * count for tensor in TENSORS for value in tensor["data"]}
    tensors = [{**tensor, "shape": [count], "data": columns[str(tensor["name"])]} for tensor in TENSORS]
    assert edge.post(path, rows if path == PREDICT else orjson.dumps({"inputs": tensors})) == 400
    assert edge.error == f"the request has {count} rows; allowed: 1 to 4096"


def test_refusal_with_a_lone_surrogate_can_be_sent() -> None:
    answer = asyncio.run(bad_input(Request({"type": "http"}), ValueError("column \ud800é is unknown")))
    assert answer.status_code == 400
    assert json.loads(bytes(answer.body)) == {"error": "column \\ud800é is unknown"}


def test_pushed_events_reach_no_model_and_are_no_prediction(with_events: Edge) -> None:
    body = orjson.dumps({"events": [sent(transaction(5, 0.5))]})
    assert with_events.post(EVENTS, b"\xef\xbb\xbf" + body) == 200
    assert json.loads(with_events.answer) == {"accepted": 1, "new": 1}
    assert with_events.post(EVENTS + "/", gzip.compress(body), [GZIP]) == 200
    assert json.loads(with_events.answer) == {"accepted": 1, "new": 0}
    assert (with_events.application.scope, with_events.counted) == (None, {})


def test_events_that_break_a_rule_are_refused(with_events: Edge) -> None:
    event = sent(transaction(5, 0.5))
    assert with_events.post(EVENTS, orjson.dumps({"events": [{**event, "TX_AMOUNT": -1}]})) == 400
    assert with_events.error == "event 0: TX_AMOUNT: below 0 (found -1.0)"


def test_model_without_windows_takes_no_events(edge: Edge) -> None:
    assert edge.post(EVENTS, b'{"events": []}') == 404
    assert edge.error.startswith("card-fraud takes no events: ")


def test_events_are_posted_as_json_of_a_bounded_size(with_events: Edge) -> None:
    assert with_events.post(EVENTS, method="GET") == 405
    assert with_events.error == "GET /v1/events: allowed is POST, with the events and labels to push"
    assert with_events.post(EVENTS, b"{") == 400
    assert with_events.post(EVENTS, [b" " * MAX_BODY, b" "]) == 413
