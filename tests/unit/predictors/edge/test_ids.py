"""The id of a request, in its answer and in what the application gets."""

import json

import orjson
import pytest

from predictors.edge.app import EVENTS
from tests.edge import BODY, EXPLAIN, INFER, PREDICT, TENSORS, V2_BODY, Edge, amount


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
