"""Traces: nothing unless configured; then spans that reach a collector at the wire, and never an error of their own."""

import gzip
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from predictors.tracing import OpenTelemetry, tracer

PARENT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "host": "here"}
TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def traced() -> Iterator[tuple[OpenTelemetry, Any]]:
    """A tracer, and what keeps its spans."""
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    found = OpenTelemetry(kept, "card-fraud-v12", {"serin.version": "12"})
    yield found, kept
    found.close()


def test_without_configuration_there_is_no_tracer() -> None:
    assert tracer("card-fraud-v12", {}) is None


@pytest.mark.parametrize("more", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_what_is_switched_off_is_not_configured(monkeypatch: pytest.MonkeyPatch, more: dict[str, str]) -> None:
    for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", **more}.items():
        monkeypatch.setenv(name, value)
    assert tracer("card-fraud-v12", {}) is None


def test_protocol_that_is_not_spoken_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with caplog.at_level(logging.WARNING, "kserve"):
        assert tracer("card-fraud-v12", {}) is None
    (record,) = caplog.records
    assert record.getMessage() == (
        "no traces: ValueError: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; allowed: http/protobuf"
    )


def test_spans_are_the_callers_children_and_each_others(traced: tuple[OpenTelemetry, Any]) -> None:
    found, kept = traced
    with found.span("request", PARENT, request_id="r-1"), found.span("score", rows=3):
        pass
    found.flush()
    score, request = kept.get_finished_spans()
    assert (request.name, request.context.trace_id, request.parent.span_id) == ("request", TRACE, SPAN)
    assert dict(request.attributes) == {"request_id": "r-1"}
    assert (score.name, score.parent.span_id, dict(score.attributes)) == ("score", request.context.span_id, {"rows": 3})
    assert request.resource.attributes["service.name"] == "card-fraud-v12"
    assert request.resource.attributes["serin.version"] == "12"


def test_error_in_a_block_marks_its_span_and_goes_on(traced: tuple[OpenTelemetry, Any]) -> None:
    found, kept = traced
    with pytest.raises(ZeroDivisionError), found.span("score"):
        raise ZeroDivisionError("odd")
    found.flush()
    (span,) = kept.get_finished_spans()
    assert not span.status.is_ok


@pytest.mark.parametrize("given", [{"traceparent": "nonsense"}, {"traceparent": ""}, {"tracestate": "a=b"}, {}, None])
def test_parent_that_is_none_begins_a_trace(traced: tuple[OpenTelemetry, Any], given: dict[str, str] | None) -> None:
    found, kept = traced
    with found.span("request", given):
        pass
    found.flush()
    assert kept.get_finished_spans()[0].parent is None


def test_attributes_that_no_span_holds_are_no_error(traced: tuple[OpenTelemetry, Any]) -> None:
    found, _ = traced
    with found.span("request", {"traceparent": 5}, request_id={"a": object()}):  # type: ignore[dict-item]
        pass
    found.flush()


def test_console_exporter_writes_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "fraud")
    found = tracer("card-fraud-v12", {})
    assert isinstance(found, OpenTelemetry)
    with found.span("request"):
        pass
    found.close()
    span = json.loads(capsys.readouterr().out)
    assert (span["name"], span["resource"]["attributes"]["service.name"]) == ("request", "fraud")


class Collector(HTTPServer):
    """Takes OTLP over HTTP."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.bodies = status, []  # type: ignore[var-annotated]
        super().__init__(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        self.server.bodies.append((self.path, body))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


def test_spans_reach_a_collector_by_otlp_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    collector = Collector()
    try:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        found = tracer("card-fraud-v12", {"serin.model": "card-fraud"})
        assert isinstance(found, OpenTelemetry)
        with found.span("request", PARENT):
            pass
        found.close()
    finally:
        collector.close()
    ((path, body),) = collector.bodies
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    (span,) = resource.scope_spans[0].spans
    assert (path, span.name, span.trace_id) == ("/v1/traces", "request", TRACE.to_bytes(16, "big"))
    assert ("serin.model", "card-fraud") in {
        (item.key, item.value.string_value) for item in resource.resource.attributes
    }


def test_missing_exporter_is_one_warning_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with caplog.at_level(logging.WARNING, "kserve"):
        assert tracer("card-fraud-v12", {}) is None
    (record,) = caplog.records
    assert record.getMessage().endswith("; pip install serin[tracing]")
