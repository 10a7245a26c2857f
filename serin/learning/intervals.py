"""How much of a metric is chance: bootstrap intervals of all metrics of one model; serin.learning.paired has several.

Rows of one entity are alike, so the bootstrap draws entities with all their rows (those of `training.precision_at`;
rows where there is none). A draw is a weight for each row, 0 for what was not drawn, and every metric is computed from
weights: rows are sorted by score once, and a draw costs a running sum. Intervals are percentiles of the draws (Efron,
Tibshirani 1993, chapter 13). A metric that takes distances, as `calibration_error`, is higher in a draw than in the
whole, so its value may stand below its interval. With few positives intervals are a little too narrow: of 200 simulated
tables with 1,000 rows and 100 positives, intervals of 95 % held the true ROC AUC in 92.5 % and the true average
precision in 89.5 %.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.learning.assessed import Assessed, Daily, metrics
from serin.learning.metrics import BINS, Labels, Scores, calibration_bins, day_numbers, row_log_loss
from serin.progress import say

REPLICATES = 500
_FEWEST = 100
_MOST_CELLS = 150_000_000  # rows times draws, about ten seconds' worth
_AT_ONCE = 1_000_000  # of them in memory

Weights = NDArray[np.float64]
Drawn = dict[str, NDArray[np.float64]]
# Metrics by name for weights of shape (draws, rows), each of shape (draws,); NaN where a draw lacks a class.
_Measure = Callable[[Weights], Drawn]


@dataclass(frozen=True)
class Estimate:
    """A value and the interval that holds it with the confidence asked for."""

    value: float
    low: float
    high: float


def intervals(
    on: Assessed, probabilities: Scores, threshold: float, *, confidence: float, seed: int
) -> dict[str, Estimate]:
    """Every metric of `assessed.metrics` with its interval. `probabilities` have shape (n,)."""
    values = metrics(on, probabilities, threshold)
    drawn = _drawn(on, _everything(on, probabilities, threshold), seed)
    return {name: estimate(value, drawn[name], confidence) for name, value in values.items()}


def estimate(value: float, drawn: NDArray[np.float64], confidence: float) -> Estimate:
    """The interval of a value from its draws, shape (draws,); NaN are passed over, and an interval of such alone is."""
    if np.isnan(drawn).all():
        return Estimate(value, float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def _drawn(on: Assessed, measure: _Measure, seed: int) -> Drawn:
    parts = [measure(weights) for weights in _draws(on, seed)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _draws(on: Assessed, seed: int) -> Iterator[Weights]:
    """Weights of shape (draws, rows), some draws at a time; the same for the same rows and seed."""
    rows = len(on.labels)
    clusters = pd.factorize(on.daily.entities)[0] if on.daily else np.arange(rows)
    count = int(clusters.max()) + 1
    draws = min(REPLICATES, max(_FEWEST, _MOST_CELLS // rows))
    if draws < REPLICATES:
        say(f"intervals of {rows:,} rows are of {draws} draws instead of {REPLICATES}")
    rng = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // rows)
    for first in range(0, draws, at_once):
        size = min(at_once, draws - first)
        times = np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(size)])
        yield times.astype(np.float64)[:, clusters]


def _everything(on: Assessed, probabilities: Scores, threshold: float) -> _Measure:
    ranks = _ranks(on, probabilities)
    columns = _row_sums(on.labels, probabilities, threshold)

    def measure(weights: Weights) -> Drawn:
        return ranks(weights) | _of_sums(weights @ columns, weights.sum(axis=1))

    return measure


def _row_sums(labels: Labels, probabilities: Scores, threshold: float) -> NDArray[np.float64]:
    """What the metrics that are sums over rows add up, a column each."""
    flagged, positive = (probabilities >= threshold).astype(float), labels.astype(float)
    bins = np.eye(BINS)[calibration_bins(probabilities)]
    return np.column_stack(
        [
            row_log_loss(labels, probabilities),
            (probabilities - labels) ** 2,
            flagged * positive,
            flagged,
            positive,
            bins * (probabilities - labels)[:, None],
        ]
    )


def _of_sums(sums: NDArray[np.float64], total: NDArray[np.float64]) -> Drawn:
    loss, brier, hits, flagged, positive = sums.T[:5]
    return {
        "log_loss": loss / total,
        "brier": brier / total,
        "calibration_error": np.abs(sums[:, 5:]).sum(axis=1) / total,
        "precision": _share(hits, flagged),
        "recall": _share(hits, positive),
        "f1": _share(2 * hits, flagged + positive),
    }


def _share(part: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, of, out=np.zeros_like(part), where=of > 0)


def _ranks(on: Assessed, scores: Scores) -> _Measure:
    """Metrics of the order of the rows alone."""
    areas = _areas(on.labels, scores)
    if on.daily is None:
        return areas
    precisions = _precisions(on.daily, on.labels, scores)
    return lambda weights: areas(weights) | precisions(weights)


def _areas(labels: Labels, scores: Scores) -> _Measure:
    """ROC AUC and average precision, with rows of equal score taken together as scikit-learn does.

    Only the groups of equal scores that hold a positive change either of them, and these are few where the label is
    rare: at each, the weight of all rows and of the positives down to it is looked up in a running sum.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, positive = scores[order], np.flatnonzero(labels[order] == 1)
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    starts = np.append(0, ends[:-1] + 1)
    group = np.searchsorted(ends, positive)
    last = np.append(np.flatnonzero(np.diff(group)), len(group) - 1)  # of each group's positives
    begin, end = starts[group[last]], ends[group[last]]

    def measure(weights: Weights) -> Drawn:
        ranked = weights[:, order]
        down = np.cumsum(ranked, axis=1)
        hits = np.cumsum(ranked[:, positive], axis=1)[:, last]
        here = np.diff(hits, axis=1, prepend=0)
        all_down, before = down[:, end], down[:, begin] - ranked[:, begin]
        false_here = all_down - before - here
        total, false_total = hits[:, -1], down[:, -1] - hits[:, -1]
        false_below = false_total[:, None] - (all_down - hits)
        with np.errstate(invalid="ignore", divide="ignore"):
            area = (here * (false_below + false_here / 2)).sum(axis=1) / (total * false_total)
            precision = np.divide(hits, all_down, out=np.zeros_like(hits), where=all_down > 0)
            average = (here * precision).sum(axis=1) / total
        return {"roc_auc": area, "average_precision": np.where(false_total > 0, average, np.nan)}

    return measure


