"""The rules of the request's columns, from the use case to the artifact."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.train.memory import Nothing
from components.train.run import train_estimator
from components.train.sealing import Origin
from serin.artifact import RequestColumn
from serin.learning.split import FOLD, SPLIT
from tests.factories import make_case


def test_every_rule_of_a_request_column_reaches_the_artifact(tmp_path: Path) -> None:
    x: dict[str, Any] = {"type": "integer", "min": -9, "max": 9, "allowed": (-1, 0, 1), "nullable": True}
    training = {"estimators": {"logistic_regression": {}}, "search": {"trials": 0}, "folds": 2}
    case = make_case({"id": "text", "x": x, "y": "integer"}, request=["x"], training=training)
    rng = np.random.default_rng(0)
    values = rng.integers(-1, 2, 90)
    fold = np.repeat([1, 2, 0], 30)
    part = np.where(fold, "known", "test")
    frame = pd.DataFrame(
        {"id": map(str, range(90)), "x": values, "y": (values > 0).astype(int), SPLIT: part, FOLD: fold}
    )
    origin = Origin("snapshot", "2026-01-01", "t_v1")
    manifest = train_estimator(frame, case, "logistic_regression", tmp_path / "model", origin, Nothing()).manifest
    assert manifest.request == (RequestColumn(name="x", **x),)
    assert manifest.entities == (RequestColumn(name="id", type="text"),)
