"""What Prometheus reads at /metrics. Every series is there, at 0, before the first request."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_Kind = TypeVar("_Kind", Counter, Gauge, Histogram)
Status = Literal["ok", "invalid", "error"]
STATUSES: tuple[Status, ...] = ("ok", "invalid", "error")
Operation = Literal["read", "push"]
OPERATIONS: tuple[Operation, ...] = ("read", "push")
LABELS = ("model", "model_version", "deployment")
LATENCY_BUCKETS = (
    *(0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05),
    *(0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0),
)


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

        def series(kind: type[_Kind], name: str, text: str, *more: str, **options: Any) -> _Kind:
            return kind(name, text, (*LABELS, *more), registry=registry, **options)

        requests = series(
            Counter,
            "model_predictions_total",
            "Prediction requests (not rows) by outcome: ok, invalid (the caller's fault, 4xx), error (ours, 5xx)",
            "status",
        )
        unknown = series(
            Counter,
            "model_unknown_categories_total",
            "Values of a category input that training did not know, by column",
            "column",
        )
        latency = series(
            Histogram,
            "model_prediction_latency_seconds",
            "Time from a prediction request's arrival to its answer, whatever the outcome",
            buckets=LATENCY_BUCKETS,
        )
        positive = series(Counter, "model_positive_predictions_total", "Rows whose decision was true")
        misses = series(
            Counter,
            "model_feature_misses_total",
            "Feature values that the online store did not know, or only ones that were too old (rows times features)",
        )
        age = series(
            Gauge, "model_feature_age_seconds", "Age of the oldest feature of the latest request at its event time"
        )
        age_of_view = series(
            Gauge,
            "model_view_age_seconds",
            "Greatest age of a view's features in the latest request at its event time",
            "view",
        )
        stale = series(
            Counter,
            "model_stale_features_total",
            "Feature values that were older than their view's ttl (rows times features)",
            "view",
        )
        late = series(
            Counter,
            "model_late_events_total",
            "Pushed events and labels that a view's windows do not count before the next refresh, as their hops were "
            "merged before (rows times events)",
            "view",
        )
        pushed = series(
            Counter,
            "model_events_pushed_total",
            "Events and labels that were pushed, by outcome: ok, invalid (the caller's fault), error (the store's)",
            "status",
        )
        failures = series(
            Counter, "model_online_store_errors_total", "How often the online store did not answer", "operation"
        )
        dropped = series(
            Counter,
            "model_prediction_log_rows_dropped_total",
            "Scored rows that the prediction log lost: spool and buffer were full, or a value did not fit its column",
        )
        uploads = series(
            Counter, "model_prediction_log_upload_failures_total", "How often the store did not take the prediction log"
        )
        waiting = series(
            Gauge, "model_prediction_log_rows_waiting", "Scored rows that are in memory alone: a crash would lose them"
        )
        spooled = series(
            Gauge, "model_prediction_log_spool_bytes", "What of the prediction log is on the local disk alone"
        )
        oldest = series(
            Gauge,
            "model_prediction_log_oldest_row_seconds",
            "Age of the oldest scored row that the store does not have yet",
        )
        loaded = series(Gauge, "model_load_timestamp", "When the model was ready, in seconds since 1970")
        self._requests = {status: requests.labels(**own, status=status) for status in STATUSES}
        self._unknown = {column: unknown.labels(**own, column=column) for column in categories}
        self._ages = {view: age_of_view.labels(**own, view=view) for view in views}
        self._stale = {view: stale.labels(**own, view=view) for view in views}
        self._late = {view: late.labels(**own, view=view) for view in views}
        self._pushed = {status: pushed.labels(**own, status=status) for status in STATUSES}
        self._failures = {operation: failures.labels(**own, operation=operation) for operation in OPERATIONS}
        self._latency, self._positive = latency.labels(**own), positive.labels(**own)
        self._misses, self._age = misses.labels(**own), age.labels(**own)
        self._dropped, self._loaded = dropped.labels(**own), loaded.labels(**own)
        self._uploads = uploads.labels(**own)
        self._waiting, self._spooled, self._oldest = (gauge.labels(**own) for gauge in (waiting, spooled, oldest))

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

    def view(self, name: str, age_seconds: float | None, stale: int, late: int = 0) -> None:
        """What a request saw of a view: its greatest age, None where nothing was there, the values too old, and what
        was pushed too late for its hops."""
        if age_seconds is not None:
            self._ages[name].set(age_seconds)
        self._stale[name].inc(stale)
        self._late[name].inc(late)

    def pushed(self, status: Status, events: int) -> None:
        """Events and labels were pushed, or refused."""
        self._pushed[status].inc(events)

    def store_failed(self, operation: Operation) -> None:
        """The online store did not answer."""
        self._failures[operation].inc()

    def unknown(self, column: str) -> None:
        """A row held a value of the category input `column` that training did not know."""
        self._unknown[column].inc()

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
