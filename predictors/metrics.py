"""What Prometheus reads at /metrics. Every series is there, at 0, before the first request."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge
from prometheus_client.metrics import MetricWrapperBase

from predictors.tallies import Distribution, Tally

Status = Literal["ok", "invalid", "overloaded", "error"]
STATUSES: tuple[Status, ...] = ("ok", "invalid", "overloaded", "error")
PUSHED: tuple[Status, ...] = ("ok", "invalid", "error")
Operation = Literal["read", "push"]
OPERATIONS: tuple[Operation, ...] = ("read", "push")
LABELS = ("model", "model_version", "deployment")
LATENCY_BUCKETS = (
    *(0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05),
    *(0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0),
)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True)
class _Series:
    """One declaration: a name, what it tells, and the label that it has besides LABELS, if any."""

    kind: type[MetricWrapperBase]
    name: str
    text: str
    label: str = ""

    def of(self, own: Mapping[str, str], registry: CollectorRegistry, values: Iterable[str] = ()) -> dict[str, Any]:
        """The series by the values of its label; by "" where it has none."""
        labels = (*LABELS, self.label) if self.label else LABELS
        made = self.kind(self.name, self.text, labels, registry=registry)
        if not self.label:
            return {"": made.labels(**own)}
        return {value: made.labels(**own, **{self.label: value}) for value in values}


_REQUESTS = (
    "model_predictions",
    "Prediction requests (not rows) by outcome: ok, invalid (the caller's fault, 4xx), overloaded (refused at once, "
    "503), error (ours, 5xx)",
)
_EXPLANATIONS = (
    "model_explanations",
    "Requests to explain (not rows) by outcome, as of predictions; model_predictions_total has none of them",
)
_LATENCY = (
    "model_prediction_latency_seconds",
    "Time from a prediction request's arrival to its answer, whatever the outcome",
)
_IN_FLIGHT = _Series(Gauge, "model_requests_in_flight", "Requests that were taken on and have no answer yet")
_BATCH = ("model_batch_rows", "Rows of all requests that were scored together")
_POSITIVE = _Series(Counter, "model_positive_predictions_total", "Rows whose decision was true")
_UNKNOWN = _Series(
    Counter,
    "model_unknown_categories_total",
    "Values of a category input that training did not know, by column",
    "column",
)
_MISSES = _Series(
    Counter,
    "model_feature_misses_total",
    "Feature values that the online store did not know, or only ones that were too old (rows times features)",
)
_AGE = _Series(
    Gauge,
    "model_feature_age_seconds",
    "Age of the oldest feature of the latest requests that were scored together, at their event times",
)
_AGE_OF_VIEW = _Series(
    Gauge,
    "model_view_age_seconds",
    "Greatest age of a view's features in the latest requests that were scored together, at their event times",
    "view",
)
_STALE = _Series(
    Counter,
    "model_stale_features_total",
    "Feature values that were older than their view's ttl (rows times features)",
    "view",
)
_LATE = _Series(
    Counter,
    "model_late_events_total",
    "Pushed events and labels that a view's windows do not count before the next refresh, as their hops were "
    "merged before (rows times events)",
    "view",
)
_PUSHED = _Series(
    Counter,
    "model_events_pushed_total",
    "Events and labels that were pushed, by outcome: ok, invalid (the caller's fault), error (the store's)",
    "status",
)
_FAILURES = _Series(
    Counter, "model_online_store_errors_total", "How often the online store did not answer", "operation"
)
_DROPPED = _Series(
    Counter,
    "model_prediction_log_rows_dropped_total",
    "Scored rows that the prediction log lost: spool and buffer were full, or a value did not fit its column",
)
_UPLOADS = _Series(
    Counter, "model_prediction_log_upload_failures_total", "How often the store did not take the prediction log"
)
_WAITING = _Series(
    Gauge, "model_prediction_log_rows_waiting", "Scored rows that are in memory alone: a crash would lose them"
)
_SPOOLED = _Series(Gauge, "model_prediction_log_spool_bytes", "What of the prediction log is on the local disk alone")
_OLDEST = _Series(
    Gauge, "model_prediction_log_oldest_row_seconds", "Age of the oldest scored row that the store does not have yet"
)
_LOADED = _Series(Gauge, "model_load_timestamp", "When the model was ready, in seconds since 1970")


class Metrics:
    """The series of one deployment of one model version; `categories` are the inputs that hold one, `views` what it
    reads from the online store."""

    def __init__(
        self,
        model: str,
        version: str,
        deployment: str,
        registry: CollectorRegistry = REGISTRY,
        categories: Sequence[str] = (),
        views: Sequence[str] = (),
    ) -> None:
        own = {"model": model, "model_version": version, "deployment": deployment}

        def one(series: _Series) -> Any:
            return series.of(own, registry)[""]

        self._requests = Tally(*_REQUESTS, own, "status", STATUSES, registry)
        self._explanations = Tally(*_EXPLANATIONS, own, "status", STATUSES, registry)
        self._latency = Distribution(*_LATENCY, own, LATENCY_BUCKETS, registry)
        self._batch = Distribution(*_BATCH, own, BATCH_BUCKETS, registry)
        self._in_flight = one(_IN_FLIGHT)
        self._positive, self._misses, self._age = one(_POSITIVE), one(_MISSES), one(_AGE)
        self._unknown = _UNKNOWN.of(own, registry, categories)
        self._ages = _AGE_OF_VIEW.of(own, registry, views)
        self._stale, self._late = _STALE.of(own, registry, views), _LATE.of(own, registry, views)
        self._pushed = _PUSHED.of(own, registry, PUSHED)
        self._failures = _FAILURES.of(own, registry, OPERATIONS)
        self._dropped, self._uploads, self._loaded = one(_DROPPED), one(_UPLOADS), one(_LOADED)
        self._waiting, self._spooled, self._oldest = one(_WAITING), one(_SPOOLED), one(_OLDEST)

    def answered(self, status: Status, seconds: float) -> None:
        """One request was answered after `seconds`. Called on the event loop."""
        self._requests.counts[status] += 1
        self._latency.observe(seconds)

    def explained(self, status: Status) -> None:
        """One request to explain was answered. Called on the event loop."""
        self._explanations.counts[status] += 1

    def in_flight(self, count: Callable[[], int]) -> None:
        """Ask `count` for the requests in flight whenever somebody wants to know."""
        self._in_flight.set_function(count)

    def batch(self, rows: int) -> None:
        """So many rows were scored together. Called on the event loop."""
        self._batch.observe(rows)

    def positive(self, rows: int) -> None:
        """The decision of so many rows was true."""
        if rows:
            self._positive.inc(rows)

    def features(self, misses: int, age_seconds: float | None) -> None:
        """Features were read: `misses` values were not in the store, and the oldest is of this age, where any was."""
        if misses:
            self._misses.inc(misses)
        if age_seconds is not None:
            self._age.set(age_seconds)

    def view(self, name: str, age_seconds: float | None, stale: int, late: int = 0) -> None:
        """What requests saw of a view: its greatest age, None where nothing was there, the values too old, and what
        was pushed too late for its hops."""
        if age_seconds is not None:
            self._ages[name].set(age_seconds)
        if stale:
            self._stale[name].inc(stale)
        if late:
            self._late[name].inc(late)

    def pushed(self, status: Status, events: int) -> None:
        """Events and labels were pushed, or refused."""
        self._pushed[status].inc(events)

    def store_failed(self, operation: Operation) -> None:
        """The online store did not answer."""
        self._failures[operation].inc()

    def unknown(self, column: str, values: int = 1) -> None:
        """Rows held values of the category input `column` that training did not know."""
        self._unknown[column].inc(values)

    def dropped(self, rows: int) -> None:
        """The prediction log lost `rows` rows."""
        self._dropped.inc(rows)

    def upload_failed(self) -> None:
        """The store did not take the prediction log."""
        self._uploads.inc()

    def watch_log(
        self, rows_waiting: Callable[[], int], spool_bytes: Callable[[], int], oldest_seconds: Callable[[], float]
    ) -> None:
        """Ask these for the state of the prediction log whenever it is scraped."""
        self._waiting.set_function(rows_waiting)
        self._spooled.set_function(spool_bytes)
        self._oldest.set_function(oldest_seconds)

    def loaded(self, timestamp: float) -> None:
        """The model was ready at `timestamp`, in seconds since 1970."""
        self._loaded.set(timestamp)
