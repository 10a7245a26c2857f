"""How long one row takes, measured with the engine that serves it."""

import shutil

import numpy as np
import pandas as pd
import xgboost

from components.evaluate import latency
from components.train.graphs import of_xgboost
from serin.artifact import REFERENCE, seal
from serin.estimators.xgboost import Boosted
from tests.factories import make_artifact


def measured(folder, **more):
    make_artifact(folder, **more)
    return latency.measure(folder, pd.read_parquet(folder / REFERENCE))


def test_percentiles_are_of_single_rows_of_the_engine_that_serves_them(tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "CALLS", 30)
    found = measured(tmp_path)
    assert (found.calls, found.engine) == (30, "xgboost")
    assert 0 < found.p50_ms <= found.p95_ms


def test_a_slow_model_is_measured_for_a_bounded_time(tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "MOST_SECONDS", 0.0)
    assert measured(tmp_path).calls == latency.LEAST_CALLS


def test_an_onnx_model_beside_the_native_one_is_measured_where_it_is_the_quicker_one_for_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "CALLS", 30)
    # ONNX Runtime needs microseconds for a row where scikit-learn's forest needs milliseconds.
    manifest = make_artifact(tmp_path, estimator="random_forest")
    make_artifact(tmp_path / "other")
    booster = xgboost.Booster(model_file=str(tmp_path / "other" / "model.ubj"))
    shutil.rmtree(tmp_path / "other")
    onnx = of_xgboost(Boosted(booster), len(manifest.inputs.names)).SerializeToString()
    (tmp_path / "model.onnx").write_bytes(onnx)
    seal(tmp_path, manifest.model_copy(update={"models": {**manifest.models, "onnx": "model.onnx"}}))
    assert latency.measure(tmp_path, pd.read_parquet(tmp_path / REFERENCE)).engine == "onnx"


def test_of_several_rounds_the_quickest_counts():
    found = latency.quickest([[9.0] * 20, [1.0] * 19 + [3.0], [5.0] * 20], "onnx")
    assert (found.p50_ms, found.calls, found.engine) == (1.0, 20, "onnx")


def test_missing_values_are_scored_as_a_request_gives_them():
    rows = latency._one_by_one(pd.DataFrame({"a": [1.5, np.nan], "b": pd.array([None, True], dtype="boolean")}))
    assert rows == [{"a": [1.5], "b": [None]}, {"a": [None], "b": [True]}]
