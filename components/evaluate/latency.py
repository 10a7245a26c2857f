"""How long one row takes to be scored, by the code that the predictor scores it with."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.evaluate.gate import Latency
from serin import engines
from serin.engines import crossing
from serin.engines.onnx import Onnx
from serin.learning.encoding import encode

ROUNDS = 3
CALLS = 200
WARM_UP = 10
# Two engines are held against each other on these, as in the predictor.
MEASURED_ROWS = 512
# Of a round, so that a slow model is known to be slow in seconds.
MOST_SECONDS = 2.0
LEAST_CALLS = 20


def measure(folder: Path, rows: pd.DataFrame) -> Latency:
    """Score rows of `rows` one by one: encode, score, calibrate.

    Where the artifact holds an ONNX model beside its own, the engine is the quicker one for a single row, as the
    predictor finds it when it loads. Of ROUNDS rounds the quickest counts: what else the machine does can only add to
    it.
    """
    manifest, native = engines.load(folder)
    engine, scorer = manifest.engine, native
    if Onnx.name in manifest.models and engine != Onnx.name:
        fast = engines.scorer_of(folder, manifest, Onnx.name)
        found = crossing.measure(fast, native, encode(rows.head(MEASURED_ROWS), manifest.inputs))
        scorer = found.scorer(fast, native)
        engine = engine if found.rows is not None and found.rows <= 1 else Onnx.name
    single = _one_by_one(rows[list(manifest.inputs.names)].head(CALLS))

    def call(number: int) -> float:
        start = time.perf_counter()
        scorer(manifest.inputs.encode(single[number % len(single)]))
        return (time.perf_counter() - start) * 1000

    for number in range(WARM_UP):
        call(number)
    return quickest([_round(call) for _ in range(ROUNDS)], engine)


def quickest(rounds: Sequence[Sequence[float]], engine: str) -> Latency:
    """The round with the lowest 95th percentile; times are milliseconds."""
    best = min(rounds, key=lambda times: float(np.percentile(times, 95)))
    p50, p95 = np.percentile(best, [50, 95])
    return Latency(float(p50), float(p95), len(best), engine)


def _one_by_one(rows: pd.DataFrame) -> list[dict[str, list[Any]]]:
    """Each row as the predictor has it: Python values by column, None where missing."""
    rows = rows.astype(object)
    return [
        {str(name): [None if pd.isna(value) else value] for name, value in row.items()}
        for row in rows.to_dict("records")
    ]


def _round(call: Callable[[int], float]) -> list[float]:
    times: list[float] = []
    while len(times) < CALLS and (len(times) < LEAST_CALLS or sum(times) < MOST_SECONDS * 1000):
        times.append(call(len(times)))
    return times
