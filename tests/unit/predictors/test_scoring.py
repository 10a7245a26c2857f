from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from predictors.load import LoadedModel
from predictors.log import PredictionLog, schema
from predictors.metrics import Metrics
from predictors.requests import RequestSchema
from predictors.score import Identity, RowScorer
from serin.errors import RequestError
from serin.schema import InputColumn, InputSchema
from serin.storage import read_table
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
    return Metrics("card-fraud", "12", "card-fraud-v12", registry)


def test_rows_are_scored_decided_logged_and_counted(tmp_path: Path, registry: CollectorRegistry) -> None:
    used = make_manifest(inputs=INPUTS, threshold=0.5)
    model = LoadedModel(used, lambda matrix: matrix[:, 0].astype(np.float64) / 10)
    log = PredictionLog(str(tmp_path), "card-fraud-v12", schema(used), metrics(CollectorRegistry()).dropped)
    scorer = RowScorer(Identity(*LABELS.values()), model, None, log, metrics(registry))
    body = {
        "instances": [
            {"AMOUNT": 5, "CHANNEL": "online", "TIME": "2018-05-01T10:30:00"},
            {"AMOUNT": 4, "CUSTOMER": 7, "hour": 3},
        ]
    }
    result = scorer.score(RequestSchema(used).from_v1(body, NOW), "r-1", NOW)
    log.flush()
    assert (result.scores, result.decisions) == ([0.5, 0.4], [True, False])
    first, second = read_table(str(tmp_path)).sort_by("row").to_pylist()
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


def test_row_of_which_nothing_is_known_is_refused_by_its_key(tmp_path: Path, registry: CollectorRegistry) -> None:
    used = make_manifest(inputs=InputSchema(columns=INPUTS.columns[1:2]), calendar=(), threshold=0.5)
    model = LoadedModel(used, lambda matrix: matrix[:, 0].astype(np.float64))
    log = PredictionLog(str(tmp_path), "card-fraud-v12", schema(used), metrics(CollectorRegistry()).dropped)
    scorer = RowScorer(Identity(*LABELS.values()), model, None, log, metrics(registry))
    rows = RequestSchema(used).from_v1(
        {"instances": [{"AMOUNT": 5, "CHANNEL": "chip"}, {"AMOUNT": 5, "CHANNEL": "post", "CUSTOMER": 7}]}, NOW
    )
    with pytest.raises(RequestError, match=r"row 1: none of the model's inputs is known of .*CUSTOMER=7"):
        scorer.score(rows, "r-1", NOW)
