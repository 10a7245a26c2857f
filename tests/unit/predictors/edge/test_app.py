"""Which requests the edge answers, how they are counted, and what is left to the application."""

import asyncio
import gzip
import json

import orjson
import pytest
from fastapi import Request

from predictors.edge.app import EVENTS
from predictors.edge.behind import bad_input
from predictors.edge.body import MAX_BODY
from tests.edge import ANSWER, BODY, EXPLAIN, INFER, PREDICT, ROW, TENSORS, V2_BODY, VERSIONED, Edge, amount


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


def test_rows_of_a_partial_request_are_explained_in_their_places_beside_the_refused_ones(edge: Edge) -> None:
    rows = [{**ROW, "AMOUNT": -1}, ROW, {**ROW, "CHANNEL": 5}]
    assert edge.post(EXPLAIN, orjson.dumps({"instances": rows, "parameters": {"partial": True}})) == 200
    first, second, third = json.loads(edge.answer)["explanations"]
    assert (first, second) == ({"error": "AMOUNT: below 0 (found -1.0)"}, {"AMOUNT": 500.0})
    assert third["error"].startswith("CHANNEL: not text")
    assert edge.explained == {"ok": 1}


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


def test_features_that_the_store_lacks_are_told_of_each_row_in_v1_and_of_all_in_v2(edge: Edge) -> None:
    edge.post(PREDICT, orjson.dumps({"instances": [ROW, {**ROW, "AMOUNT": 333}]}))
    lacking = {"score": 0.333, "decision": False, "model_version": "12", "missing_features": 2}
    assert json.loads(edge.answer) == {"predictions": [ANSWER, lacking]}
    for amounts, told in (([500, 333, 333], {"missing_features": 4}), ([500], None)):
        columns = {"CUSTOMER": [1] * len(amounts), "AMOUNT": amounts, "CHANNEL": ["chip"] * len(amounts)}
        tensors = [{**one, "shape": [len(amounts)], "data": columns[str(one["name"])]} for one in TENSORS]
        for outputs in ([], [{"name": "score"}]):
            edge.post(INFER, orjson.dumps({"inputs": tensors, "outputs": outputs}))
            assert json.loads(edge.answer).get("parameters") == told


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
    ("path", "body", "encoding", "code"),
    [
        (PREDICT, BODY, b"", 200),
        (PREDICT + "/", BODY, b"identity", 200),
        (PREDICT, gzip.compress(BODY, mtime=0), b"gzip", 200),
        (PREDICT, BODY, b"gzip", 400),
        (PREDICT, BODY, b"br", 415),
        (PREDICT, b"{", b"", 400),
        (PREDICT, amount(666), b"", 500),
        (PREDICT, amount(777), b"", 503),
        (INFER, V2_BODY, b"", 200),
        (VERSIONED, b"{", b"", 400),
        (EXPLAIN, BODY, b"", 200),
        (EXPLAIN, amount(-1), b"", 400),
        (EVENTS, b"{}", b"", 404),
    ],
)
def test_answer_is_the_same_with_and_without_asgi(
    edge: Edge, path: str, body: bytes, encoding: bytes, code: int
) -> None:
    headers = [(b"x-request-id", b"r-1"), *([(b"content-encoding", encoding)] if encoding else [])]
    assert edge.post(path, body, headers) == code
    said, counted = (edge.headers, edge.answer), (edge.counted, edge.explained)
    assert edge.post_directly(path, body, headers) == code
    assert (edge.headers, edge.answer) == said
    assert (edge.counted, edge.explained) == tuple(dict.fromkeys(counts, 2) for counts in counted)
    assert edge.headers["x-request-id"] == "r-1"
    assert edge.plane.held.bytes == 0


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
    assert edge.post("/v2/repository/models/other/load", [b'{"inst', b'ances"', b": []}"]) == 200
    assert (edge.application.body, edge.counted) == (b'{"instances": []}', {})


@pytest.mark.parametrize("path", [PREDICT, INFER, EVENTS, "/v2/repository/models/other/load"])
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


@pytest.mark.parametrize(
    "path", ["/v1/models/card_fraud:predict", "/v1/models/card_fraud:explain/", "/v2/models/card_fraud/infer"]
)
def test_another_model_is_not_found_whatever_the_body(edge: Edge, path: str) -> None:
    for body in (BODY, b"\x00\xff"):
        assert edge.post(path, body) == 404
        assert edge.error == "Model with name card_fraud does not exist."
    assert (edge.counted, edge.application.scope) == ({}, None)


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
