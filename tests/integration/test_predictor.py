"""The predictor as a process, with a real feature store: REST, gRPC, metrics, prediction log."""

import asyncio
import gzip
import json
import math
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest
from pyarrow.dataset import field

from serin import partitions
from serin.storage import files
from tests.factories import make_artifact
from tests.predictor_process import Predictor, grpc_refusal, infer, row, set_up_store, start, tensors, workspace

TIME = "not an ISO 8601 time (2018-06-01T12:00) from 1970 to 2199"


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    root = workspace(tmp_path_factory.mktemp("predictor") / "root")
    make_artifact(root / "model", store=True)
    set_up_store(root)
    running = start(root, root / "model")
    yield running
    assert running.stop() == 0, running.output.read_text()


def test_v1_v2_and_grpc_give_the_same_score_for_the_same_row(predictor: Predictor) -> None:
    from kserve import InferResponse

    (first,) = predictor.v1(row()).json()["predictions"]
    assert first["model_version"] == "12"
    assert first["decision"] == (first["score"] >= 0.5)
    rest = httpx.post(f"{predictor.http}/v2/models/card-fraud/infer", json={"id": "r-1", "inputs": tensors()}).json()
    assert (rest["id"], rest["model_version"]) == ("r-1", "12")
    assert {output["name"]: output["data"] for output in rest["outputs"]} == {
        "score": [first["score"]],
        "decision": [first["decision"]],
        "model_version": ["12"],
    }
    for raw in (False, True):
        answer = InferResponse.from_grpc(asyncio.run(infer(predictor.grpc, tensors(), raw=raw)))
        assert (answer.id, answer.model_version) == ("g-1", "12")
        assert answer.get_output_by_name("score").as_numpy().tolist() == [first["score"]]
        assert answer.get_output_by_name("decision").as_numpy().tolist() == [first["decision"]]


def test_features_come_from_the_store_and_raw_rows_bring_their_own(predictor: Predictor) -> None:
    known, other = row(TERMINAL_ID=8), row(TERMINAL_ID=7)
    raw = {name: known[name] for name in ("TX_AMOUNT", "CHANNEL", "TX_DATETIME")}
    raw |= {"customer_count_1d": 2.0, "terminal_fraud_rate_7d": 0.9}
    keyed = [item["score"] for item in predictor.v1(known, other).json()["predictions"]]
    (given,) = predictor.v1(raw).json()["predictions"]
    assert keyed[0] == given["score"]
    assert keyed[0] != keyed[1]
    assert predictor.metric("model_feature_age_seconds") == 36 * 3600


def test_unknown_entity_is_scored_and_counted_as_misses(predictor: Predictor) -> None:
    before = predictor.metric("model_feature_misses_total")
    answer = predictor.v1(row(CUSTOMER_ID=999, TERMINAL_ID=998))
    assert answer.status_code == 200
    assert 0 <= answer.json()["predictions"][0]["score"] <= 1
    assert predictor.metric("model_feature_misses_total") == before + 2


def test_bad_request_is_refused_with_the_same_text_everywhere(predictor: Predictor) -> None:
    text = "row 0: TX_AMOUNT: below 0 (found -1.0)"
    first = predictor.v1(row(TX_AMOUNT=-1))
    assert (first.status_code, first.json()) == (400, {"error": text})
    second = httpx.post(f"{predictor.http}/v2/models/card-fraud/infer", json={"inputs": tensors(TX_AMOUNT=-1)})
    assert (second.status_code, second.json()) == (400, {"error": text})
    assert grpc_refusal(predictor.grpc, tensors(TX_AMOUNT=-1)) == ("INVALID_ARGUMENT", text)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"CUSTOMER_ID": 2**63 - 1, "TX_AMOUNT": 1e39}, "TX_AMOUNT: not a finite number (32 bits) (found 1e+39)"),
        ({"CUSTOMER_ID": -1}, "CUSTOMER_ID: below 0 (found -1)"),
        ({"TX_DATETIME": "soon"}, f"TX_DATETIME: {TIME} (found 'soon')"),
        ({"TX_DATETIME": "9999-12-31"}, f"TX_DATETIME: {TIME} (found '9999-12-31')"),
        (
            {"CHANNEL": "x" * 1025, "TX_AMOUNT": -1},
            "TX_AMOUNT: below 0 (found -1.0); CHANNEL: not text of at most 1024",
        ),
    ],
)
def test_v1_v2_and_grpc_refuse_with_the_same_words(predictor: Predictor, changes: dict[str, Any], text: str) -> None:
    first = predictor.v1(row(**changes)).json()["error"]
    assert first.startswith(f"row 0: {text}")
    assert infer_v2(predictor, {"inputs": tensors(**changes)}).json()["error"] == first
    assert grpc_refusal(predictor.grpc, tensors(**changes)) == ("INVALID_ARGUMENT", first)


