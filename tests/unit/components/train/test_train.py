"""Training one estimator on a small table whose answer is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.train.fitting import Fitted, train
from components.train.memory import Nothing
from components.train.run import train_estimator
from components.train.sealing import Made, Origin
from components.train.stacking import stack_estimators
from serin.artifact import BACKGROUND, REFERENCE, VALIDATION, verify
from serin.engines import load
from serin.learning.encoding import encode, input_schema, labels
from serin.learning.record import RECORD, TrainingRecord
from serin.learning.split import FOLD, SPLIT, folds
from serin.schema import InputSchema
from serin.use_case import UseCase
from tests.factories import make_case

SIZE, FOLDS = 900, 2
COLUMNS = {"id": "integer", "x": "number", "city": "text", "y": "integer"}
LISTED: dict[str, dict[str, Any]] = {
    "logistic_regression": {"C": 1.0, "class_weight": None},
    "xgboost": {"n_estimators": 20, "max_depth": 3},
    "lightgbm": {"n_estimators": 20, "num_leaves": 7},
    "random_forest": {"n_estimators": 20, "max_depth": 5},
}


def toy(trials: int = 0, latency: float = 1000, **listed: Any) -> UseCase:
    training = {"estimators": listed, "search": {"trials": trials}, "folds": FOLDS}
    return make_case(COLUMNS, request=["x", "city"], training=training, slo={"latency_p95_ms": latency})


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x, city = rng.normal(size=SIZE), rng.choice(["Bern", "Genf", "Chur"], SIZE)
    y = (x + (city == "Genf") * 2 + rng.normal(scale=0.3, size=SIZE) > 1).astype(int)
    x[::50] = np.nan
    fold = np.arange(SIZE) % 3
    part = np.where(fold == 0, "test", "known")
    return pd.DataFrame({"id": range(SIZE), "x": x, "city": city, "y": y, SPLIT: part, FOLD: fold})


def made(frame: pd.DataFrame, case: UseCase, name: str, folder: Path, service: str = "toy_v1") -> Made:
    return train_estimator(frame, case, name, folder, Origin("snapshot", "2026-01-01", service), Nothing())


def fitted(frame: pd.DataFrame, case: UseCase, name: str = "xgboost") -> Fitted:
    return train(frame, case, name, Nothing())


@pytest.mark.parametrize("estimator", LISTED)
def test_saved_model_scores_the_test_rows_well_and_as_its_reference_says(
    estimator: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    case = toy(**{estimator: LISTED[estimator]})
    folder = tmp_path / "model"
    made(frame, case, estimator, folder)
    manifest, scorer = load(folder)
    test = frame[frame[SPLIT] == "test"]
    flagged = scorer(encode(test, manifest.inputs)) >= manifest.threshold
    assert (flagged == labels(test, case)).mean() > 0.85
    reference = pd.read_parquet(folder / REFERENCE)
    np.testing.assert_allclose(reference["score"], scorer(encode(reference, manifest.inputs)), atol=1e-6)
    assert verify(folder).metrics["validation_roc_auc"] > 0.9


def test_artifact_holds_validation_rows_background_and_a_record(frame: pd.DataFrame, tmp_path: Path) -> None:
    case = toy(trials=2, xgboost={"max_depth": 3, "n_estimators": 20})
    manifest = made(frame, case, "xgboost", tmp_path / "model").manifest
    validation = pd.read_parquet(tmp_path / "model" / VALIDATION)
    assert [(name, str(kind)) for name, kind in validation.dtypes.items()] == [
        ("place", "int64"), ("fold", "int64"), ("label", "int8"), ("score", "float64")
    ]  # fmt: skip
    assert sorted(validation["place"]) == np.flatnonzero(frame[SPLIT] == "known").tolist()
    assert (validation["label"].to_numpy() == frame["y"].to_numpy()[validation["place"]]).all()
    assert len(pd.read_parquet(tmp_path / "model" / BACKGROUND)) == 100
    record = TrainingRecord.model_validate_json((tmp_path / "model" / RECORD).read_text())
    assert [trial.number for trial in record.trials] == [0, 1]
    assert record.parameters == manifest.parameters
    assert record.parameters["max_depth"] == 3
    assert [fold.number for fold in record.folds] == [1, 2]
    assert (record.known_rows, record.interruptions) == (600, 0)


def test_fast_use_case_gets_an_onnx_model_or_the_reason_why_not(frame: pd.DataFrame, tmp_path: Path) -> None:
    case = toy(latency=50, xgboost=LISTED["xgboost"])
    found = made(frame, case, "xgboost", tmp_path / "model")
    assert found.record.parity is not None
    assert found.record.parity.passed == ("onnx" in found.manifest.models) == (tmp_path / "model/model.onnx").is_file()
    assert found.record.parity.passed or found.record.parity.reason


def test_use_case_that_has_time_gets_no_onnx_model(frame: pd.DataFrame, tmp_path: Path) -> None:
    assert made(frame, toy(xgboost=LISTED["xgboost"]), "xgboost", tmp_path / "model").record.parity is None


def test_version_names_the_feature_service_that_it_was_trained_with(frame: pd.DataFrame, tmp_path: Path) -> None:
    service = "toy_v1__1a2b3c4d"
    case = toy(logistic_regression={})
    assert made(frame, case, "logistic_regression", tmp_path / "m", service).manifest.feature_service == service


def test_a_fold_is_scored_by_a_model_of_the_other_rows_alone(frame: pd.DataFrame) -> None:
    case = toy(xgboost=LISTED["xgboost"])
    first, *_ = folds(frame, case)
    spoiled = frame.copy()
    spoiled.loc[first.assess, "y"] = 1 - spoiled.loc[first.assess, "y"]
    one, other = (fitted(rows, case).validation for rows in (frame, spoiled))
    of_first = one["fold"] == first.number
    np.testing.assert_array_equal(one["score"][of_first], other["score"][of_first])
    assert (one["score"][~of_first] != other["score"][~of_first]).any()


def test_test_part_is_not_looked_at(frame: pd.DataFrame) -> None:
    case = toy(logistic_regression={})
    spoiled = frame.copy()
    spoiled.loc[spoiled[SPLIT] == "test", ["x", "y"]] = [1e6, 1]
    one, other = (fitted(rows, case, "logistic_regression") for rows in (frame, spoiled))
    pd.testing.assert_frame_equal(one.validation, other.validation)
    assert one.inputs == other.inputs


def test_text_is_a_category_and_a_rare_one_is_unknown(frame: pd.DataFrame) -> None:
    many = frame.assign(city=[f"c{i % 300}" if i % 2 else "Bern" for i in range(len(frame))])
    column = input_schema(many, toy(xgboost={})).columns[1]
    assert column.kind == "category"
    assert len(column.categories) == 100
    assert "Bern" in column.categories


def test_nullable_boolean_is_a_number_and_missing_where_it_is() -> None:
    flags = pd.array([True, False, None], dtype="boolean")
    rows = pd.DataFrame({"x": [1.0, 2.0, 3.0], "city": ["Bern"] * 3, "flag": flags})
    inputs = InputSchema.model_validate({"columns": [{"name": "flag"}]})
    np.testing.assert_array_equal(encode(rows, inputs)[:, 0], np.array([1, 0, np.nan], np.float32))


def test_stack_holds_its_members_and_scores_as_they_do_together(frame: pd.DataFrame, tmp_path: Path) -> None:
    case = toy(stacking={}, **LISTED)
    names = ("logistic_regression", "xgboost")
    for name in names:
        made(frame, case, name, tmp_path / name)
    folders = [tmp_path / name for name in names]
    stack = stack_estimators(frame, case, folders, tmp_path / "stack", Origin("s", "2026-01-01", "toy_v1"))
    manifest, scorer = load(tmp_path / "stack")
    assert manifest.engine == "stack"
    assert {"stack.json", "logistic_regression-model.skops", "xgboost-model.ubj"} <= manifest.files.keys()
    # Without event times each fold is assessed by a combination that was fitted on the others.
    assert set(stack.validation["fold"]) == {1, 2}
    test = frame[frame[SPLIT] == "test"]
    flagged = scorer(encode(test, manifest.inputs)) >= manifest.threshold
    assert (flagged == labels(test, case)).mean() > 0.85
