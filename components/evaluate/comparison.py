"""Models on the same rows: their scores, and every metric with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluate.choice import Common
from components.evaluate.gate import SliceFound
from components.evaluate.slices import parts
from serin.artifact import Manifest
from serin.engines import Scorer
from serin.learning.assessed import Assessed, assessed
from serin.learning.encoding import encode
from serin.learning.intervals import Estimate, intervals
from serin.learning.paired import Paired, paired
from serin.learning.split import PERIOD, SPLIT, start_of_test
from serin.use_case import UseCase


@dataclass(frozen=True)
class Test:
    """The test rows, and how models are measured on them."""

    rows: pd.DataFrame
    on: Assessed

    @property
    def positives(self) -> int:
        """How many of the rows are positive."""
        return int(self.on.labels.sum())

    @property
    def negatives(self) -> int:
        """How many are not."""
        return len(self.on.labels) - self.positives


@dataclass(frozen=True)
class Scored:
    """One model on the test rows: its scores (shape (rows,)) and metrics by name."""

    name: str
    scores: NDArray[np.float64]
    metrics: dict[str, Estimate]

    @property
    def flat(self) -> dict[str, float]:
        """Each metric, and the ends of its interval as NAME_low and NAME_high."""
        flat = {name: found.value for name, found in self.metrics.items()}
        for name, found in self.metrics.items():
            flat |= {f"{name}_low": found.low, f"{name}_high": found.high}
        return flat


def test_of(frame: pd.DataFrame, case: UseCase) -> Test:
    """The test part of a training set."""
    places = np.flatnonzero((frame[SPLIT] == "test").to_numpy())
    start = start_of_test(frame) if case.timestamp else None
    return Test(frame.iloc[places].reset_index(drop=True), assessed(frame, places, start, case))


def evaluate(name: str, test: Test, manifest: Manifest, scorer: Scorer, case: UseCase) -> Scored:
    """Score the test rows with a model and measure it.

    Raises KeyError where the rows lack one of the model's inputs.
    """
    scores = scorer(encode(test.rows, manifest.inputs))
    seed, confidence = case.training.seed, case.gates.confidence
    return Scored(name, scores, intervals(test.on, scores, manifest.threshold, confidence=confidence, seed=seed))


def on_validation(frame: pd.DataFrame, rows: Common, case: UseCase, against: str) -> dict[str, Paired]:
    """Every estimator on the validation rows that all assessed, held against the one called `against`."""
    start = frame[PERIOD].iloc[rows.places].min() if case.timestamp else None
    on = assessed(frame, rows.places, start, case)
    return paired(on, rows.scores, against, confidence=case.gates.confidence, seed=case.training.seed)


def held_against(test: Test, candidate: Scored, champion: Scored, case: UseCase) -> Paired:
    """The candidate beside the champion on the test rows."""
    return _both(test.on, candidate.scores, champion.scores, case)["candidate"]


def sliced(
    test: Test, columns: Sequence[str], candidate: Scored, champion: Scored | None, case: UseCase
) -> tuple[SliceFound, ...]:
    """The primary metric on the parts that each of `columns` cuts the test rows into."""
    rival = champion.scores if champion else None
    return tuple(
        _slice(column, part, mask, test.on, candidate.scores, rival, case)
        for column in columns
        for part, mask in parts(test.rows[column])
    )


def _slice(
    column: str,
    part: str,
    mask: NDArray[np.bool_],
    on: Assessed,
    own: NDArray[np.float64],
    rival: NDArray[np.float64] | None,
    case: UseCase,
) -> SliceFound:
    only = on.only(mask)
    positives, count = int(only.labels.sum()), len(only.labels)
    if positives in (0, count):
        return SliceFound(column, part, count, positives)
    metric = case.training.primary_metric
    found = _both(only, own[mask], None if rival is None else rival[mask], case)
    candidate = found["candidate"].metrics[metric]
    if rival is None:
        return SliceFound(column, part, count, positives, candidate)
    gap = found["candidate"].differences[metric]
    return SliceFound(column, part, count, positives, candidate, found["champion"].metrics[metric], gap)


def _both(
    on: Assessed, own: NDArray[np.float64], rival: NDArray[np.float64] | None, case: UseCase
) -> dict[str, Paired]:
    scores = {"candidate": own} if rival is None else {"candidate": own, "champion": rival}
    against = next(reversed(scores))
    return paired(on, scores, against, confidence=case.gates.confidence, seed=case.training.seed)
