"""Quick models: an estimator of Serin's with set parameters, fitted on a sample and measured by the area under the ROC
curve on held-back rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin import estimators
from serin.estimators.base import Rows, Unkept
from serin.learning.encoding import encode, input_schema, labels
from serin.learning.metrics import Labels, Scores
from serin.learning.sampling import Sample, sample
from serin.learning.split import SPLIT, known_rows
from serin.schema import InputSchema
from serin.use_case import UseCase

ROWS = 20_000
# What a search would try first, smaller: of a hundred trees one more or less knows nothing of a leak.
_PARAMETERS: dict[str, dict[str, Any]] = {
    "lightgbm": {
        "n_estimators": 100,
        "learning_rate": 0.1,
        "num_leaves": 15,
        "min_child_samples": 20,
        "min_child_weight": 1.0,
        "reg_lambda": 1.0,
    },
    "logistic_regression": {},
}


@dataclass(frozen=True)
class Parts:
    """The rows of a training set that quick models are fitted on, with their weights, and those that they score.

    Both are samples of at most ROWS rows. The area under the ROC curve does not mind that the scored ones have more
    positives than the whole test part: it compares positives with negatives.
    """

    fit: NDArray[np.int64]
    weight: NDArray[np.float32] | None
    test: NDArray[np.int64]

    @classmethod
    def of(cls, frame: pd.DataFrame, case: UseCase) -> "Parts":
        """The parts of a training set (see components.features.training_set)."""
        y, seed = labels(frame, case), case.training.seed
        known, held = known_rows(frame, case), np.flatnonzero(frame[SPLIT] == "test")
        fitted: Sample = sample(y[known], ROWS, seed)
        return cls(known[fitted.places], fitted.weight, held[sample(y[held], ROWS, seed).places])


def estimator() -> str:
    """The estimator that quick models are of: LightGBM, or logistic regression where that can't be loaded."""
    return _chosen()


@cache
def _chosen() -> str:
    return next(name for name in _PARAMETERS if not estimators.known()[name].missing())


def scores(frame: pd.DataFrame, case: UseCase, parts: Parts, names: Sequence[str] | None = None) -> Scores:
    """What a quick model, fitted on the inputs `names` (all without), says of the test rows; shape (test rows,)."""
    inputs = input_schema(frame.iloc[parts.fit], case)
    if names is not None:
        inputs = InputSchema(columns=tuple(column for column in inputs.columns if column.name in names))
    rows = Rows(encode(frame.iloc[parts.fit], inputs), labels(frame.iloc[parts.fit], case), parts.weight)
    kind = estimators.known()[estimator()]
    model = kind.fit(rows, kind.settings(_PARAMETERS[kind.name]), inputs, case.training.seed, parts=Unkept())
    return model.predict_proba(encode(frame.iloc[parts.test], inputs))[:, 1].astype(np.float64)


def roc_auc(truth: Labels, found: Scores) -> float:
    """The share of pairs of a positive and a negative in the right order; ties count half. NaN with one class."""
    ones = int(truth.sum())
    zeros = len(truth) - ones
    if not ones or not zeros:
        return float("nan")
    ranks = pd.Series(found).rank().to_numpy()
    return float((ranks[truth == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def chance_error(truth: Labels) -> float:
    """The standard error of `roc_auc` of scores that know nothing of the labels (Mann and Whitney 1947)."""
    ones = int(truth.sum())
    zeros = len(truth) - ones
    return float(np.sqrt((ones + zeros + 1) / (12 * ones * zeros))) if ones and zeros else float("nan")
