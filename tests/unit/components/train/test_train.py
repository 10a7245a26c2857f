"""Training one estimator on a small table whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from components.train.fitting import best_threshold, input_schema, train
from components.train.run import train_estimator
from serin.artifact import REFERENCE, verify
from serin.engines import load
from serin.learning.encoding import encode, labels
from serin.learning.split import SPLIT
from serin.schema import InputColumn, InputSchema
from tests.factories import make_case


def toy(**listed):
    columns = {"id": "integer", "x": "number", "city": "text", "y": "integer"}
    return make_case(columns, request=["x", "city"], training={"estimators": listed})


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    size = 1500
    x, city = rng.normal(size=size), rng.choice(["Bern", "Genf", "Chur"], size)
    y = (x + (city == "Genf") * 2 + rng.normal(scale=0.3, size=size) > 1).astype(int)
    x[::50] = np.nan
    part = np.repeat(["fit", "validation", "test"], size // 3)
    return pd.DataFrame({"id": range(size), "x": x, "city": city, "y": y, SPLIT: part})


ESTIMATORS = {
    "logistic_regression": {"C": 1.0},
    "xgboost": {"n_estimators": 20, "max_depth": 3},
    "random_forest": {"n_estimators": 20, "max_depth": 5},
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_saved_model_scores_the_test_rows_well_and_as_its_reference_says(estimator, frame, tmp_path):
    case = toy(**{estimator: ESTIMATORS[estimator]})
    folder = tmp_path / "model"
    train_estimator(frame, case, estimator, folder, "snapshot", "2026-01-01", "toy_v1__1a2b3c4d")
    manifest, scorer = load(folder)
    test = frame[frame[SPLIT] == "test"]
    scores = scorer(encode(test, manifest.inputs))
    flagged = scores >= manifest.threshold
    assert (flagged == labels(test, case)).mean() > 0.85
    reference = pd.read_parquet(folder / REFERENCE)
    np.testing.assert_allclose(reference["score"], scorer(encode(reference, manifest.inputs)), atol=1e-6)
    assert verify(folder).metrics["validation_roc_auc"] > 0.9


def test_version_names_the_feature_service_that_it_was_trained_with(frame, tmp_path):
    case = toy(logistic_regression={})
    service = "toy_v1__1a2b3c4d"
    manifest = train_estimator(frame, case, "logistic_regression", tmp_path / "m", "snapshot", "2026-01-01", service)
    assert manifest.feature_service == service


def test_labels_that_came_during_validation_count_for_the_final_model_and_not_for_its_judgement(frame):
    case = toy(logistic_regression={})
    late = frame.copy()
    late.loc[late.index < 100, SPLIT] = "gap"
    other = late.copy()
    other.loc[other[SPLIT] == "gap", "y"] = 1
    first, second = (train(rows, case, "logistic_regression") for rows in (late, other))
    assert (first.validation_scores == second.validation_scores).all()
    matrix = encode(frame, first.inputs)
    assert not np.allclose(first.model.predict_proba(matrix), second.model.predict_proba(matrix))


def test_test_part_is_not_looked_at(frame):
    case = toy(logistic_regression={})
    spoiled = frame.copy()
    spoiled.loc[spoiled[SPLIT] == "test", ["x", "y"]] = [1e6, 1]
    one, other = (train(f, case, "logistic_regression") for f in (frame, spoiled))
    np.testing.assert_array_equal(one.validation_scores, other.validation_scores)
    assert one.inputs == other.inputs


def test_text_is_a_category_and_a_rare_one_is_unknown(frame):
    case = toy(xgboost={})
    many = frame.assign(city=[f"c{i % 300}" if i % 2 else "Bern" for i in range(len(frame))])
    column = input_schema(many, case).columns[1]
    assert column.kind == "category"
    assert len(column.categories) == 100
    assert "Bern" in column.categories


def test_threshold_is_where_f1_is_highest():
    truth = np.array([0, 0, 1, 1], np.int8)
    assert best_threshold(truth, np.array([0.1, 0.6, 0.5, 0.9])) == 0.5


def test_nullable_boolean_is_a_number_and_missing_where_it_is():
    flags = pd.array([True, False, None], dtype="boolean")
    rows = pd.DataFrame({"x": [1.0, 2.0, 3.0], "city": ["Bern"] * 3, "flag": flags})
    inputs = InputSchema(columns=(InputColumn(name="flag"),))
    np.testing.assert_array_equal(encode(rows, inputs)[:, 0], np.array([1, 0, np.nan], np.float32))
