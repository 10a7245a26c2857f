from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from predictors.edge.contents import ARRAY_VALUES, packed, unpacked
from predictors.load import LoadedModel
from predictors.metrics import Metrics
from predictors.requests.by_column import ByColumn
from predictors.requests.fast import FastDecoder
from predictors.requests.schema import RequestSchema, Tensor
from predictors.scoring.tabular import TabularKind
from serin.artifact import Manifest
from serin.errors import RequestError
from serin.schema import InputColumn, InputSchema
from tests.factories import make_manifest
from tests.plane import LABELS, NAMES, Plane, data_plane

INPUTS = InputSchema(
    columns=(
        InputColumn(name="AMOUNT"),
        InputColumn(name="CHANNEL", kind="category", categories=("chip", "online")),
        InputColumn(name="hour"),
    )
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(*NAMES, registry, categories=["CHANNEL"], views=["customers"])


def tenth(matrix: Any) -> Any:
    """A tenth of the first input, 0 where that is missing."""
    return np.nan_to_num(matrix[:, 0].astype(np.float64)) / 10


@contextmanager
def scorer(used: Manifest, folder: Path, registry: CollectorRegistry, model: Any = tenth) -> Iterator[Plane]:
    counted = metrics(registry)
    with data_plane(TabularKind(LoadedModel(used, model), None, counted), counted, folder / "log") as plane:
        yield plane


def test_rows_are_scored_decided_logged_and_counted(tmp_path: Path, registry: CollectorRegistry) -> None:
    with scorer(make_manifest(inputs=INPUTS, threshold=0.5), tmp_path, registry) as plane:
        before = datetime.now(UTC)
        answered = plane.one(
            {"AMOUNT": 5, "CHANNEL": "online", "TIME": "2018-05-01T10:30:00"},
            {"AMOUNT": 4, "CUSTOMER": 7, "hour": 3},
        )
        first, second = plane.logged()
    assert answered.outputs == {"score": [0.5, 0.4], "decision": [True, False]}
    logged_at = first.pop("logged_at")
    assert before <= logged_at <= datetime.now(UTC)
    assert first == {
        "event_timestamp": datetime(2018, 5, 1, 10, 30, tzinfo=UTC),
        "request_id": "r-1",
        "row": 0,
        **LABELS,
        "score": 0.5,
        "decision": True,
        "feature_age_seconds": None,
        "missing_features": 0,
        "AMOUNT": 5.0,
        "CHANNEL": "online",
        "hour": 10.0,
        "CUSTOMER": None,
    }
    assert before <= second["event_timestamp"] <= logged_at
    assert (second["CUSTOMER"], second["hour"], second["CHANNEL"]) == (7, 3.0, None)
    assert registry.get_sample_value("model_positive_predictions_total", LABELS) == 1
    assert registry.get_sample_value("model_predictions_total", {**LABELS, "status": "ok"}) == 1


def test_numbers_are_logged_as_they_were_given_not_as_the_model_takes_them(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    with scorer(make_manifest(inputs=INPUTS), tmp_path, registry) as plane:
        plane.one({"AMOUNT": 0.1})
        (row,) = plane.logged()
    assert row["AMOUNT"] == 0.1 != float(np.float32(0.1))


def test_every_series_is_there_before_the_first_request(registry: CollectorRegistry) -> None:
    metrics(registry)
    for status in ("ok", "invalid", "overloaded", "error"):
        assert registry.get_sample_value("model_predictions_total", {**LABELS, "status": status}) == 0
    for name in (
        "model_prediction_latency_seconds_count",
        "model_batch_rows_count",
        "model_requests_in_flight",
        "model_positive_predictions_total",
        "model_load_timestamp",
        "model_feature_age_seconds",
        "model_feature_misses_total",
        "model_prediction_log_rows_dropped_total",
    ):
        assert registry.get_sample_value(name, LABELS) == 0, name
    for name, label in (
        ("model_view_age_seconds", {"view": "customers"}),
        ("model_stale_features_total", {"view": "customers"}),
        ("model_late_events_total", {"view": "customers"}),
        ("model_events_pushed_total", {"status": "error"}),
        ("model_online_store_errors_total", {"operation": "push"}),
    ):
        assert registry.get_sample_value(name, {**LABELS, **label}) == 0, name


def test_requests_misses_age_and_drops_are_counted(registry: CollectorRegistry) -> None:
    counted = metrics(registry)
    counted.answered("invalid", 0.004)
    counted.positive(2)
    counted.positive(0)
    counted.features(misses=3, age_seconds=60.0)
    counted.features(misses=0, age_seconds=None)
    counted.dropped(5)
    counted.loaded(1000.0)
    counted.batch(2)
    counted.in_flight(lambda: 3)
    assert registry.get_sample_value("model_predictions_total", {**LABELS, "status": "invalid"}) == 1
    bucket = registry.get_sample_value("model_prediction_latency_seconds_bucket", {**LABELS, "le": "0.005"})
    assert bucket == 1
    assert registry.get_sample_value("model_prediction_latency_seconds_sum", LABELS) == 0.004
    assert registry.get_sample_value("model_batch_rows_bucket", {**LABELS, "le": "1.0"}) == 0
    assert registry.get_sample_value("model_batch_rows_bucket", {**LABELS, "le": "2.0"}) == 1
    assert registry.get_sample_value("model_batch_rows_bucket", {**LABELS, "le": "+Inf"}) == 1
    assert registry.get_sample_value("model_requests_in_flight", LABELS) == 3
    assert registry.get_sample_value("model_positive_predictions_total", LABELS) == 2
    assert registry.get_sample_value("model_feature_misses_total", LABELS) == 3
    assert registry.get_sample_value("model_feature_age_seconds", LABELS) == 60
    assert registry.get_sample_value("model_prediction_log_rows_dropped_total", LABELS) == 5
    assert registry.get_sample_value("model_load_timestamp", LABELS) == 1000


def unknown(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("model_unknown_categories_total", {**LABELS, "column": "CHANNEL"})


def test_rows_of_which_nothing_is_known_are_refused_by_their_keys(tmp_path: Path, registry: CollectorRegistry) -> None:
    used = make_manifest(inputs=InputSchema(columns=INPUTS.columns[1:2]), calendar=())
    rows = [{"AMOUNT": 5, "CHANNEL": "post", "CUSTOMER": 7}, {"AMOUNT": 5, "CHANNEL": "chip"}, {"AMOUNT": 5}]
    with scorer(used, tmp_path, registry) as plane:
        with pytest.raises(RequestError) as caught:
            plane.one(*rows)
        assert str(caught.value).splitlines() == [
            "2 of 3 rows are refused:",
            "  row 0: none of the model's inputs is known of CUSTOMER=7",
            "  row 2: none of the model's inputs is known of CUSTOMER=None",
        ]
        answered = plane.one({"AMOUNT": -1}, *rows, partial=True)
        assert (list(answered.rows.numbers), sorted(answered.rows.refused)) == ([2], [0, 1, 3])
        assert [(row["request_id"], row["row"]) for row in plane.logged()] == [("r-1", 2)]
    assert registry.get_sample_value("model_predictions_total", {**LABELS, "status": "invalid"}) == 1


def test_rows_whose_score_is_no_number_are_refused(tmp_path: Path, registry: CollectorRegistry) -> None:
    def model(matrix: Any) -> Any:
        return np.where(matrix[:, 0] > 5, np.nan, 0.25)

    with scorer(make_manifest(inputs=INPUTS), tmp_path, registry, model) as plane:
        with pytest.raises(RequestError, match="row 1: the model can't score it: its score is no number"):
            plane.one({"AMOUNT": 1}, {"AMOUNT": 6}, {"AMOUNT": 2})
        answered = plane.one({"AMOUNT": 1}, {"AMOUNT": 6}, {"AMOUNT": 2}, partial=True)
    assert (answered.outputs["score"], list(answered.rows.numbers)) == ([0.25, 0.25], [0, 2])


@pytest.mark.parametrize("value", ["Online", "online ", "post"])
def test_category_that_training_did_not_know_is_counted_and_told(
    value: str, tmp_path: Path, registry: CollectorRegistry
) -> None:
    with scorer(make_manifest(inputs=INPUTS), tmp_path, registry) as plane:
        assert unknown(registry) == 0
        answered = plane.one(*({"AMOUNT": 5, "CHANNEL": given} for given in ("online", value, None)))
        assert unknown(registry) == 1
        assert list(answered.unknown) == [{}, {"CHANNEL": value}, {}]
        assert [row["CHANNEL"] for row in plane.logged()] == ["online", value, None]


def test_partial_answer_has_scores_in_the_rows_order_and_what_was_wrong_with_the_others(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    rows = [{"AMOUNT": -1}, {"AMOUNT": 5}, {"AMOUNT": "x"}, {"AMOUNT": 1}]
    with scorer(make_manifest(inputs=INPUTS), tmp_path, registry) as plane:
        answered = plane.one(*rows, partial=True)
    assert answered.outputs == {"score": [0.5, 0.1], "decision": [True, False]}
    assert list(answered.rows.numbers) == [1, 3]
    assert answered.rows.refused == {
        0: "AMOUNT: below 0 (found -1.0)",
        2: "AMOUNT: not a finite number (32 bits) (found 'x')",
    }


def test_many_rows_in_raw_contents_are_answered_and_logged_as_those_in_json(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    used = make_manifest(inputs=INPUTS, threshold=0.5)
    random = np.random.default_rng(5)
    count = 3 * ARRAY_VALUES
    amounts = np.round(random.uniform(0, 10, count), 2)
    hours = np.where(random.random(count) < 0.2, np.nan, random.integers(0, 24, count).astype(float))
    channels = random.choice(["chip", "online", "pigeon"], count).tolist()
    known = [
        {"AMOUNT": amount, "CHANNEL": channel, "hour": None if hour != hour else hour, "TIME": "2018-05-01T10:30:00"}
        for amount, channel, hour in zip(amounts.tolist(), channels, hours.tolist(), strict=True)
    ]
    with scorer(used, tmp_path / "json", registry) as plane:
        expected, logged = plane.one(*known), plane.logged()
    texts = {"CHANNEL": channels, "TIME": ["2018-05-01T10:30:00"] * count}
    contents = {
        **{name: ("FP64", packed("FP64", values)) for name, values in (("AMOUNT", amounts), ("hour", hours))},
        **{name: ("BYTES", packed("BYTES", values)) for name, values in texts.items()},
    }
    rows = FastDecoder(RequestSchema(used)).tensors(
        [Tensor(name, kind, [count], unpacked(name, kind, raw)) for name, (kind, raw) in contents.items()]
    )
    assert rows is not None
    assert isinstance(rows.records, ByColumn)
    with scorer(used, tmp_path / "raw", CollectorRegistry()) as plane:
        answered = plane.rows(rows)
        again = plane.logged()
    assert (answered.outputs, answered.unknown) == (expected.outputs, expected.unknown)
    for row in (*logged, *again):
        row.pop("logged_at")
    assert again == logged
