"""Evaluation: the candidate and the champion on the same held-back rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.artifact import Manifest
from serin.engines import Scorer
from serin.learning.encoding import encode, labels
from serin.learning.metrics import decision_metrics, precision_at_k, ranking_metrics
from serin.learning.split import EVENT_TIME
from serin.use_case import UseCase


@dataclass(frozen=True)
class Scored:
    """One model on the test part: its scores (shape (rows,)) and metrics by name."""

    name: str
    scores: NDArray[np.float64]
    metrics: dict[str, float]


def best(validation: Mapping[str, float]) -> str:
    """The model with the highest value of the primary metric on validation; the first of equals."""
    return max(validation, key=lambda name: validation[name])


def evaluate(name: str, test: pd.DataFrame, manifest: Manifest, scorer: Scorer, case: UseCase) -> Scored:
    """Score the test rows with a model and measure it.

    Raises KeyError where the rows lack one of the model's inputs.
    """
    truth = labels(test, case)
    scores = scorer(encode(test, manifest.inputs))
    metrics = ranking_metrics(truth, scores) | decision_metrics(truth, scores, manifest.threshold)
    at = case.training.precision_at
    if at and case.timestamp:
        entities = test[case.entities[at.entity]]
        metrics[f"{at.entity}_precision_at_{at.k}"] = precision_at_k(entities, test[EVENT_TIME], truth, scores, at.k)
    return Scored(name, scores, metrics)
