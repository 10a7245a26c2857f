"""The rules of the request's columns, from the use case to the artifact."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.train.run import train_estimator
from serin.artifact import RequestColumn
from serin.learning.split import SPLIT
from tests.factories import make_case


def test_every_rule_of_a_request_column_reaches_the_artifact(tmp_path: Path) -> None:
    x: dict[str, Any] = {"type": "integer", "min": -9, "max": 9, "allowed": (-1, 0, 1), "nullable": True}
    listed = {"logistic_regression": {}}
    case = make_case({"id": "text", "x": x, "y": "integer"}, request=["x"], training={"estimators": listed})
    rng = np.random.default_rng(0)
    values = rng.integers(-1, 2, 90)
    part = np.repeat(["fit", "validation", "test"], 30)
    frame = pd.DataFrame({"id": map(str, range(90)), "x": values, "y": (values > 0).astype(int), SPLIT: part})
    manifest = train_estimator(frame, case, "logistic_regression", tmp_path / "model", "snapshot", "2026-01-01", "t_v1")
    assert manifest.request == (RequestColumn(name="x", **x),)
    assert manifest.entities == (RequestColumn(name="id", type="text"),)
