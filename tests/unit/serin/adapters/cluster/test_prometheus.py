"""Measurements from Prometheus, against a server on the wire that answers as its HTTP API does."""

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from serin.adapters.cluster.prometheus import Life, PrometheusMetrics
from serin.adapters.cluster.queries import QUERIES
from serin.errors import NotFoundError
from serin.ports import Sample

NAME = "card-fraud-v2"


class Prometheus:
    """A stand-in: the answer to each query that begins in a certain way, and the queries that came."""

    def __init__(self) -> None:
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.queries: list[str] = []
        self.status = 200
        self.text: str | None = None
        self.more: dict[str, Any] = {}
        self.url = ""

    def answer(self, query: str) -> bytes:
        self.queries.append(query)
        found = next((result for start, result in self.results.items() if query.startswith(start)), [])
        data = {"status": "success", "data": {"resultType": "matrix", "result": found}, **self.more}
        return (json.dumps(data) if self.text is None else self.text).encode()


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    made = Prometheus()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            body = made.answer(form["query"][0])
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def _series(*values: float | str, age: float = 0.0, **labels: str) -> dict[str, Any]:
    end = time.time() - age
    times = [end - 10 * (len(values) - 1 - place) for place in range(len(values))]
    return {
        "metric": {"job": "predictors", "instance": labels.get("pod", ""), **labels},
        "values": [[at, str(value)] for at, value in zip(times, values, strict=True)],
    }


def _metrics(
    prometheus: Prometheus, queries: str = "serin", pods: Mapping[str, float] | None = None
) -> PrometheusMetrics:
    born = time.time() - 600
    life = Life(born, pods if pods is not None else {"a": born + 30})
    return PrometheusMetrics(prometheus.url, QUERIES[queries], lambda: "serin", lambda _: life)


@pytest.fixture
def counted(prometheus: Prometheus) -> Prometheus:
    """One pod with 7 good answers and 1 error."""
    where = f'namespace="serin",deployment="{NAME}"'
    prometheus.results = {
        f'model_predictions_total{{{where},status="ok"}}': [_series(0, 3, 7, pod="a")],
        f'model_predictions_total{{{where},status=~"error|overloaded"}}': [_series(0, 1, 1, pod="a")],
        f"model_prediction_latency_seconds_bucket{{{where}}}": [
            _series(0, 4, 8, pod="a", le="0.1"),
            _series(0, 4, 8, pod="a", le="+Inf"),
        ],
    }
    return prometheus


def test_a_sample_is_what_was_counted_since_the_deployment_was_made(counted):
    assert _metrics(counted).sample(NAME) == Sample(ok=7, errors=1, buckets={"0.1": 8, "+Inf": 8})
    windows = [int(found) for query in counted.queries for found in re.findall(r"\[(\d+)s\]$", query)]
    # The deployment's ten minutes, and five before.
    assert len(windows) == 5
    assert all(abs(window - 900) <= 2 for window in windows)


def test_the_mesh_counts_in_milliseconds_and_both_protocols(prometheus):
    where = 'reporter="source",destination_service_namespace="serin"'
    own = f'{where},destination_service_name="{NAME}-predictor"'
    prometheus.results = {
        f'istio_requests_total{{{own},request_protocol!="grpc",response_code=~"[23]': [_series(2, 5)],
        f'istio_requests_total{{{own},request_protocol="grpc",grpc_response_status="0"': [_series(1, 4)],
        f'istio_requests_total{{{own},request_protocol!="grpc",response_code=~"5': [_series(1)],
        f'istio_requests_total{{{own},request_protocol="grpc",response_code!="0",grpc_response_status=~': [_series(2)],
        f'istio_requests_total{{{own},response_code="0"': [_series(3)],
        f"istio_request_duration_milliseconds_bucket{{{own}}}": [_series(9, le="25"), _series(9, le="+Inf")],
        f"istio_requests_total{{{where}}}": [_series(100, 200)],
    }
    wanted = Sample(ok=9, errors=6, buckets={"0.025": 9, "+Inf": 9})
    assert _metrics(prometheus, "istio", {}).sample(NAME) == wanted


def test_a_mesh_that_sent_the_deployment_nothing_yet_counted_nought(prometheus):
    prometheus.results = {
        'istio_requests_total{reporter="source",destination_service_namespace="serin"}': [_series(1, 2)]
    }
    assert _metrics(prometheus, "istio").sample(NAME) == Sample(ok=0, errors=0, buckets={})


