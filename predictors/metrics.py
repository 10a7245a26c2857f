"""What Prometheus reads at /metrics. Every series is there, at 0, before the first request."""

from collections.abc import Sequence
from typing import Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

Status = Literal["ok", "invalid", "error"]
STATUSES: tuple[Status, ...] = ("ok", "invalid", "error")
LABELS = ("model", "model_version", "deployment")
LATENCY_BUCKETS = (
    *(0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05),
    *(0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0),
)


class Metrics:
    """The series of one deployment of one model version; `categories` are the inputs that hold one."""

    def __init__(
        self,
        model: str,
        version: str,
        deployment: str,
        registry: CollectorRegistry = REGISTRY,
        categories: Sequence[str] = (),
    ) -> None:
        labels = {"model": model, "model_version": version, "deployment": deployment}
        requests = Counter(
            "model_predictions_total",
            "Prediction requests (not rows) by outcome: ok, invalid (the caller's fault, 4xx), error (ours, 5xx)",
            (*LABELS, "status"),
            registry=registry,
        )
        self._requests = {status: requests.labels(**labels, status=status) for status in STATUSES}
        self._latency = Histogram(
            "model_prediction_latency_seconds",
            "Time from a prediction request's arrival to its answer, whatever the outcome",
            LABELS,
            buckets=LATENCY_BUCKETS,
            registry=registry,
        ).labels(**labels)
        self._positive = Counter(
            "model_positive_predictions_total", "Rows whose decision was true", LABELS, registry=registry
        ).labels(**labels)
        self._misses = Counter(
            "model_feature_misses_total",
            "Feature values that the online store did not hold (rows times features)",
            LABELS,
            registry=registry,
        ).labels(**labels)
        unknown = Counter(
            "model_unknown_categories_total",
            "Values of a category input that training did not know, by column",
            (*LABELS, "column"),
            registry=registry,
        )
        self._unknown = {column: unknown.labels(**labels, column=column) for column in categories}
        self._age = Gauge(
            "model_feature_age_seconds",
            "Age of the oldest feature of the latest request at its event time",
            LABELS,
            registry=registry,
        ).labels(**labels)
        self._dropped = Counter(
            "model_prediction_log_rows_dropped_total",
            "Scored rows that the prediction log lost: its buffer was full, or a value did not fit its column",
            LABELS,
            registry=registry,
        ).labels(**labels)
        self._loaded = Gauge(
            "model_load_timestamp", "When the model was ready, in seconds since 1970", LABELS, registry=registry
        ).labels(**labels)

    def answered(self, status: Status, seconds: float) -> None:
        """One request was answered after `seconds`."""
        self._requests[status].inc()
        self._latency.observe(seconds)

    def scored(self, positive: int, misses: int, age_seconds: float | None) -> None:
        """Rows were scored: `positive` decisions were true, `misses` feature values were not in the store."""
        self._positive.inc(positive)
        self._misses.inc(misses)
        if age_seconds is not None:
            self._age.set(age_seconds)

    def unknown(self, column: str) -> None:
        """A row held a value of the category input `column` that training did not know."""
        self._unknown[column].inc()

    def dropped(self, rows: int) -> None:
        """The prediction log lost `rows` rows."""
        self._dropped.inc(rows)

    def loaded(self, timestamp: float) -> None:
        """The model was ready at `timestamp`, in seconds since 1970."""
        self._loaded.set(timestamp)
