"""Explanations of the tabular kind: SHAP values by input, from the artifact as it was loaded."""

import math
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from predictors.load import load
from predictors.metrics import Metrics
from predictors.requests.rows import Rows
from predictors.scoring.tabular import NO_SCORE, TabularKind
from serin.errors import RequestError, UnavailableError
from tests.factories import make_artifact

NOW = datetime(2018, 6, 1, 12, tzinfo=UTC)
ROWS = [
    {"TX_AMOUNT": 250.0, "CHANNEL": "online", "TX_DATETIME": "2018-05-01T10:30:00"},
    {"TX_AMOUNT": 3.5, "CHANNEL": "carrier pigeon", "TX_DATETIME": "2018-05-01T10:30:00"},
]


def kind_of(folder, estimator="xgboost", store=False):
    make_artifact(folder, estimator=estimator, store=store)
    return TabularKind(load(folder), None, Metrics("m", "1", "m-v1", CollectorRegistry()))


def rows_of(kind, instances) -> Rows:
    return kind.schema.from_v1({"instances": instances}, NOW)


@pytest.mark.parametrize(
    ("estimator", "told"),
    [
        ("xgboost", "XGBoost's own TreeSHAP, exact"),
        ("logistic_regression", "Kernel SHAP, exact, of all 14 coalitions and 20 rows of background"),
        ("random_forest", "Kernel SHAP, exact, of all 14 coalitions and 20 rows of background"),
    ],
)
def test_values_of_a_row_add_up_to_its_score(estimator, told, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    kind = kind_of(tmp_path / "model", estimator)
    rows = rows_of(kind, ROWS)
    first, second = kind.explain(rows, None)
    scores = kind.answer(rows, None, NOW).outputs["score"]
    assert [first["score"], second["score"]] == scores
    for each in (first, second):
        assert each["scale"] == "log-odds"
        assert each["method"] == told
        assert each["base"] + sum(each["values"].values()) == pytest.approx(each["output"])
        assert 1 / (1 + math.exp(-each["output"])) == pytest.approx(each["score"], abs=1e-5)
    assert first["values"].keys() == first["inputs"].keys() == {"TX_AMOUNT", "CHANNEL", "hour", "weekday"}
    assert first["values"]["TX_AMOUNT"] > max(abs(first["values"][name]) for name in ("hour", "weekday"))


def test_inputs_are_what_the_model_was_given(tmp_path):
    kind = kind_of(tmp_path / "model")
    first, second = kind.explain(rows_of(kind, ROWS), None)
    assert first["inputs"] == {"TX_AMOUNT": 250.0, "CHANNEL": "online", "hour": 10.0, "weekday": 1.0}
    assert second["inputs"]["CHANNEL"] is None


def test_row_that_the_model_can_not_score_is_told_in_its_place_of_a_partial_request(tmp_path):
    make_artifact(tmp_path / "model")
    place = load(tmp_path / "model").manifest.inputs.names.index("TX_AMOUNT")
    model = replace(load(tmp_path / "model"), predict=lambda matrix: np.where(matrix[:, place] > 5, np.nan, 0.25))
    kind = TabularKind(model, None, Metrics("m", "1", "m-v1", CollectorRegistry()))
    refused = {**ROWS[0], "TX_AMOUNT": -1}
    body = {"instances": [refused, *ROWS], "parameters": {"partial": True}}
    first, second = kind.explain(kind.schema.from_v1(body, NOW), None)
    assert (first, second["score"]) == ({"error": NO_SCORE}, 0.25)


def test_categories_that_training_did_not_know_are_named_where_asked_for(tmp_path):
    kind = kind_of(tmp_path / "model")
    body = {"instances": ROWS, "parameters": {"explain_unknown": True}}
    found = kind.explain(kind.schema.from_v1(body, NOW), None)
    assert [each["unknown_categories"] for each in found] == [{}, {"CHANNEL": "carrier pigeon"}]
    assert "unknown_categories" not in kind.explain(rows_of(kind, ROWS), None)[0]


def test_more_rows_than_can_be_explained_are_refused(tmp_path):
    kind = kind_of(tmp_path / "model")
    with pytest.raises(RequestError, match="the request has 65 rows to explain; allowed: 1 to 64"):
        kind.explain(rows_of(kind, ROWS[:1] * 65), None)
    assert len(kind.explain(rows_of(kind, ROWS[:1] * 64), None)) == 64


def test_raw_rows_with_store_features_are_explained(tmp_path):
    kind = kind_of(tmp_path / "model", store=True)
    raw = {"TX_AMOUNT": 9.0, "CHANNEL": None, "customer_count_1d": 2, "terminal_fraud_rate_7d": None}
    (found,) = kind.explain(rows_of(kind, [raw]), None)
    assert found["inputs"]["customer_count_1d"] == 2.0
    assert found["inputs"]["terminal_fraud_rate_7d"] is None


def test_an_artifact_that_was_changed_since_it_was_loaded_explains_nothing(tmp_path):
    kind = kind_of(tmp_path / "model")
    (tmp_path / "model/background.parquet").write_bytes(b"else")
    with pytest.raises(UnavailableError, match=r"can't be explained any more: .*was changed"):
        kind.explain(rows_of(kind, ROWS), None)


def test_an_artifact_without_a_background_says_what_is_missing(tmp_path):
    kind = kind_of(tmp_path / "model")
    manifest = kind._model.manifest
    files = {name: hash_ for name, hash_ in manifest.files.items() if name != "background.parquet"}
    loaded = load(tmp_path / "model")
    older = type(loaded)(manifest.model_copy(update={"files": files}), loaded.predict, folder=loaded.folder)
    kind = TabularKind(older, None, Metrics("m", "1", "m-v1", CollectorRegistry()))
    with pytest.raises(UnavailableError, match=r"holds no background\.parquet.*serin train card_fraud"):
        kind.explain(rows_of(kind, ROWS), None)
