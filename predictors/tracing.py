"""OpenTelemetry traces, where they are configured (OTEL_* variables) and the packages are there; nothing otherwise.

Configured are they by OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT): OTLP over HTTP, or by
OTEL_TRACES_EXPORTER=console: JSON on stdout. The SDK itself reads its other variables: sampler, resource, queue, TLS.
Spans wait in a bounded queue for a thread that sends them; a collector that does not answer costs spans, not requests.
"""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Thread
from typing import Any, Protocol

from serin.environment import variables

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
CLOSE_SECONDS = 3.0
logger = logging.getLogger("kserve")


class Tracer(Protocol):
    """What the data plane asks of a tracer."""

    def span(
        self, name: str, headers: Mapping[str, str] | None = None, **attributes: Any
    ) -> AbstractContextManager[None]:
        """A span for the block, within the current one or the caller's (`headers`); an error in the block marks it."""

    def close(self) -> None:
        """Send what waits, for CLOSE_SECONDS at most."""


def tracer(service: str, attributes: Mapping[str, str]) -> Tracer | None:
    """The tracer that the environment configures; None where it configures none, so that callers pay nothing.

    `service` is its name unless OTEL_SERVICE_NAME says another; `attributes` are told of every span's resource. Where
    traces are configured but can't be had, a warning says why and there are none.
    """
    kind = _configured()
    if kind is None:
        return None
    try:
        return OpenTelemetry(_exporter(kind), service, attributes)
    except ImportError as error:
        logger.warning("no traces: %s; pip install serin[tracing]", error)
    except Exception as error:  # noqa: BLE001
        logger.warning("no traces: %s: %s", type(error).__name__, error)
    return None


class OpenTelemetry:
    """A tracer whose spans go to an exporter of OpenTelemetry's SDK."""

    def __init__(self, exporter: Any, service: str, attributes: Mapping[str, str]) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        own = {**attributes, "service.name": variables().get("OTEL_SERVICE_NAME") or service}
        self._provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("serin.predictors")
        self._parent = TraceContextTextMapPropagator()

    def span(
        self, name: str, headers: Mapping[str, str] | None = None, **attributes: Any
    ) -> AbstractContextManager[None]:
        """See Tracer."""
        try:
            caller = self._parent.extract(headers) if headers and "traceparent" in headers else None
            started = self._tracer.start_as_current_span(name, context=caller, attributes=attributes)
        except Exception as error:  # noqa: BLE001
            logger.warning("no span %s: %s: %s", name, type(error).__name__, error)
            return nullcontext()
        return _block(started)

    def flush(self) -> None:
        """Send what waits."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what waits, for CLOSE_SECONDS at most: the SDK itself would try for half a minute."""
        ending = Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)


@contextmanager
def _block(started: AbstractContextManager[Any]) -> Iterator[None]:
    with started:
        yield


def _configured() -> str | None:
    given = variables().get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if variables().get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or given == "none":
        return None
    if given == "console":
        return given
    if not any(variables().get(name) for name in _ENDPOINTS):
        return None
    return "otlp"


def _exporter(kind: str) -> Any:
    """Raises ImportError where a package is missing, ValueError for a protocol that we don't speak."""
    if kind == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stdout)
    protocol = next((variables()[name] for name in _PROTOCOLS if variables().get(name)), _HTTP)
    if protocol != _HTTP:
        raise ValueError(f"{_PROTOCOLS[1]} is {protocol!r}; allowed: {_HTTP}")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
