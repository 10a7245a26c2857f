"""The native model's own speed, in a process of its own: rows/s of XGBoost on a matrix that is there already."""

import json
import sys
import time
from pathlib import Path

from tests.bench.serving_world import matrix


def _rate(model: Path, rows: int, seconds: float) -> float:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(model)
    booster.set_param({"nthread": 1})
    inputs, done = matrix(rows), 0
    booster.inplace_predict(inputs)
    start = time.perf_counter()
    while (taken := time.perf_counter() - start) < seconds:
        booster.inplace_predict(inputs)
        done += rows
    return done / taken


if __name__ == "__main__":
    print(json.dumps(_rate(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
