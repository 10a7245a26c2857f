"""Labels shuffled before the features are made of them: whoever still knows them has seen them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.leak import quick
from serin.learning.encoding import labels
from serin.use_case import UseCase

# Other labels in place of n events' own: given their times (datetime64, UTC; NaT where rows have none) and labels
# (0, 1, NaN where unknown), both of shape (n,), oldest or newest in any order.
Relabel = Callable[[NDArray[np.datetime64], NDArray[np.float64]], NDArray[np.float64]]
# The training set that these labels would have made: the same rows in the same order, their features made anew.
Remake = Callable[[Relabel], pd.DataFrame]

ROUNDS = 4
# Of a thousand data sets without a leak one is accused.
_SURE = 3.29
# A feature is named where it stands out by itself; there may be hundreds of them.
_NAMED = 4.5


@dataclass(frozen=True)
class Shuffled:
    """The area under the ROC curve with shuffled labels: the mean of `rounds`, and the range that chance stays in.

    `named` are the features that know the shuffled labels by themselves, with their own area.
    """

    auc: float
    low: float
    high: float
    rounds: int
    named: dict[str, float]

    @property
    def leaks(self) -> bool:
        """Whether that is no chance. Below it, too: a feature that holds its own label with the wrong sign knows it."""
        return not self.low <= self.auc <= self.high


def shuffled(remake: Remake, case: UseCase) -> Shuffled:
    """Shuffle the labels among all events that have one, make the training set of them, fit and score; ROUNDS times.

    A shuffled label has nothing to do with its event, so no honest feature knows it, those made of earlier labels
    included. The test rows' labels are fresh in each round, so the rounds count as independent.
    """
    rounds = [_round(remake, case, number) for number in range(ROUNDS)]
    found = float(np.mean([each.auc for each in rounds]))
    reach = _SURE * float(np.sqrt(np.sum([each.error**2 for each in rounds]))) / ROUNDS
    result = Shuffled(found, 0.5 - reach, 0.5 + reach, ROUNDS, {})
    if not result.leaks:
        return result
    return Shuffled(found, result.low, result.high, ROUNDS, _named(rounds[0].frame, case))


@dataclass(frozen=True)
class _Round:
    frame: pd.DataFrame
    auc: float
    error: float


def _round(remake: Remake, case: UseCase, number: int) -> _Round:
    frame = remake(shuffle(np.random.default_rng([case.training.seed, number])))
    parts = quick.Parts.of(frame, case)
    truth = labels(frame.iloc[parts.test], case)
    return _Round(frame, quick.roc_auc(truth, quick.scores(frame, case, parts)), quick.chance_error(truth))


def shuffle(rng: np.random.Generator) -> Relabel:
    """The known labels in another order; unknown ones stay unknown."""

    def relabel(_: NDArray[np.datetime64], given: NDArray[np.float64]) -> NDArray[np.float64]:
        known = ~np.isnan(given)
        other = given.copy()
        other[known] = rng.permutation(given[known])
        return other

    return relabel


def _named(frame: pd.DataFrame, case: UseCase) -> dict[str, float]:
    parts = quick.Parts.of(frame, case)
    truth: Any = labels(frame.iloc[parts.test], case)
    areas = {name: quick.roc_auc(truth, quick.scores(frame, case, parts, [name])) for name in case.feature_names}
    limit = _NAMED * quick.chance_error(truth)
    return {name: area for name, area in areas.items() if abs(area - 0.5) > limit}