def _told(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = caplog.records
    return record.getMessage()


@pytest.mark.parametrize(
    ("status", "text", "why"),
    [
        (503, '{"status": "error", "error": "timed out"}', "timed out"),
        (502, "<html>", "HTTP 502 without JSON"),
        (200, "[]", "an answer of another form"),
        (200, '{"status": "success", "data": {"result": [{"metric": {}, "values": [["x", "1"]]}]}}', "of another form"),
        (200, '{"status": "success", "data": {"result": [{"metric": {}, "values": [1]}]}}', "of another form"),
        (200, '{"status": "success"}', "of another form"),
    ],
)
def test_an_answer_that_is_none_is_no_measurement(counted, caplog, status, text, why):
    counted.status, counted.text = status, text
    assert _metrics(counted).sample(NAME) is None
    assert why in _told(caplog)


def test_an_answer_that_says_it_is_not_whole_is_no_measurement(counted, caplog):
    counted.more = {"warnings": ["a store did not answer"]}
    assert _metrics(counted).sample(NAME) is None
    assert "a store did not answer" in _told(caplog)


def test_a_prometheus_that_is_away_is_no_measurement(counted, caplog):
    counted.url = "http://127.0.0.1:9"
    assert _metrics(counted).sample(NAME) is None
    assert "Prometheus at http://127.0.0.1:9 failed on model_predictions_total" in _told(caplog)


def test_a_value_that_is_no_number_is_no_measurement(counted, caplog):
    key = next(key for key in counted.results if "error" in key)
    counted.results[key] = [_series(0, "NaN", 1, pod="a")]
    assert _metrics(counted).sample(NAME) is None
    assert "a value that no counter can have" in _told(caplog)


def test_counters_that_nobody_scraped_are_no_measurement(prometheus, caplog):
    assert _metrics(prometheus).sample(NAME) is None
    assert "nothing was scraped yet" in _told(caplog)


def test_old_samples_are_no_measurement_of_now(counted, caplog):
    key = next(key for key in counted.results if '"ok"' in key)
    counted.results[key] = [_series(0, 3, 7, age=40.0, pod="a")]
    assert _metrics(counted).sample(NAME) is None
    assert "the last sample is 40 s old" in _told(caplog)


def test_a_process_that_can_not_be_scraped_any_more_may_hide_errors(counted, caplog):
    key = next(key for key in counted.results if '"ok"' in key)
    counted.results[key].append(_series(0, 3, age=60.0, pod="b"))
    counted.results["up == 0"] = [{"metric": {"job": "predictors", "instance": "b"}, "value": [time.time(), "0"]}]
    assert _metrics(counted).sample(NAME) is None
    assert "job predictors, instance b can't be scraped any more" in _told(caplog)


def test_a_replica_that_left_keeps_what_it_counted(counted):
    key = next(key for key in counted.results if '"error|' in key)
    counted.results[key].append(_series(0, 2, age=60.0, pod="b"))
    sample = _metrics(counted).sample(NAME)
    assert sample is not None
    assert sample.errors == 3


def test_a_ready_pod_that_is_not_scraped_may_hide_errors(counted, caplog):
    now = time.time()
    assert _metrics(counted, pods={"a": now - 500, "b": now - 5}).sample(NAME) is not None
    assert _metrics(counted, pods={"a": now - 500, "b": now - 90}).sample(NAME) is None
    assert "pod b is ready, and not scraped" in _told(caplog)


def test_a_deployment_that_is_not_there_is_no_measurement(counted, caplog):
    def gone(name: str) -> Life:
        raise NotFoundError(f"there is no InferenceService {name}")

    metrics = PrometheusMetrics(counted.url, QUERIES["serin"], lambda: "serin", gone)
    assert metrics.sample(NAME) is None
    assert _told(caplog) == f"{NAME}: no measurement: there is no InferenceService {NAME}"


def test_a_password_in_the_url_is_used_and_not_told(caplog: pytest.LogCaptureFixture):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        url = f"127.0.0.1:{closed.server_address[1]}"
    source = PrometheusMetrics(f"http://ann:secret@{url}", QUERIES["serin"], lambda: "serin", lambda _: Life(0.0, {}))
    assert source.sample(NAME) is None
    assert f"Prometheus at http://{url} failed" in caplog.text
    assert "secret" not in caplog.text


def test_a_url_that_can_not_be_one_is_told(caplog: pytest.LogCaptureFixture):
    source = PrometheusMetrics("http://[prometheus", QUERIES["serin"], lambda: "serin", lambda _: Life(0.0, {}))
    assert source.sample(NAME) is None
    assert "Prometheus at http://[prometheus failed" in caplog.text
