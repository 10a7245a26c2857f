"""Rows that models are measured on, and all the metrics of a model's scores for them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.learning.encoding import labels
from serin.learning.metrics import (
    Labels,
    Scores,
    decision_metrics,
    precision_at_k,
    probability_metrics,
    ranking_metrics,
)
from serin.learning.split import EVENT_TIME
from serin.use_case import UseCase


@dataclass(frozen=True)
class Daily:
    """What precision@k needs of n rows: entity and event time, and the entities that were known to be compromised."""

    entity: str
    k: int
    entities: "pd.Series[Any]"
    times: "pd.Series[pd.Timestamp]"
    known: frozenset[Any]

    @property
    def plain(self) -> str:
        """The metric's name where every entity counts on every day."""
        return f"{self.entity}_precision_at_{self.k}"

    @property
    def known_left_out(self) -> str:
        """The metric's name where known and found entities leave the count; see `precision_at_k`."""
        return f"{self.entity}_precision_at_{self.k}_known_left_out"


@dataclass(frozen=True)
class Assessed:
    """Labels of n rows, shape (n,), and what precision@k needs where the use case asks for it."""

    labels: Labels
    daily: Daily | None = None

    def only(self, chosen: NDArray[np.bool_]) -> "Assessed":
        """The rows where `chosen`, shape (n,), is true."""
        daily = self.daily and replace(self.daily, entities=self.daily.entities[chosen], times=self.daily.times[chosen])
        return Assessed(self.labels[chosen], daily)


def assessed(frame: pd.DataFrame, places: NDArray[Any], start: pd.Timestamp | None, case: UseCase) -> Assessed:
    """The rows at `places` of a training set, as models are measured on them.

    `start` is when their period began: an entity is known to be compromised where the training set has a positive of
    it whose label was visible by then. None where there are no event times.
    """
    rows = frame.iloc[places].reset_index(drop=True)
    at = case.training.precision_at
    if at is None or not case.timestamp or start is None:
        return Assessed(labels(rows, case))
    column = case.entities[at.entity]
    visible = frame[EVENT_TIME] < start - case.label.delay
    known = frozenset(frame.loc[visible & (frame[case.label.column] == 1), column])
    return Assessed(labels(rows, case), Daily(at.entity, at.k, rows[column], rows[EVENT_TIME], known))


def metrics(on: Assessed, probabilities: Scores, threshold: float) -> dict[str, float]:
    """Every metric of a model by name: of its ranking, its probabilities, its decisions, and precision@k.

    `probabilities`, shape (n,), are scores as they are served. Both classes must be among the labels.
    """
    found = ranking_metrics(on.labels, probabilities) | probability_metrics(on.labels, probabilities)
    found |= decision_metrics(on.labels, probabilities, threshold)
    if daily := on.daily:
        rows = (daily.entities, daily.times, on.labels, probabilities, daily.k)
        found[daily.plain] = precision_at_k(*rows)
        found[daily.known_left_out] = precision_at_k(*rows, leave_out=daily.known)
    return found
