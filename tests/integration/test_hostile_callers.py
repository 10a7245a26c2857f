"""Callers that do what no client would: none of them holds up the others, or takes the predictor's memory."""

import json
import socket
import struct
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from predictors.edge.body import MAX_BODY, MAX_HELD
from tests.factories import make_artifact
from tests.predictor_process import Predictor, start, workspace

PATH = "/v1/models/card-fraud:predict"
ROW = {"TX_AMOUNT": 80.5, "CHANNEL": "chip", "TX_DATETIME": "2018-06-01T12:00:00"}
BODY = json.dumps({"instances": [ROW]}).encode()


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    root = workspace(tmp_path_factory.mktemp("hostile") / "root")
    make_artifact(root / "model", estimator="logistic_regression")
    started = start(root, root / "model")
    yield started
    assert started.stop() == 0
    # Lines of the predictor's own log carry theirs within.
    assert "\nTraceback" not in started.output.read_text()


def connected(predictor: Predictor) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(predictor.http.rpartition(":")[2])), timeout=10)


def head(size: int) -> bytes:
    return f"POST {PATH} HTTP/1.1\r\nhost: here\r\ncontent-length: {size}\r\n\r\n".encode()


def test_a_head_without_end_is_refused(predictor: Predictor) -> None:
    with connected(predictor) as caller:
        caller.sendall(f"POST {PATH} HTTP/1.1\r\nx: ".encode())
        with pytest.raises(OSError, match=r"reset|pipe"):
            caller.sendall(b"a" * 2**26)


@pytest.mark.parametrize("begun", ["", "1\r\n{\r\n"], ids=["no body", "after a body"])
@pytest.mark.parametrize("endless", ["x: ", "0;x="], ids=["trailer", "mark"])
def test_a_body_without_end_that_has_no_bytes_is_refused(predictor: Predictor, begun: str, endless: str) -> None:
    chunked = f"POST {PATH} HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n{begun}"
    with connected(predictor) as caller:
        caller.sendall((chunked + ("0\r\n" if endless == "x: " else "") + endless).encode())
        with pytest.raises(OSError, match=r"reset|pipe"):
            caller.sendall(b"a" * 2**25)


def test_thousands_of_requests_at_once_are_read_as_they_are_answered(predictor: Predictor) -> None:
    """What is read ahead of its turn takes memory, and holds others up: 385 MiB and seconds of these."""
    before = psutil.Process(predictor.process.pid).memory_info().rss
    with connected(predictor) as caller, httpx.Client() as other:
        caller.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100_000)
        for _ in range(5):
            assert other.post(predictor.http + PATH, content=BODY).status_code == 200
    assert psutil.Process(predictor.process.pid).memory_info().rss - before < 64 * 2**20


def test_bodies_that_are_never_whole_are_held_up_to_a_limit(predictor: Predictor) -> None:
    before = psutil.Process(predictor.process.pid).memory_info().rss
    callers = [connected(predictor) for _ in range(MAX_HELD // MAX_BODY + 8)]
    answered = 0
    for caller in callers:
        caller.sendall(head(MAX_BODY) + b" " * (MAX_BODY - 1))
    for caller in callers:
        caller.settimeout(0.2)
        try:
            answered += caller.recv(12) == b"HTTP/1.1 503"
        except TimeoutError:
            continue
    assert answered >= 8
    assert psutil.Process(predictor.process.pid).memory_info().rss - before < 3 * MAX_HELD
    assert httpx.post(predictor.http + PATH, content=BODY).status_code == 200
    for caller in callers:
        caller.close()
    large = b" " * (MAX_BODY - len(BODY)) + BODY
    time.sleep(0.5)
    assert httpx.post(predictor.http + PATH, content=large, timeout=30).status_code == 200


def test_millions_of_lists_are_refused_before_they_are_built(predictor: Predictor) -> None:
    body = b'{"instances": [' + b"[[[[],[]]]]," * (MAX_BODY // 13) + b"1]}"
    answer = httpx.post(predictor.http + PATH, content=body, timeout=30)
    assert answer.status_code == 400
    assert "lists and objects; allowed: 400000" in answer.json()["error"]


def test_callers_that_reset_their_connections_leave_no_traceback(predictor: Predictor) -> None:
    for _ in range(200):
        caller = connected(predictor)
        caller.sendall(head(len(BODY)) + BODY)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.close()
    assert httpx.post(predictor.http + PATH, content=BODY).status_code == 200
    assert "\nTraceback" not in predictor.output.read_text()


OFFER = "POST {} HTTP/1.1\r\nhost: here\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n{}\r\n\r\n"
LENGTH, CHUNKED = f"content-length: {len(BODY)}", "transfer-encoding: chunked"


@pytest.mark.parametrize("parts", [1, 2, 50])
@pytest.mark.parametrize(("framing", "body"), [(LENGTH, BODY), (CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))])
def test_an_offer_of_http_2_changes_nothing(predictor: Predictor, framing: str, body: bytes, parts: int) -> None:
    """Java's own client makes one with its first request."""
    sent = OFFER.format(PATH, framing).encode() + body + head(len(BODY)) + BODY
    size = len(sent) // parts + 1
    with connected(predictor) as caller:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(0, len(sent), size):
            caller.sendall(sent[place : place + size])
        received = b""
        while received.count(b'"model_version":"12"') < 2:
            more = caller.recv(4096)
            assert more, received
            received += more
    assert received.count(b"HTTP/1.1 200 OK") == 2