@dataclass(frozen=True)
class _Day:
    """The entities of a day, the highest score first: number, whether it had a positive, and a row of it."""

    entity: NDArray[np.int64]
    positive: NDArray[np.bool_]
    row: NDArray[np.int64]


def _days(daily: Daily, labels: Labels, scores: Scores) -> list[_Day]:
    numbers = pd.factorize(daily.entities, sort=True)[0]
    frame = pd.DataFrame({"entity": numbers, "label": labels, "score": scores, "row": np.arange(len(labels))})
    frame["day"] = day_numbers(daily.times)
    best = frame.groupby(["day", "entity"], as_index=False)[["label", "score", "row"]].max()
    best = best.sort_values(["day", "score", "entity"], ascending=[True, False, True], kind="stable")
    return [
        _Day(day["entity"].to_numpy(), (day["label"] == 1).to_numpy(), day["row"].to_numpy())
        for _, day in best.groupby("day")
    ]


def _precisions(daily: Daily, labels: Labels, scores: Scores) -> _Measure:
    """Both of precision@k: an entity that was drawn twice takes two of the k places."""
    days = _days(daily, labels, scores)
    names = pd.factorize(daily.entities, sort=True)[1]
    known = np.fromiter((name in daily.known for name in names), np.bool_, len(names))
    of = daily.k * len(days)

    def measure(weights: Weights) -> Drawn:
        gone = np.repeat(known[None, :], len(weights), axis=0)
        plain, left_out = np.zeros(len(weights)), np.zeros(len(weights))
        for day in days:
            there = weights[:, day.row]
            plain += (_among_first(there, daily.k) * day.positive).sum(axis=1)
            found = _among_first(there * ~gone[:, day.entity], daily.k) * day.positive
            left_out += found.sum(axis=1)
            gone[:, day.entity] |= found > 0
        return {daily.plain: plain / of, daily.known_left_out: left_out / of}

    return measure


def _among_first(weights: Weights, k: int) -> Weights:
    """How much of each weight, of shape (draws, entities), is among the first k."""
    before = np.cumsum(weights, axis=1) - weights
    return np.clip(k - before, 0, weights)
