import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from predictors.edge.answers import outputs, predictions
from predictors.identity import Identity
from predictors.load import LoadedModel
from predictors.log.columns import logged_of, schema
from predictors.log.writer import PredictionLog
from predictors.metrics import Metrics
from predictors.requests.schema import RequestSchema
from predictors.scoring.tabular import RowScorer
from serin import partitions
from serin.artifact import Manifest
from serin.errors import RequestError
from serin.schema import InputColumn, InputSchema
from tests.factories import make_manifest

NOW = datetime(2018, 6, 1, 12, tzinfo=UTC)
INPUTS = InputSchema(
    columns=(
        InputColumn(name="AMOUNT"),
        InputColumn(name="CHANNEL", kind="category", categories=("chip", "online")),
        InputColumn(name="hour"),
    )
)
LABELS = {"model": "card-fraud", "model_version": "12", "deployment": "card-fraud-v12"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics("card-fraud", "12", "card-fraud-v12", registry, categories=["CHANNEL"], views=["customers"])


def scorer(used: Manifest, folder: Path, registry: CollectorRegistry) -> tuple[RowScorer, PredictionLog]:
    """A scorer whose model gives a tenth of the first input, 0 where that is missing, and its log."""
    model = LoadedModel(used, lambda matrix: np.nan_to_num(matrix[:, 0].astype(np.float64)) / 10)
    identity, dropped = Identity(*LABELS.values()), metrics(CollectorRegistry()).dropped
    log = PredictionLog(str(folder), folder / "spool", identity, schema(logged_of(used)), dropped)
    return RowScorer(identity, model, None, log, metrics(registry)), log


def test_rows_are_scored_decided_logged_and_counted(tmp_path: Path, registry: CollectorRegistry) -> None:
    used = make_manifest(inputs=INPUTS, threshold=0.5)
    scoring, log = scorer(used, tmp_path, registry)
    body = {
        "instances": [
            {"AMOUNT": 5, "CHANNEL": "online", "TIME": "2018-05-01T10:30:00"},
            {"AMOUNT": 4, "CUSTOMER": 7, "hour": 3},
        ]
    }
    result = scoring.score(RequestSchema(used).from_v1(body, NOW), None, "r-1", NOW)
    log.flush()
    assert (result.scores, result.decisions) == ([0.5, 0.4], [True, False])
    first, second = partitions.read(str(tmp_path)).table.sort_by("row").to_pylist()
    assert first == {
        "logged_at": NOW,
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
    assert (second["event_timestamp"], second["CUSTOMER"], second["hour"]) == (NOW, 7, 3.0)
    assert registry.get_sample_value("model_positive_predictions_total", LABELS) == 1


def test_every_series_is_there_before_the_first_request(registry: CollectorRegistry) -> None:
    metrics(registry)
    for status in ("ok", "invalid", "error"):
        assert registry.get_sample_value("model_predictions_total", {**LABELS, "status": status}) == 0
    for name in (
        "model_prediction_latency_seconds_count",
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
    counted.scored(positive=2, misses=3, age_seconds=60.0)
    counted.scored(positive=0, misses=0, age_seconds=None)
    counted.dropped(5)
    counted.loaded(1000.0)
    assert registry.get_sample_value("model_predictions_total", {**LABELS, "status": "invalid"}) == 1
    bucket = registry.get_sample_value("model_prediction_latency_seconds_bucket", {**LABELS, "le": "0.005"})
    assert bucket == 1
    assert registry.get_sample_value("model_positive_predictions_total", LABELS) == 2
    assert registry.get_sample_value("model_feature_misses_total", LABELS) == 3
    assert registry.get_sample_value("model_feature_age_seconds", LABELS) == 60
    assert registry.get_sample_value("model_prediction_log_rows_dropped_total", LABELS) == 5
    assert registry.get_sample_value("model_load_timestamp", LABELS) == 1000


def unknown(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("model_unknown_categories_total", {**LABELS, "column": "CHANNEL"})


def test_rows_of_which_nothing_is_known_are_refused_by_their_keys(tmp_path: Path, registry: CollectorRegistry) -> None:
    used = make_manifest(inputs=InputSchema(columns=INPUTS.columns[1:2]), calendar=())
    scoring, log = scorer(used, tmp_path, registry)
    rows = [{"AMOUNT": 5, "CHANNEL": "post", "CUSTOMER": 7}, {"AMOUNT": 5, "CHANNEL": "chip"}, {"AMOUNT": 5}]
    with pytest.raises(RequestError) as caught:
        scoring.score(RequestSchema(used).from_v1({"instances": rows}, NOW), None, "r-1", NOW)
    assert str(caught.value).splitlines() == [
        "2 of 3 rows are refused:",
        "  row 0: none of the model's inputs is known of CUSTOMER=7",
        "  row 2: none of the model's inputs is known of CUSTOMER=None",
    ]
    body = {"instances": [{"AMOUNT": -1}, *rows], "parameters": {"partial": True}}
    result = scoring.score(RequestSchema(used).from_v1(body, NOW), None, "r-2", NOW)
    assert (list(result.rows.numbers), sorted(result.rows.refused)) == ([2], [0, 1, 3])
    log.flush()
    assert partitions.read(str(tmp_path)).table.select(["request_id", "row"]).to_pylist() == [
        {"request_id": "r-2", "row": 2}
    ]


@pytest.mark.parametrize("value", ["Online", "online ", "post"])
def test_category_that_training_did_not_know_is_counted_and_told(
    value: str, tmp_path: Path, registry: CollectorRegistry
) -> None:
    used = make_manifest(inputs=INPUTS)
    scoring, _ = scorer(used, tmp_path, registry)
    assert unknown(registry) == 0
    rows = [{"AMOUNT": 5, "CHANNEL": given} for given in ("online", value, None)]
    body = {"instances": rows, "parameters": {"explain_unknown": True}}
    result = scoring.score(RequestSchema(used).from_v1(body, NOW), None, "r-1", NOW)
    assert unknown(registry) == 1
    told = [answer["unknown_categories"] for answer in predictions(result, "12")]
    assert told == [{}, {"CHANNEL": value}, {}]
    (texts,) = [output.data for output in outputs(result, "12") if output.name == "unknown_categories"]
    assert [json.loads(text) for text in texts] == told


def test_unknown_categories_are_counted_but_not_told_unless_asked(tmp_path: Path, registry: CollectorRegistry) -> None:
    used = make_manifest(inputs=INPUTS)
    scoring, _ = scorer(used, tmp_path, registry)
    body = {"instances": [{"AMOUNT": 5, "CHANNEL": "post"}] * 3}
    result = scoring.score(RequestSchema(used).from_v1(body, NOW), None, "r-1", NOW)
    assert unknown(registry) == 3
    assert predictions(result, "12")[0] == {"score": 0.5, "decision": True, "model_version": "12"}
    assert [output.name for output in outputs(result, "12")] == ["score", "decision", "model_version"]


def test_partial_answer_has_scores_in_the_rows_order_and_what_was_wrong_with_the_others(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    used = make_manifest(inputs=INPUTS)
    scoring, _ = scorer(used, tmp_path, registry)
    rows = [{"AMOUNT": -1}, {"AMOUNT": 5}, {"AMOUNT": "x"}, {"AMOUNT": 1}]
    result = scoring.score(
        RequestSchema(used).from_v1({"instances": rows, "parameters": {"partial": True}}, NOW), None, "r-1", NOW
    )
    below, text = "AMOUNT: below 0 (found -1.0)", "AMOUNT: not a finite number (32 bits) (found 'x')"
    assert predictions(result, "12") == [
        {"error": below},
        {"score": 0.5, "decision": True, "model_version": "12"},
        {"error": text},
        {"score": 0.1, "decision": False, "model_version": "12"},
    ]
    assert {output.name: (output.datatype, output.data) for output in outputs(result, "12")} == {
        "score": ("FP64", [0.5, 0.1]),
        "decision": ("BOOL", [True, False]),
        "model_version": ("BYTES", ["12", "12"]),
        "row": ("INT64", [1, 3]),
        "refused_row": ("INT64", [0, 2]),
        "refusal": ("BYTES", [below, text]),
    }
