"""A running predictor and more than 10,000 requests that mostly are not as they should be.

What holds for each: an answer, never a 5xx, never a traceback, and in a refusal a text that says why; after them all
the process is the same one, answers good requests as before, and has not grown. The requests are the same in every
run; SERIN_FUZZ=10 sends ten times as many (`make fuzz`).
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from serin.online.opening import open_store
from tests.event_log import REFRESHED, fill, transaction
from tests.examples import TIMES
from tests.factories import make_artifact, windows_plan
from tests.integration import fuzz_grpc
from tests.integration.fuzz_requests import (
    BINARY,
    COMPLETE,
    ENCODINGS,
    EVENTS,
    EXPLAIN,
    INFER,
    NAME,
    PREDICT,
    Change,
    Sent,
    changed,
    dumps,
    events,
    headers,
    tensor,
    text_changes,
    v1_bodies,
    v2_binary,
    v2_bodies,
)
from tests.integration.fuzz_wire import NOTHING, Answer, Wire, request, wire
from tests.predictor_process import Predictor, row, start, workspace

# What each test makes up, and how many requests it sends of each: making them up takes longer than answering them. A
# good request goes before the first and after the last, and after every fiftieth.
COUNTS = {
    "v1": (1300, 3),
    "v2": (900, 2),
    "binary": (700, 2),
    "events": (400, 2),
    "routes": (1500, 1),
    "grpc": (1300, 1),
}
GOOD_EVERY = 50
MAX_GROWTH = 150 * 2**20  # bytes of resident memory over all that one test sends
_REFUSALS = {400, 404, 405, 413, 415}


def fuzz(test: str) -> Callable[[Any], Any]:
    """Run a hypothesis test with its number of requests, the same ones every time."""
    chosen = settings(
        max_examples=COUNTS[test][0] * TIMES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    return lambda function: seed(20261128)(chosen(function))


class Target:
    """A predictor, and what is checked of every answer."""

    def __init__(self, predictor: Predictor, connection: Wire) -> None:
        self.predictor, self.wire = predictor, connection
        self.process = psutil.Process(predictor.process.pid)
        self._asked = 0
        self._expected: list[Any] = []

    def ask(self, sent: bytes, *, is_head: bool = False) -> Answer:
        """Send one request and check what comes back."""
        answer = self.wire.ask(sent, is_head=is_head)
        check(answer, is_head=is_head)
        self._asked += 1
        if self._asked % GOOD_EVERY == 0:
            self.good()
        return answer

    def good(self) -> None:
        """Good requests of both kinds are answered, as they always were."""
        found = []
        for rows in ([row(), row(TERMINAL_ID=7)], [COMPLETE]):
            answer = self.wire.ask(request(PREDICT, dumps({"instances": rows})))
            assert answer.status == 200, answer
            found += json.loads(answer.body)["predictions"]
        self._expected = self._expected or found
        assert found == self._expected

    def memory(self) -> int:
        """Resident bytes."""
        return int(self.process.memory_info().rss)


def check(answer: Answer, *, is_head: bool = False) -> None:
    """What every answer keeps to."""
    assert answer.status == 200 or answer.status in _REFUSALS, answer
    assert b"Traceback" not in answer.body
    assert is_head or answer.headers["x-request-id"]
    assert b'.py"' not in answer.body
    if answer.status in _REFUSALS and not is_head:
        assert answer.error, answer


def scores_of(answer: Answer) -> list[float]:
    """The scores of an answer by V1 or V2 in JSON."""
    found = json.loads(answer.body)
    if "predictions" in found:
        return [each["score"] for each in found["predictions"] if "error" not in each]
    (scores,) = (output["data"] for output in found["outputs"] if output["name"] == "score")
    return list(scores)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    root = workspace(tmp_path_factory.mktemp("fuzz") / "root")
    plan = windows_plan()
    make_artifact(root / "model", online=plan)
    store = open_store(root / "feature_repo" / "feature_store.yaml")
    fill(store, plan, [transaction(number, -number / 4) for number in range(1, 40)], REFRESHED)
    store.close()
    running = start(root, root / "model")
    yield running
    assert running.stop() == 0, running.output.read_text()[-3000:]


@pytest.fixture
def target(predictor: Predictor) -> Iterator[Target]:
    """Alive, right and no larger than before, when the test is over."""
    with wire(predictor.http) as connection:
        found = Target(predictor, connection)
        found.good()
        before = found.memory()
        yield found
        found.good()
    assert predictor.process.poll() is None
    told = predictor.output.read_text()
    assert "Traceback" not in told, told[-3000:]
    grown = found.memory() - before
    assert grown < MAX_GROWTH, f"{grown / 2**20:.0f} MiB more than before"


def test_more_than_ten_thousand_requests_are_sent():
    assert sum(made * sent for made, sent in COUNTS.values()) > 10_000


def test_v1_bodies(target: Target):
    @fuzz("v1")
    @given(v1_bodies(), text_changes(), st.sampled_from([*ENCODINGS, *[""] * 100]), headers())
    def ask(body: Any, changes: list[Change], encoding: str, extra: dict[str, Any]) -> None:
        plain = dumps(body)
        answer = target.ask(request(PREDICT, plain))
        if answer.status == 200:
            assert len(json.loads(answer.body)["predictions"]) == len(body["instances"])
        text = changed(plain, changes)
        packed = {**extra, "Content-Encoding": encoding} if encoding else extra
        other = target.ask(request(PREDICT, ENCODINGS[encoding](text), packed))
        for each in (answer, other):
            if each.status == 200:
                assert all(0 <= score <= 1 for score in scores_of(each))
        target.ask(request(EXPLAIN, text, extra))

    ask()


def test_v2_bodies(target: Target):
    @fuzz("v2")
    @given(v2_bodies(), text_changes(), headers())
    def ask(body: Any, changes: list[Change], extra: dict[str, Any]) -> None:
        plain = dumps(body)
        answer = target.ask(request(INFER, plain, extra))
        if answer.status == 200 and "outputs" not in body and BINARY.lower() not in answer.headers:
            assert all(0 <= score <= 1 for score in scores_of(answer))
            assert not body.get("id") or json.loads(answer.body)["id"] == body["id"]
        target.ask(request(INFER, changed(plain, changes) if changes else plain[:-5], extra))

    ask()


def test_v2_with_the_binary_extension(target: Target):
    @fuzz("binary")
    @given(v2_binary(), headers())
    def ask(sent: Sent, extra: dict[str, Any]) -> None:
        target.ask(request(sent.path, sent.body, sent.headers))
        target.ask(request(sent.path, sent.body[:-1], {**extra, **sent.headers}))

    ask()


def test_events(target: Target):
    @fuzz("events")
    @given(events(), text_changes(), headers())
    def ask(body: Any, changes: list[Change], extra: dict[str, Any]) -> None:
        plain = dumps(body)
        target.ask(request(EVENTS, plain))
        target.ask(request(EVENTS, changed(plain, changes) if changes else plain[:-2], extra))

    ask()


_PATHS = [
    "/", "/v1", "/v1/models", f"/v1/models/{NAME}", "/v1/models/other", "/v1/models/other:predict",
    f"/v1/models/{NAME}:train",
    PREDICT, EXPLAIN, INFER, EVENTS, PREDICT + "/", PREDICT + "//", INFER + "/", EVENTS + "/", "/" + PREDICT,
    PREDICT.replace(":", "%3A"), PREDICT.replace("-", "%2d"), PREDICT + "%00", PREDICT + "%ff", PREDICT + "%",
    PREDICT + "%zz",
    PREDICT + "?a=b&c", PREDICT + "?" + "x" * 3000, PREDICT + "#f", PREDICT + ";x=1", PREDICT.upper(),
    "/v1/../v1" + PREDICT[3:],
    "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", f"/v2/models/{NAME}", f"/v2/models/{NAME}/ready",
    f"/v2/models/{NAME}/versions/12/infer", f"/v2/models/{NAME}/versions/13/infer", f"/v2/models/{NAME}/versions/12",
    f"/v2/models/{NAME}/versions/12/ready", f"/v2/models/{NAME}/versions//infer",
    f"/v2/models/{NAME}/versions/%2e/infer",
    "/v2/models/other/infer", "/v2/models/%F0%9D%94%98/infer", f"/v2/models/{NAME}/infer_stream",
    f"/v2/models/{NAME}/generate",
    f"/v2/repository/models/{NAME}/load", f"/v2/repository/models/{NAME}/unload", "/v2/repository/index", "/metrics",
    "/docs", "/openapi.json", "/openai/v1/models", "/favicon.ico", "/" + "a/" * 500, "http://example.org" + PREDICT,
]  # fmt: skip
_METHODS = ["GET", "HEAD", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]


def test_routes_and_methods(target: Target):
    bodies = [
        b"",
        dumps({"instances": [row()]}),
        dumps({"inputs": [tensor(*each) for each in row().items()]}),
        b"{",
        b"\xff",
    ]

    @fuzz("routes")
    @given(
        st.sampled_from(_PATHS),
        st.sampled_from(_METHODS),
        st.sampled_from(bodies),
        st.sampled_from(["1.1", "1.1", "1.0"]),
        headers(),
    )
    def ask(path: str, method: str, body: bytes, version: str, extra: dict[str, Any]) -> None:
        target.ask(request(path, body, extra, method, version), is_head=method == "HEAD")

    ask()


def test_grpc(target: Target):
    with fuzz_grpc.client(target.predictor.grpc) as client:

        @fuzz("grpc")
        @given(fuzz_grpc.calls())
        def ask(call: fuzz_grpc.Call) -> None:
            code, details = client.call(call)
            assert code in fuzz_grpc.ALLOWED[call.kind], (code, details)
            assert code == "OK" or details
            assert "Traceback" not in details

        ask()
        assert client.call(fuzz_grpc.good())[0] == "OK"
    # Ten times as many calls take longer than the server keeps a connection that says nothing.
    target.wire.close()


def chunked(*parts: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """A body in chunks."""
    text = b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts)
    return text + b"0\r\n" + trailer + b"\r\n"


def test_a_body_in_chunks_is_one_body(target: Target):
    text = dumps({"instances": [row()]})
    parts = [text[place : place + 7] for place in range(0, len(text), 7)]
    for framed in (chunked(*parts), chunked(text, extension=b";a=b"), chunked(text, trailer=b"x-a: b\r\n")):
        answer = target.ask(request(PREDICT, framed, {"Transfer-Encoding": "chunked"}))
        assert answer.status == 200, answer


def test_pipelined_requests_are_answered_in_their_order(target: Target):
    names = [f"p-{number}" for number in range(20)]
    good, bad = dumps({"instances": [row()]}), b"{"
    sent = [
        request(PREDICT if number % 3 else INFER, bad if number % 2 else good, {"X-Request-Id": name})
        for number, name in enumerate(names)
    ]
    target.wire.send(b"".join(sent))
    answers = [target.wire.read() for _ in names]
    assert [answer.headers["x-request-id"] for answer in answers] == names
    for number, answer in enumerate(answers):
        check(answer)
        assert (answer.status == 200) == (number % 2 == 0 and number % 3 != 0)


def test_http_1_0_is_answered_and_the_connection_closed(target: Target):
    answer = target.ask(request(PREDICT, dumps({"instances": [row()]}), version="1.0"))
    assert (answer.status, answer.closed) == (200, True)


_BROKEN = [
    b"", b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", b"NOPE / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\r\nx: \x00\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
]  # fmt: skip
_FRAMINGS: list[dict[str, str | bytes]] = [
    {"Content-Length": "-1"}, {"Content-Length": "1_0"}, {"Content-Length": "x"},
    {"Content-Length": "99999999999999999999999"},
    {"Content-Length": ""}, {"Content-Length": "+5"}, {"Content-Length": "5, 5"}, {"Content-Length": "5",
    "content-length": "6"},
    {"Transfer-Encoding": "chunked", "Content-Length": "5"}, {"Transfer-Encoding": "xchunked"},
    {"Transfer-Encoding": "gzip"},
    {"Transfer-Encoding": "chunked, chunked"},
]  # fmt: skip
_CHUNKS = [
    b"zz\r\nabc\r\n",
    b"-1\r\n\r\n",
    b"5\r\nabc",
    b"ffffffffffffffffff\r\nabc\r\n",
    b"3\r\nabcXX0\r\n\r\n",
    b"\r\n\r\n",
]


@pytest.mark.parametrize("number", range(len(_BROKEN) + len(_FRAMINGS) + len(_CHUNKS)))
def test_what_is_no_http_ends_its_own_connection_at_most(target: Target, number: int):
    text = dumps({"instances": [row()]})
    sent = [
        *_BROKEN,
        *(request(PREDICT, text, framing) for framing in _FRAMINGS),
        *(request(PREDICT, chunks, {"Transfer-Encoding": "chunked"}) for chunks in _CHUNKS),
    ][number]
    with wire(target.predictor.http) as other:
        answer = other.ask(sent, more=False)
    assert answer is NOTHING or answer.status == 200 or 400 <= answer.status < 500, answer


def test_a_body_that_ends_too_soon_disturbs_nobody(target: Target):
    whole = request(PREDICT, dumps({"instances": [row()]}))
    for cut in range(1, len(whole), 7):
        with wire(target.predictor.http) as other:
            assert other.ask(whole[:cut], more=False).status in (0, 400), whole[:cut]


def large() -> dict[str, tuple[str, bytes, dict[str, str | bytes], int]]:
    """Requests that are too large, with the status that they have to get."""
    one = dumps(row())
    many = b'{"instances": [' + b", ".join([one] * 5000) + b"]}"
    million = b'{"instances": [' + b",".join([b"1"] * 1_000_000) + b"]}"
    zeros = zlib.compressobj(9, wbits=31)
    bomb = b"".join(zeros.compress(bytes(2**20)) for _ in range(256)) + zeros.flush()
    packed: dict[str, str | bytes] = {"Content-Encoding": "gzip"}
    numbers = {"inputs": [{"name": "TX_AMOUNT", "datatype": "FP64", "shape": [10**6], "data": [1] * 10**6}]}
    head = dumps({"inputs": [{"name": "TX_AMOUNT", "datatype": "FP64", "shape": [10**6],
                              "parameters": {"binary_data_size": 8 * 10**6}}]})  # fmt: skip
    doubles = head + np.zeros(10**6).tobytes()
    return {
        "10 MB": (PREDICT, b'{"instances": "' + b"x" * 10 * 2**20 + b'"}', {}, 413),
        "10 MB to another route": ("/v1/models/other:predict", b" " * 10 * 2**20, {}, 404),
        "5,000 rows": (PREDICT, many, {}, 400),
        "5,000 rows to explain": (EXPLAIN, many, {}, 400),
        "a million values": (PREDICT, million, {}, 400),
        "a million numbers": (INFER, dumps(numbers), {}, 400),
        "a million binary": (INFER, doubles, {BINARY: str(len(head))}, 400),
        "256 MB in gzip": (PREDICT, bomb, packed, 413),
        "gzip in gzip": (PREDICT, gzip.compress(bomb), packed, 400),
        "a text of 4 MB": (PREDICT, dumps({"instances": [row(CHANNEL="x" * 4 * 2**20)]}), {}, 400),
        "a deep body": (PREDICT, b'{"instances":' + b"[" * 4 * 2**20, {}, 400),
        "40 MB of events": (EVENTS, b'{"events": [' + b" " * 40 * 2**20 + b"]}", {}, 413),
        "many names": (PREDICT, dumps({"instances": [{f"c{number}": 1 for number in range(100_000)}]}), {}, 400),
        "one huge number": (PREDICT, b'{"instances": [{"TX_AMOUNT": ' + b"9" * 2**20 + b"}]}", {}, 400),
    }


_LARGE = large()


@pytest.mark.parametrize("what", _LARGE)
def test_a_large_request(target: Target, what: str):
    path, body, extra, status = _LARGE[what]
    with wire(target.predictor.http) as other:
        answer = other.ask(request(path, body, extra))
    check(answer)
    assert answer.status == status, answer.body[:500]
    assert len(answer.body) < 10_000