def test_long_refusal_reaches_a_grpc_client(predictor: Predictor) -> None:
    rows = [{**item, "shape": [30], "data": item["data"] * 30} for item in tensors(TX_DATETIME="\U0001f4b3" * 60)]
    code, text = grpc_refusal(predictor.grpc, rows)
    assert (code, text.splitlines()[0]) == ("INVALID_ARGUMENT", "30 of 30 rows are refused:")


def test_float_beyond_exact_integers_is_no_key_in_rows_and_tensors(predictor: Predictor) -> None:
    body = json.dumps({"instances": [row(CUSTOMER_ID=0)]}).replace(
        '"CUSTOMER_ID": 0', '"CUSTOMER_ID": 9007199254740993.0'
    )
    first = httpx.post(f"{predictor.http}/v1/models/card-fraud:predict", content=body)
    told = "a float beyond 9007199254740991, where it may stand for several whole numbers"
    text = f"row 0: CUSTOMER_ID: {told} (found 9007199254740992.0)"
    assert (first.status_code, first.json()) == (400, {"error": text})
    second = infer_v2(predictor, {"inputs": tensors(CUSTOMER_ID=9007199254740993.0)})
    assert (second.status_code, second.json()) == (400, {"error": text})
    key, *others = tensors(CUSTOMER_ID=9007199254740993.0)
    assert grpc_refusal(predictor.grpc, [{**key, "datatype": "FP64"}, *others]) == (
        "INVALID_ARGUMENT",
        "column CUSTOMER_ID: found datatype 'FP64', allowed: INT64, UINT64, INT32, UINT32, INT16, UINT16, INT8, UINT8",
    )


def test_partial_answers_are_the_same_in_v1_v2_and_grpc(predictor: Predictor) -> None:
    from kserve import InferResponse

    parameters = {"partial": True, "explain_unknown": True}
    rows = [row(TX_AMOUNT=-1.0), row(CHANNEL="Chip ")]
    url = f"{predictor.http}/v1/models/card-fraud:predict"
    before = predictor.metric("model_unknown_categories_total", column="CHANNEL")
    refused, scored = httpx.post(url, json={"instances": rows, "parameters": parameters}).json()["predictions"]
    assert refused == {"error": "TX_AMOUNT: below 0 (found -1.0)"}
    assert scored["unknown_categories"] == {"CHANNEL": "Chip "}
    expected = {
        "score": [scored["score"]],
        "decision": [scored["decision"]],
        "model_version": ["12"],
        "unknown_categories": ['{"CHANNEL": "Chip "}'],
        "row": [1],
        "refused_row": [0],
        "refusal": [refused["error"]],
    }
    first, second = (tensors(**changes) for changes in ({"TX_AMOUNT": -1.0}, {"CHANNEL": "Chip "}))
    both = [
        {**one, "shape": [2], "data": one["data"] + other["data"]} for one, other in zip(first, second, strict=True)
    ]
    answer = infer_v2(predictor, {"inputs": both, "parameters": parameters}).json()
    assert {output["name"]: output["data"] for output in answer["outputs"]} == expected
    grpc = InferResponse.from_grpc(asyncio.run(infer(predictor.grpc, both, parameters=parameters)))
    data = {output.name: output.as_numpy().tolist() for output in grpc.outputs}
    assert {name: [_text(value) for value in values] for name, values in data.items()} == expected
    assert predictor.metric("model_unknown_categories_total", column="CHANNEL") == before + 3


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def test_partial_answer_without_a_refused_row_can_be_sent(predictor: Predictor) -> None:
    from kserve import InferResponse

    answer = infer_v2(predictor, {"inputs": tensors(), "parameters": {"partial": True}}).json()
    found = {output["name"]: (output["shape"], output["data"]) for output in answer["outputs"]}
    assert (found["row"], found["refused_row"], found["refusal"]) == (([1], [0]), ([0], []), ([0], []))
    for raw in (False, True):
        message = asyncio.run(infer(predictor.grpc, tensors(), raw=raw, parameters={"partial": True}))
        assert InferResponse.from_grpc(message).get_output_by_name("refused_row").shape == [0]


