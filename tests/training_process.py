"""A training of one estimator as a process of its own, to be killed: its arguments are estimator, workspace, folder.

The rows are few and seeded; the checkpoint lies below <workspace>/checkpoints, and a part is kept after every chunk.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serin.errors import InterruptedStepError
from serin.learning.split import FOLD, SPLIT
from serin.use_case import UseCase
from tests.factories import make_case

ROWS, FOLDS = 1500, 3
# So small that an undisturbed training takes seconds, and so large that it has many moments to be killed at.
LISTED: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "random_forest": {"n_estimators": 30, "max_depth": 5},
    "xgboost": {"n_estimators": 240, "max_depth": 3},
    "lightgbm": {"n_estimators": 240, "num_leaves": 7},
}


def case_of(estimator: str, **training: Any) -> UseCase:
    """A use case without event times that lists one estimator."""
    columns = {"id": "integer", "x": "number", "z": "number", "city": "text", "y": "integer"}
    asked = {
        "estimators": {estimator: LISTED[estimator]},
        "search": {"trials": 4, "rows": 1000},
        "folds": FOLDS,
        "checkpoint": "1s",
        **training,
    }
    return make_case(columns, request=["x", "z", "city"], training=asked, slo={"latency_p95_ms": 1000})


def rows() -> pd.DataFrame:
    """A training set: a label that two numbers and a category tell of, with gaps."""
    rng = np.random.default_rng(0)
    x, z, city = rng.normal(size=ROWS), rng.normal(size=ROWS), rng.choice(["Bern", "Genf", "Chur"], ROWS)
    y = (x + z**2 + (city == "Genf") * 2 + rng.normal(scale=0.7, size=ROWS) > 2).astype(int)
    x[::50] = np.nan
    part = np.where(np.arange(ROWS) % 5 == 0, "test", "known")
    fold = np.where(part == "known", 1 + np.arange(ROWS) // 5 % FOLDS, 0)
    return pd.DataFrame({"id": range(ROWS), "x": x, "z": z, "city": city, "y": y, SPLIT: part, FOLD: fold})


def main(estimator: str, storage: str, folder: str) -> int:
    """Train from the checkpoint on; 75 where it was told to end, as a step says it."""
    from components.train.checkpoints import Checkpoint
    from components.train.identity import training_key
    from components.train.interruption import notices
    from components.train.run import train_estimator
    from components.train.sealing import Origin

    case, frame = case_of(estimator), rows()
    key = training_key(case, estimator, frame, "snapshot", "2026-01-01", "cpu")
    with notices() as told_to_end:
        checkpoint = Checkpoint(f"{storage}/checkpoints/toy/{key}", timedelta(milliseconds=1), told_to_end)
        print("ready", flush=True)
        try:
            with checkpoint.attempt():
                origin = Origin("snapshot", "2026-01-01", "toy_v1")
                train_estimator(frame, case, estimator, Path(folder), origin, checkpoint)
        except InterruptedStepError:
            return 75
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
