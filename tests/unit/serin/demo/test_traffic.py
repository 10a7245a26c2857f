"""Clients against a gateway that is a local HTTP server."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from serin.demo.traffic import Traffic
from tests import services

ROWS = pd.DataFrame(
    {
        "TRANSACTION_ID": [1, 2, 3],
        "TX_DATETIME": pd.to_datetime(["2026-01-01T10:00:01", "2026-01-01T11:00:00", "2026-01-01T12:00:00"], utc=True),
        "CUSTOMER_ID": [7, 8, 9],
        "TERMINAL_ID": [4, 5, 6],
        "TX_AMOUNT": [1.5, 2.5, 3.5],
        "TX_FRAUD": [0, 1, 0],
    }
)


@contextmanager
def gateway(status=200, answer='{"predictions": [{"model_version": "3"}]}', busy=0):
    """Gives the port, and what was received: path and rows. The first `busy` requests are told to come back."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._answer("{}")

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append((self.path, body["instances"]))
            if len(received) > busy:
                self._answer(answer)
            else:
                self._answer("{}", 503, ("Retry-After", "0"))

        def _answer(self, text, status=status, *headers):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_each_row_is_sent_once_without_its_label_and_every_answer_kept():
    with gateway() as (port, received):
        traffic = Traffic(port, "card-fraud")
        assert traffic.answered()
        traffic.play(ROWS, rate=1000)
    assert {path for path, _ in received} == {"/v1/models/card-fraud:predict"}
    sent = {row["CUSTOMER_ID"]: row for _, (row,) in received}
    keys = {"TRANSACTION_ID": 1, "CUSTOMER_ID": 7, "TERMINAL_ID": 4}
    assert sent[7] == {**keys, "TX_AMOUNT": 1.5, "TX_DATETIME": "2026-01-01T10:00:01Z"}
    assert sorted(sent) == [7, 8, 9]
    samples = traffic.samples
    assert list(samples["version"]) == ["v3"] * 3
    assert list(samples["status"]) == [200] * 3
    assert (samples["latency_ms"] > 0).all()
    assert str(samples["time"].dt.tz) == "UTC"


def test_rows_are_sent_over_and_over_until_the_block_ends():
    with gateway() as (port, received):
        traffic = Traffic(port, "m")
        with traffic.around(ROWS, rate=500):
            deadline = time.monotonic() + 10
            while len(received) <= 2 * len(ROWS) and time.monotonic() < deadline:
                time.sleep(0.01)
        done = len(received)
        time.sleep(0.05)
        assert len(received) == done == len(traffic.samples) > 2 * len(ROWS)


def test_rate_is_kept():
    with gateway() as (port, _):
        start = time.monotonic()
        Traffic(port, "m").play(pd.concat([ROWS] * 4), rate=40)
        assert time.monotonic() - start > 11 / 40


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [(503, "no", (503, "error")), (200, "{}", (0, "no answer")), (200, "no", (0, "no answer"))],
)
def test_answer_without_a_prediction_is_kept_as_one(status, answer, expected):
    with gateway(status, answer) as (port, _):
        traffic = Traffic(port, "m")
        traffic.play(ROWS, rate=1000)
    assert set(zip(traffic.samples["status"], traffic.samples["version"], strict=True)) == {expected}


def test_request_that_is_put_off_is_sent_again():
    with gateway(busy=4) as (port, received):
        traffic = Traffic(port, "m")
        traffic.play(ROWS, rate=1000)
    samples = traffic.samples
    assert list(samples["status"]) == [200] * 3
    assert (len(received), samples["put_off"].sum()) == (7, 4)


def test_request_that_is_put_off_again_and_again_is_kept_as_lost():
    with gateway(busy=100) as (port, received):
        traffic = Traffic(port, "m")
        traffic.play(ROWS.iloc[:1], rate=1000)
    assert (len(received), list(traffic.samples["status"])) == (5, [503])


def test_requests_that_nobody_answers_are_kept():
    traffic = Traffic(services.free_port(), "m")
    assert not traffic.answered()
    traffic.play(ROWS, rate=1000)
    assert list(traffic.samples["status"]) == [0, 0, 0]