def test_base64_is_decoded_and_other_content_types_are_refused(predictor: Predictor) -> None:
    (expected,) = predictor.v1(row(CHANNEL="online")).json()["predictions"]
    for content, status in (("base64", 200), ("pd", 400)):
        inputs = [
            {**item, "data": ["b25saW5l"], "parameters": {"content_type": content}}
            if item["name"] == "CHANNEL"
            else item
            for item in tensors()
        ]
        answer = infer_v2(predictor, {"inputs": inputs})
        assert answer.status_code == status, answer.text
        if status == 200:
            assert answer.json()["outputs"][0]["data"] == [expected["score"]]
            assert asyncio.run(infer(predictor.grpc, inputs)).outputs[0].contents.fp64_contents == [expected["score"]]
        else:
            text = "column CHANNEL: found content_type 'pd', allowed: no content_type or 'base64'"
            assert answer.json() == {"error": text}
            assert grpc_refusal(predictor.grpc, inputs) == ("INVALID_ARGUMENT", text)


def test_compressed_bodies_slashes_and_methods(predictor: Predictor) -> None:
    (expected,) = predictor.v1(row()).json()["predictions"]
    bodies = {":predict": {"instances": [row()]}, "/infer": {"inputs": tensors()}}
    for version, path in (("v1", ":predict"), ("v2", "/infer")):
        url = f"{predictor.http}/{version}/models/card-fraud{path}"
        body = gzip.compress(b"\xef\xbb\xbf" + json.dumps(bodies[path]).encode())
        for end in ("", "/"):
            answer = httpx.post(url + end, content=body, headers={"content-encoding": "gzip", "host": "elsewhere"})
            assert (answer.status_code, answer.is_redirect) == (200, False), answer.text
            assert str(expected["score"]) in answer.text
            refused = httpx.get(url + end)
            assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    for path in ("/v2/models/card-fraud/", "/metrics/", "/v2//", "/nothing/"):
        assert not httpx.get(predictor.http + path, headers={"host": "elsewhere"}).is_redirect, path


def exchange(predictor: Predictor, head: str, body: bytes = b"") -> bytes:
    """What the server sends until the end of its JSON."""
    host, port = predictor.http.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"POST /v1/models/card-fraud:predict {head}\r\n\r\n".encode() + body)
        received = b""
        while not received.endswith(b"}") and (part := connection.recv(65536)):
            received += part
        return received


def test_every_way_to_send_a_body_is_understood(predictor: Predictor) -> None:
    (expected,) = predictor.v1(row()).json()["predictions"]
    body = json.dumps({"instances": [row()]}).encode()
    length = f"content-length: {len(body)}"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:10], body[10:])) + b"0\r\n\r\n"
    for head, sent in (
        (f"HTTP/1.0\r\n{length}", body),
        (f"HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}", body),
        (f"HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n{length}", body),
        ("HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked", chunks),
    ):
        answer = exchange(predictor, head, sent)
        assert answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n"), answer
        assert json.loads(answer.rsplit(b"\r\n\r\n", 1)[1])["predictions"] == [expected]


