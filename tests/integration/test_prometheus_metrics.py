"""Measurements of predictors' counters by a real Prometheus, which scrapes every second."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIServer

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import start_http_server

from predictors.metrics import Metrics
from serin.adapters.cluster.endpoints import QuerySet
from serin.adapters.cluster.prometheus import Life, PrometheusMetrics
from serin.adapters.cluster.queries import QUERIES
from serin.ports import Sample
from tests import services
from tests.integration.serving_world import until

NAME = "card-fraud-v2"


class Pod:
    """A predictor's own counters, at /metrics of a loopback port."""

    def __init__(self, name: str) -> None:
        self.name, self.port = name, services.free_port()
        self.start()

    def start(self) -> None:
        """With every counter at 0."""
        registry = CollectorRegistry()
        self.metrics = Metrics("card-fraud", "2", NAME, registry)
        self.metrics.loaded(time.time())
        self._server: WSGIServer
        self._thread: threading.Thread
        self._server, self._thread = start_http_server(self.port, "127.0.0.1", registry)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, ok: int, errors: int = 0) -> None:
        for status, number in (("ok", ok), ("error", errors)):
            for _ in range(number):
                self.metrics.answered(status, 0.004)  # type: ignore[arg-type]


class World:
    """Pods, and the Prometheus that knows of them."""

    def __init__(self, targets: Path) -> None:
        self.pods: dict[str, Pod] = {}
        self.ready: dict[str, float] = {}
        self.url = ""
        self.queries: QuerySet = "serin"
        self._targets = targets
        self._made = time.time()

    def add(self, name: str) -> Pod:
        self.pods[name] = Pod(name)
        self.announce()
        return self.pods[name]

    def announce(self) -> None:
        """As service discovery does: the targets, with what Kubernetes knows of each."""
        groups = [
            {"targets": [f"127.0.0.1:{pod.port}"], "labels": {"namespace": "serin", "pod": pod.name}}
            for pod in self.pods.values()
        ]
        temporary = self._targets.with_suffix(".tmp")
        temporary.write_text(json.dumps(groups))
        temporary.rename(self._targets)

    def remove(self, name: str) -> None:
        self.pods.pop(name).stop()
        self.announce()

    def sample(self) -> Sample | None:
        life = Life(self._made, self.ready)
        return PrometheusMetrics(self.url, QUERIES[self.queries], lambda: "serin", lambda _: life).sample(NAME)

    def until(self, wanted: Callable[[Sample | None], bool], what: str) -> Sample | None:
        """The first sample that is as wanted."""
        found: list[Sample | None] = []
        until(lambda: wanted(found.append(self.sample()) or found[-1]), what)
        return found[-1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "targets.json")
    made.announce()
    with services.prometheus(tmp_path, tmp_path / "targets.json") as made.url:
        yield made
    for pod in made.pods.values():
        pod.stop()


def _counted(sample: Sample | None) -> tuple[float, float] | None:
    return (sample.ok, sample.errors) if sample else None


def test_replicas_that_come_go_and_start_anew_lose_no_error(world: World) -> None:
    assert world.sample() is None
    first = world.add("a")
    world.until(lambda sample: _counted(sample) == (0, 0), "the first scrape")
    first.answer(20, errors=1)
    sample = world.until(lambda sample: _counted(sample) == (20, 1), "what the first pod counted")
    assert sample is not None
    assert (sample.buckets["0.003"], sample.buckets["0.004"], sample.buckets["+Inf"]) == (0, 21, 21)
    second = world.add("b")
    second.answer(5, errors=2)
    world.until(lambda sample: _counted(sample) == (25, 3), "what both counted")
    world.remove("b")
    first.stop()
    first.start()
    first.answer(1, errors=1)
    world.until(lambda sample: _counted(sample) == (26, 4), "what is counted after a restart")
    time.sleep(3)
    assert _counted(world.sample()) == (26, 4)


def test_a_predictor_that_can_not_be_read_any_more_is_no_measurement(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = world.add("a"), world.add("b")
    first.answer(3)
    second.answer(1)
    world.until(lambda sample: _counted(sample) == (4, 0), "the first scrape of both")
    second.stop()
    gone = f"instance 127.0.0.1:{second.port} can't be scraped any more"
    world.until(lambda sample: sample is None and gone in caplog.text, "the loss of a target")
    second.start()
    world.until(lambda sample: sample is not None, "the target's return")


class Gateway:
    """What Istio's gateway counts of requests to two deployments; the names and labels are Istio's, the counts ours."""

    def __init__(self, world: World) -> None:
        registry, self.port, self.name = CollectorRegistry(), services.free_port(), "gateway"
        own = ["reporter", "destination_service_namespace", "destination_service_name", "request_protocol"]
        codes = ["response_code", "response_flags", "grpc_response_status"]
        self._requests = Counter("istio_requests", "", [*own, *codes], registry=registry)
        self._latency = Histogram(
            "istio_request_duration_milliseconds", "", own, registry=registry, buckets=[5, 10, 25, float("inf")]
        )
        self._server, self._thread = start_http_server(self.port, "127.0.0.1", registry)
        world.pods["gateway"] = self  # type: ignore[assignment]
        world.announce()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(
        self, number: int, code: str, flags: str = "-", grpc: str = "", reporter: str = "source", to: str = NAME
    ) -> None:
        own = (reporter, "serin", f"{to}-predictor", "grpc" if grpc else "http")
        self._requests.labels(*own, code, flags, grpc).inc(number)
        for _ in range(number):
            self._latency.labels(*own).observe(7)


def test_the_mesh_counts_what_clients_got_over_both_protocols(world: World) -> None:
    world.queries = "istio"
    assert world.sample() is None
    gateway = Gateway(world)
    gateway.answer(50, "200", to="card-fraud-v1")
    world.until(lambda sample: sample == Sample(ok=0, errors=0, buckets={}), "a gateway that sent it nothing yet")
    gateway.answer(20, "200")
    gateway.answer(3, "404")
    gateway.answer(1, "503", "UF")
    gateway.answer(2, "0", "DC")
    gateway.answer(4, "0", "UPE")
    gateway.answer(30, "200", grpc="0")
    gateway.answer(5, "200", grpc="3")
    gateway.answer(6, "200", grpc="14")
    gateway.answer(20, "200", reporter="destination")
    sample = world.until(lambda sample: _counted(sample) == (50, 11), "what the gateway counted")
    assert sample is not None
    assert sample.buckets == {"0.005": 0, "0.01": 71, "0.025": 71, "+Inf": 71}


def test_a_prometheus_that_went_away_is_no_measurement(world: World) -> None:
    world.add("a")
    world.until(lambda sample: sample is not None, "the first scrape")
    world.url = f"http://127.0.0.1:{services.free_port()}"
    assert world.sample() is None
