"""Several models on the same rows: their ranking metrics and differences, all on the same draws of a bootstrap.

The draws are those of serin.learning.intervals, and so are the numbers; this is the quick way for ROC AUC and average
precision alone, of many models or many parts of the rows. Both metrics change only where rows of equal score hold a
positive, so between two such places rows are only counted: by entity, once, after which a draw is a product with the
number of times that each entity was drawn.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.learning.assessed import Assessed
from serin.learning.intervals import REPLICATES, Estimate, estimate
from serin.learning.metrics import Labels, Scores

RANKING = ("average_precision", "roc_auc")
_AT_ONCE = 4_000_000  # cells of a product in memory

# From draws as times of each entity, shape (entities, draws), to a metric by name, each of shape (draws,).
_Measure = Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]]


@dataclass(frozen=True)
class Paired:
    """One model beside the others: its metrics, and each less that of the model that all are held against."""

    metrics: dict[str, Estimate]
    differences: dict[str, Estimate]


def paired(
    on: Assessed, scores: Mapping[str, Scores], against: str, *, confidence: float, seed: int
) -> dict[str, Paired]:
    """Every model of `scores` (shape (n,) each) by name, held against the one called `against`.

    Both classes must be among the labels. Draws that lack one are left out of the intervals.
    """
    groups = pd.factorize(on.daily.entities)[0] if on.daily else np.arange(len(on.labels))
    entities = int(groups.max()) + 1
    measures = {name: _measure(on.labels, groups, entities, values) for name, values in scores.items()}
    whole = {name: measure(np.ones((entities, 1))) for name, measure in measures.items()}
    parts = [{name: measure(times) for name, measure in measures.items()} for times in _draws(on, entities, seed)]
    drawn = {
        name: {metric: np.concatenate([part[name][metric] for part in parts]) for metric in RANKING} for name in scores
    }
    return {name: _paired(whole, drawn, name, against, confidence) for name in scores}


def _paired(
    whole: Mapping[str, Mapping[str, NDArray[np.float64]]],
    drawn: Mapping[str, Mapping[str, NDArray[np.float64]]],
    name: str,
    against: str,
    confidence: float,
) -> Paired:
    metrics, differences = {}, {}
    for metric in RANKING:
        value, other = float(whole[name][metric][0]), float(whole[against][metric][0])
        metrics[metric] = estimate(value, drawn[name][metric], confidence)
        gap = drawn[name][metric] - drawn[against][metric]
        differences[metric] = estimate(value - other, gap, confidence)
    return Paired(metrics, differences)


def _draws(on: Assessed, entities: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Times that each entity was drawn, shape (entities, draws), some draws at a time."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // (2 * int(on.labels.sum()) + entities))
    for first in range(0, REPLICATES, at_once):
        yield _times(rng, entities, min(at_once, REPLICATES - first))


def _times(rng: np.random.Generator, entities: int, draws: int) -> NDArray[np.float64]:
    drawn = [np.bincount(rng.integers(0, entities, entities), minlength=entities) for _ in range(draws)]
    return np.ascontiguousarray(np.stack(drawn, axis=1).astype(np.float64))


def _measure(labels: Labels, groups: NDArray[Any], entities: int, scores: Scores) -> _Measure:
    order = np.argsort(-scores, kind="stable")
    ordered, positive, owner = scores[order], labels[order] == 1, groups[order]
    tie = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])
    holds = np.zeros(int(tie[-1]) + 1, bool)
    holds[tie[positive]] = True
    # Places 2g are what lies before the g-th group of equal scores with a positive, 2g + 1 the group itself.
    number = np.cumsum(holds) - 1
    place = np.where(holds[tie], 2 * number[tie] + 1, 2 * (number[tie] + 1))
    steps = int(holds.sum())
    rows = _counts(place, owner, (2 * steps + 1, entities))
    hits = _counts(number[tie[positive]], owner[positive], (steps, entities))

    def measure(times: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return _areas(np.cumsum(rows @ times, axis=0), np.cumsum(hits @ times, axis=0))

    return measure


def _counts(places: NDArray[Any], owners: NDArray[Any], shape: tuple[int, int]) -> Any:
    """How many rows of each entity lie at each place, sparse, of `shape` (places, entities)."""
    from scipy.sparse import coo_matrix

    return coo_matrix((np.ones(len(places)), (places, owners)), shape=shape).tocsr()


def _areas(down: NDArray[np.float64], hits: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The metrics from running sums of rows, shape (2 steps + 1, draws), and of positives, shape (steps, draws)."""
    before, through = down[0:-1:2], down[1::2]
    here = np.diff(hits, axis=0, prepend=0)
    total, others = hits[-1], down[-1] - hits[-1]
    false_here = through - before - here
    false_below = others - (through - hits)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (here * (false_below + false_here / 2)).sum(axis=0) / (total * others)
        precision = np.divide(hits, through, out=np.zeros_like(hits), where=through > 0)
        average = (here * precision).sum(axis=0) / total
    return {"average_precision": np.where(others > 0, average, np.nan), "roc_auc": area}