def test_caller_that_goes_away_leaves_no_line(predictor: Predictor) -> None:
    host, port = predictor.http.removeprefix("http://").split(":")
    before = predictor.output.read_text()
    for path in ("/v1/models/card-fraud:predict", "/v2/models/card-fraud/infer", "/v1/models/other:predict"):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{".encode())
    assert predictor.v1(row()).status_code == 200
    assert predictor.output.read_text() == before


def test_a_much_larger_body_than_allowed_has_its_answer(predictor: Predictor) -> None:
    answer = exchange(predictor, f"HTTP/1.1\r\nhost: x\r\ncontent-length: {10**7}", b" " * 10**7)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_page_of_the_api_shows_this_models_requests(predictor: Predictor) -> None:
    document = httpx.get(f"{predictor.http}/openapi.json").json()
    shown = document["components"]["schemas"]["KeyedRow"]
    assert list(shown["properties"]) == list(row())
    assert shown["required"] == ["CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT"]
    assert "/v1/models/card-fraud:predict" in document["paths"]
    page = httpx.get(f"{predictor.http}/docs").text
    assert all(f'name="path" value="{path}"' in page for path in document["paths"])


def infer_v2(predictor: Predictor, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{predictor.http}/v2/models/card-fraud/infer", json=body, timeout=30)


def test_path_that_only_kserves_routes_match_is_not_found(predictor: Predictor) -> None:
    for path, body in (
        ("/v1/models/card-fraud:predict", {"instances": [row()]}),
        ("/v1/models/card-fraud:explain", {"instances": [row()]}),
        ("/v2/models/card-fraud/infer", {"inputs": tensors()}),
    ):
        answer = httpx.post(f"{predictor.http}{path}%0A", json=body)
        assert (answer.status_code, "no such path" in answer.json()["error"]) == (404, True), answer.text


def test_unknown_model_and_version_are_not_found(predictor: Predictor) -> None:
    for path in ("/v1/models/other:predict", "/v2/models/other/infer", "/v2/models/card-fraud/versions/13/infer"):
        assert httpx.post(predictor.http + path, json={"inputs": tensors()}).status_code == 404, path
    own = httpx.post(f"{predictor.http}/v2/models/card-fraud/versions/12/infer", json={"inputs": tensors()})
    assert own.status_code == 200
    assert grpc_refusal(predictor.grpc, tensors(), "other")[0] == "NOT_FOUND"


HOSTILE_BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "not UTF-8": b'{"instances": [{"CHANNEL": "\xff"}]}',
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "deep": b'{"instances": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "deep and allowed": b'{"instances": [{"TX_AMOUNT": ' + b"[" * 900 + b"]" * 900 + b"}]}",
    "deep in a tensor": b'{"inputs":[{"name":"TX_AMOUNT","datatype":"FP64","shape":[1],"data":'
    + b"[" * 900
    + b"]" * 900
    + b"}]}",
    "huge integer": b'{"instances": [{"TX_AMOUNT": ' + b"9" * 5000 + b"}]}",
    "huge tensor integer": b'{"inputs":[{"name":"CUSTOMER_ID","datatype":"INT64","shape":[1],"data":['
    + b"9" * 400
    + b"]}]}",
    "NaN": b'{"inputs":[{"name":"TX_AMOUNT","datatype":"FP64","shape":[1],"data":[NaN]}]}',
    "infinity": b'{"inputs":[{"name":"TX_AMOUNT","datatype":"FP64","shape":[1],"data":[Infinity]}]}',
    "wrong length": b'{"inputs":[{"name":"TX_AMOUNT","datatype":"FP64","shape":[3],"data":[1]}]}',
    "negative shape": b'{"inputs":[{"name":"TX_AMOUNT","datatype":"FP64","shape":[-1],"data":[1]}]}',
    "unknown datatype": b'{"inputs":[{"name":"TX_AMOUNT","datatype":"FP8","shape":[1],"data":[1]}]}',
    "half precision as JSON": b'{"inputs":[{"name":"TX_AMOUNT","datatype":"FP16","shape":[1],"data":[1]}]}',
    "no row": b'{"inputs":[{"name":"TX_AMOUNT","datatype":"FP64","shape":[0],"data":[]}]}',
    "cloud event": b'{"time":1,"type":2,"source":3,"id":4,"specversion":"9","data":5}',
}
HOSTILE_HEADERS: list[dict[str, str]] = [
    {},
    {"content-type": "text/plain; charset=klingon"},
    {"content-type": "application/cloudevents+json"},
    {"ce-specversion": "1.0", "ce-type": "x", "ce-source": "y", "ce-id": "z"},
    {"inference-header-content-length": "many"},
    {"inference-header-content-length": "-7"},
    {"inference-header-content-length": "99"},
]


def test_hostile_bodies_are_refused_and_never_fail(predictor: Predictor) -> None:
    errors = predictor.metric("model_predictions_total", status="error")
    with httpx.Client(base_url=predictor.http, timeout=30) as client:
        for path in ("/v1/models/card-fraud:predict", "/v2/models/card-fraud/infer"):
            for name, body in HOSTILE_BODIES.items():
                for headers in HOSTILE_HEADERS:
                    answer = client.post(path, content=body, headers=headers)
                    assert answer.status_code == 400, (path, name, headers, answer.text)
    assert predictor.metric("model_predictions_total", status="error") == errors


@pytest.mark.parametrize(
    "head",
    [
        '{"inputs": 5}',
        '{"inputs": [5]}',
        '{"inputs": [{"name": 5, "shape": [1], "datatype": "FP64", "data": [1.0]}]}',
        '{"inputs": [{"name": "TX_AMOUNT", "shape": [1], "datatype": 5, "data": [1.0]}]}',
        '{"inputs": [{"name": "TX_AMOUNT", "shape": "x", "datatype": "FP64", "data": "x"}]}',
        '{"inputs": [{"name": "A", "shape": [1], "datatype": "INT8", "parameters": {"binary_data_size": 3}}]}',
        '{"inputs": [{"name": "C", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 8}}]}',
        '{"id": {}, "inputs": []}',
        '{"parameters": [], "inputs": []}',
        '{"inputs": [], "outputs": [{"name": "score", "parameters": 5}]}',
        '{"inputs": [], "outputs": 5}',
    ],
)
def test_hostile_binary_requests_are_refused(predictor: Predictor, head: str) -> None:
    answer = httpx.post(
        f"{predictor.http}/v2/models/card-fraud/infer",
        content=head.encode() + b"\xff" * 8,
        headers={"inference-header-content-length": str(len(head))},
    )
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    "tensor",
    [
        {"name": "TX_AMOUNT", "datatype": "FP99", "shape": [1], "data": []},
        {"name": "TX_AMOUNT", "datatype": "FP64", "shape": [2], "data": [1.0]},
        {"name": "TX_AMOUNT", "datatype": "INT64", "shape": [], "data": [1]},
        {"name": "CHANNEL", "datatype": "BYTES", "shape": [1], "data": [b"\xff"]},
    ],
)
def test_hostile_grpc_requests_are_invalid_arguments(predictor: Predictor, tensor: dict[str, Any]) -> None:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

    kinds = {"FP64": "fp64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}
    contents = {kinds[tensor["datatype"]]: tensor["data"]} if tensor["datatype"] in kinds else {}
    item = {"name": tensor["name"], "datatype": tensor["datatype"], "shape": tensor["shape"], "contents": contents}
    message = pb.ModelInferRequest(model_name="card-fraud", inputs=[item])
    assert grpc_code(predictor.grpc, message) == "INVALID_ARGUMENT"
    raw = pb.ModelInferRequest(
        model_name="card-fraud",
        inputs=[{"name": "CHANNEL", "datatype": "BYTES", "shape": [1]}],
        raw_input_contents=[b"\xff\xff\xff\xff"],
    )
    assert grpc_code(predictor.grpc, raw) == "INVALID_ARGUMENT"


def grpc_code(address: str, message: Any) -> str:
    import grpc
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=30)
    return str(caught.value.code().name)


def test_body_over_the_limit_is_refused(predictor: Predictor) -> None:
    answer = httpx.post(f"{predictor.http}/v1/models/card-fraud:predict", content=b" " * (8 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    assert answer.json() == {"error": "the body is larger than allowed: 8388608 bytes"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"id": "\ud800", "inputs": tensors()}, "the body is no JSON in UTF-8: "),
        ({"id": "x" * 257, "inputs": tensors()}, "the request id has 257 characters; allowed: a text of at most 256"),
        ({"inputs": tensors(CHANNEL="\ud800")}, "the body is no JSON in UTF-8: "),
        ({"inputs": tensors(TX_AMOUNT=1e39)}, "row 0: TX_AMOUNT: not a finite number (32 bits) (found 1e+39)"),
        ({"inputs": [{**tensors()[0], "name": "\ud800"}]}, "the body is no JSON in UTF-8: "),
        (
            {"inputs": tensors(), "outputs": [{"name": "other"}]},
            "output 'other' is unknown; allowed: score, decision, model_version",
        ),
    ],
)
def test_what_utf8_or_32_bits_can_not_hold_is_the_callers_fault(
    predictor: Predictor, body: dict[str, Any], text: str
) -> None:
    errors = predictor.metric("model_predictions_total", status="error")
    answer = httpx.post(f"{predictor.http}/v2/models/card-fraud/infer", content=json.dumps(body))
    assert (answer.status_code, text in answer.json()["error"]) == (400, True), answer.text
    assert predictor.metric("model_predictions_total", status="error") == errors


def test_long_request_ids_are_refused_in_headers_and_grpc(predictor: Predictor) -> None:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

    text = "the request id has 257 characters; allowed: a text of at most 256 characters"
    url = f"{predictor.http}/v1/models/card-fraud:predict"
    answer = httpx.post(url, json={"instances": [row()]}, headers={"x-request-id": "x" * 257})
    assert (answer.status_code, answer.json()) == (400, {"error": text})
    assert grpc_code(predictor.grpc, pb.ModelInferRequest(model_name="card-fraud", id="x" * 257)) == "INVALID_ARGUMENT"


def test_model_can_not_be_unloaded_by_a_caller(predictor: Predictor) -> None:
    answer = httpx.post(f"{predictor.http}/v2/repository/models/card-fraud/unload")
    assert answer.status_code == 400
    assert "it can't be unloaded" in answer.json()["error"]
    assert httpx.get(f"{predictor.http}/v2/models/card-fraud/ready").json() == {
        "name": "card-fraud",
        "ready": True,
    }


def test_metadata_names_version_inputs_and_outputs(predictor: Predictor) -> None:
    answer = httpx.get(f"{predictor.http}/v2/models/card-fraud").json()
    assert answer["versions"] == ["12"]
    assert {item["name"]: item["datatype"] for item in answer["inputs"]} == {
        "CUSTOMER_ID": "INT64",
        "TERMINAL_ID": "INT64",
        "TX_AMOUNT": "FP64",
        "CHANNEL": "BYTES",
        "TX_DATETIME": "BYTES",
    }
    assert [item["name"] for item in answer["outputs"]] == ["score", "decision", "model_version"]


def test_requests_are_counted_by_outcome(predictor: Predictor) -> None:
    before = {status: predictor.metric("model_predictions_total", status=status) for status in ("ok", "invalid")}
    observed = predictor.metric("model_prediction_latency_seconds_count")
    predictor.v1(row(), row())
    predictor.v1(row(TX_AMOUNT="much"))
    httpx.post(f"{predictor.http}/v2/models/card-fraud/infer", content=b"{")
    asyncio.run(infer(predictor.grpc, tensors()))
    labels = {"model": "card-fraud", "model_version": "12", "deployment": "card-fraud-v12"}
    assert predictor.metric("model_predictions_total", status="ok", **labels) == before["ok"] + 2
    assert predictor.metric("model_predictions_total", status="invalid", **labels) == before["invalid"] + 2
    assert predictor.metric("model_prediction_latency_seconds_count", **labels) == observed + 4
    assert predictor.metric("model_prediction_log_rows_dropped_total", **labels) == 0
    assert abs(predictor.metric("model_load_timestamp", **labels) - time.time()) < 3600


def test_failing_online_store_is_503_and_heals(predictor: Predictor) -> None:
    errors = predictor.metric("model_predictions_total", status="error")
    with closing(sqlite3.connect(predictor.root / ".serin" / "feast-online.db")) as database:
        database.execute("ALTER TABLE serin_served_terminal_view RENAME TO away")
        database.commit()
        try:
            answer = predictor.v1(row())
            code, text = grpc_refusal(predictor.grpc, tensors())
        finally:
            database.execute("ALTER TABLE away RENAME TO serin_served_terminal_view")
            database.commit()
    assert answer.status_code == 503
    assert "does not answer: OperationalError: no such table: serin_served_terminal_view" in answer.json()["error"]
    assert (code, text) == ("UNAVAILABLE", answer.json()["error"])
    assert predictor.metric("model_predictions_total", status="error") == errors + 2
    assert predictor.v1(row()).status_code == 200


def test_concurrent_requests_get_the_same_answers_as_single_ones(predictor: Predictor) -> None:
    rows = [row(CUSTOMER_ID=n % 3, TERMINAL_ID=7 + n % 3, TX_AMOUNT=float(n)) for n in range(60)]
    expected = predictor.v1(*rows).json()["predictions"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(predictor.v1, rows))
    assert [answer.json()["predictions"][0] for answer in answers] == expected


def test_scored_rows_reach_the_log_while_the_predictor_runs(predictor: Predictor) -> None:
    url = f"{predictor.http}/v1/models/card-fraud:predict"
    body = {"instances": [row(), row(CUSTOMER_ID=999)]}
    answer = httpx.post(url, json=body, headers={"x-request-id": "log-1"}, timeout=30)
    log = str(predictor.root / ".serin" / "predictions" / "card_fraud")
    deadline = time.monotonic() + 30
    found: list[dict[str, Any]] = []
    while len(found) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        wanted = field("request_id") == "log-1"
        found = partitions.read(log, where=wanted).table.to_pylist() if files(log) else []
    found.sort(key=lambda logged: logged["row"])
    assert [logged["score"] for logged in found] == [item["score"] for item in answer.json()["predictions"]]
    assert [logged["missing_features"] for logged in found] == [0, 1]
    assert found[0]["CUSTOMER_ID"] == 1
    assert found[0]["terminal_fraud_rate_7d"] == 0.9
    assert found[0]["feature_age_seconds"] == 36 * 3600
    assert found[1]["customer_count_1d"] is None


def explained(predictor: Predictor, *rows: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{predictor.http}/v1/models/card-fraud:explain", json={"instances": rows}, timeout=30)


def test_keyed_and_raw_rows_are_explained_by_what_the_model_was_given(predictor: Predictor) -> None:
    answer = explained(predictor, row())
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-request-id"]
    (found,) = answer.json()["explanations"]
    assert found["score"] == predictor.v1(row()).json()["predictions"][0]["score"]
    assert found["inputs"]["terminal_fraud_rate_7d"] == pytest.approx(0.9)
    assert found["base"] + sum(found["values"].values()) == pytest.approx(found["output"])
    assert 1 / (1 + math.exp(-found["output"])) == pytest.approx(found["score"], abs=1e-5)
    (raw,) = explained(predictor, row(customer_count_1d=2.0, terminal_fraud_rate_7d=0.9)).json()["explanations"]
    assert raw["values"] == found["values"]


def test_too_many_rows_to_explain_and_bad_ones_are_refused(predictor: Predictor) -> None:
    many = explained(predictor, *[row()] * 65)
    assert (many.status_code, many.json()) == (400, {"error": "the request has 65 rows to explain; allowed: 1 to 64"})
    bad = explained(predictor, row(TX_AMOUNT=-1))
    assert (bad.status_code, bad.json()) == (400, {"error": "row 0: TX_AMOUNT: below 0 (found -1.0)"})
