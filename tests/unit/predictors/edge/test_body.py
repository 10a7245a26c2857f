"""Bodies of requests: their size, encoding and type."""

import gzip
import json

import pytest

from predictors.edge.body import MAX_BODY
from tests.edge import ANSWER, BODY, GZIP, INFER, PREDICT, V2_BODY, Edge


@pytest.mark.parametrize("path", [PREDICT, INFER, "/v2/repository/models/other/load"])
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
