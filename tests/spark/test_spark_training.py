"""XGBoost on Spark in local mode: a driver, workers in processes of their own, and the artifact at the end."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from components.train.memory import Nothing
from components.train.run import train_estimator
from components.train.sealing import Origin
from components.train.spark import Cluster, XgboostOnSpark, elsewhere
from serin.engines import load
from serin.errors import UnavailableError
from serin.estimators.base import Rows, Unkept
from serin.estimators.xgboost import Xgboost
from serin.learning.encoding import encode, labels
from serin.learning.split import SPLIT
from tests.factories import make_case
from tests.spark.toy import INPUTS, PARAMETERS

pytestmark = [
    pytest.mark.spark,
    # PySpark and its bridge leave sockets to the garbage collector; it uses interfaces that are on their way out.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
ORIGIN = Origin("snapshot", "2026-01-01", "toy_v1__1a2b3c4d")


def on_spark(rows: Rows, **parameters: float) -> NDArray[np.float64]:
    """The scores of the very rows."""
    estimator = XgboostOnSpark(Cluster("local", ""))
    model = estimator.fit(rows, PARAMETERS | parameters, INPUTS, 0, parts=Unkept(), threads=2)
    return model.predict_proba(rows.X)[:, 1]


def test_artifact_is_that_of_a_training_without_spark_and_ranks_the_test_rows_as_well(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    columns = {"id": "integer", "x": "number", "z": "number", "city": "text", "y": "integer"}
    auc, files = {}, {}
    for engine in ("local", "spark"):
        training = {"estimators": {"xgboost": PARAMETERS}, "search": {"trials": 0}, "engine": engine, "folds": 3}
        case = make_case(columns, request=["x", "z", "city"], training=training)
        folder = tmp_path / engine
        full = elsewhere(case, "xgboost", "", str(tmp_path))
        made = train_estimator(frame, case, "xgboost", folder, ORIGIN, Nothing(), 2, full)
        manifest, score = load(folder)
        test = frame[frame[SPLIT] == "test"]
        auc[engine] = roc_auc_score(labels(test, case), score(encode(test, manifest.inputs)))
        files[engine] = (manifest.engine, manifest.models, {*manifest.files}, made.manifest.inputs)
    assert files["spark"] == files["local"]
    assert files["spark"][0] == "xgboost"
    assert auc["spark"] == pytest.approx(auc["local"], abs=0.02)
    assert auc["spark"] > 0.85


def test_same_rows_and_seed_give_the_same_model(rows: Rows) -> None:
    np.testing.assert_array_equal(on_spark(rows), on_spark(rows))


class Ended:
    """Parts of a fit that is ended as soon as it has kept a part, and of the next attempt."""

    def __init__(self) -> None:
        self.kept: tuple[int, bytes] | None = None
        self.told: list[int] = []

    def latest(self) -> tuple[int, bytes] | None:
        return self.kept

    def done(self, units: int, of: int, model: Callable[[], bytes]) -> None:
        self.told.append(units)
        if self.kept is None:
            self.kept = units, model()
            raise KeyboardInterrupt


def test_fit_that_was_ended_goes_on_after_its_last_whole_job(rows: Rows) -> None:
    parts, estimator = Ended(), XgboostOnSpark(Cluster("local", ""))
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(rows, PARAMETERS, INPUTS, 0, parts=parts, threads=2)
    model = estimator.fit(rows, PARAMETERS, INPUTS, 0, parts=parts, threads=2)
    assert parts.told == [100, 150]
    np.testing.assert_array_equal(model.predict_proba(rows.X)[:, 1], on_spark(rows))


def test_weights_count(rows: Rows) -> None:
    turned = np.arange(len(rows.y)) % 2 == 0
    y = np.where(turned, 1 - rows.y, rows.y).astype(np.int8)
    scores = on_spark(Rows(rows.X, y, np.where(turned, 1e-6, 1).astype(np.float32)))
    assert roc_auc_score(rows.y, scores) > 0.85


def test_categories_and_gaps_mean_what_they_mean_without_spark(rows: Rows) -> None:
    model = XgboostOnSpark(Cluster("local", "")).fit(rows, PARAMETERS, INPUTS, 0, parts=Unkept(), threads=2)
    local = Xgboost().fit(rows, PARAMETERS, INPUTS, 0, parts=Unkept())
    assert model.get_booster().feature_types == local.get_booster().feature_types
    assert model.get_booster().feature_names == local.get_booster().feature_names
    unknown = np.full((1, 3), np.nan, np.float32)
    assert model.predict_proba(unknown)[0, 1] == pytest.approx(local.predict_proba(unknown)[0, 1], abs=0.15)


def test_job_that_fails_is_told_with_what_the_worker_said(rows: Rows) -> None:
    with pytest.raises(UnavailableError, match=r"Spark at local: a job failed: .*max_bin"):
        on_spark(rows, max_bin=1)


def test_rows_leave_nothing_behind(rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    on_spark(rows, n_estimators=2)
    assert not list(tmp_path.glob("serin-spark-*"))
