"""The native model's own speed, in a process of its own: how many rows XGBoost scores of a matrix that is there
already, in how many seconds, and in how many of CPU. serving_native MODEL ROWS SECONDS"""

import json
import sys
import time
from pathlib import Path

from tests.bench.serving_world import matrix


def _scored(model: Path, rows: int, seconds: float) -> tuple[int, float, float]:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(model)
    booster.set_param({"nthread": 1})
    inputs, done = matrix(rows), 0
    booster.inplace_predict(inputs)
    start, cpu = time.perf_counter(), time.process_time()
    while (taken := time.perf_counter() - start) < seconds:
        booster.inplace_predict(inputs)
        done += rows
    return done, taken, time.process_time() - cpu


if __name__ == "__main__":
    print(json.dumps(_scored(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
