"""How much each feature knows by itself, and what rests on the latest labels."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from components.leak import quick
from serin.learning.assessed import Assessed, assessed
from serin.learning.intervals import Estimate
from serin.learning.paired import paired
from serin.learning.split import start_of_test
from serin.use_case import UseCase

_CONFIDENCE = 0.99
_ALL = "all features"
_LATER = "labels later"


@dataclass(frozen=True)
class Alone:
    """The area under the ROC curve of a model of one feature, and that less the one of all features."""

    name: str
    auc: Estimate
    above_all: Estimate

    def too_much(self, limit: float) -> bool:
        """Whether it is above the limit for sure: with the whole interval."""
        return self.auc.low > limit

    @property
    def beats_all(self) -> bool:
        """Whether it does better by itself than with all others, for sure."""
        return self.above_all.low > 0


@dataclass(frozen=True)
class Ranked:
    """A model of all features, each feature alone, the best first, and what the model loses where labels come later.

    `fresh` is the area under the ROC curve of all features less that with labels that come another `label.delay` later;
    None where no feature is made of labels.
    """

    all: Estimate
    features: tuple[Alone, ...]
    fresh: Estimate | None


def ranked(frame: pd.DataFrame, case: UseCase, later: pd.DataFrame | None = None) -> Ranked:
    """Quick models of all features and of each alone, on the same held-back rows and the same draws of a bootstrap.

    `later` is the training set of the same rows with its label-fed windows delayed further.
    """
    parts = quick.Parts.of(frame, case)
    scores = {_ALL: quick.scores(frame, case, parts)}
    scores |= {f"={name}": quick.scores(frame, case, parts, [name]) for name in case.feature_names}
    if later is not None:
        scores[_LATER] = quick.scores(later, case, parts)
    found = paired(_rows(frame, parts, case), scores, _ALL, confidence=_CONFIDENCE, seed=case.training.seed)
    areas = {name: (each.metrics["roc_auc"], each.differences["roc_auc"]) for name, each in found.items()}
    features = (Alone(name, *areas[f"={name}"]) for name in case.feature_names)
    best = sorted(features, key=lambda each: (-each.auc.value, each.name))
    return Ranked(areas[_ALL][0], tuple(best), _turned(areas[_LATER][1]) if later is not None else None)


def _rows(frame: pd.DataFrame, parts: quick.Parts, case: UseCase) -> Assessed:
    start = start_of_test(frame) if case.timestamp else None
    return assessed(frame, np.asarray(parts.test), start, case)


def _turned(difference: Estimate) -> Estimate:
    return Estimate(-difference.value, -difference.high, -difference.low)
