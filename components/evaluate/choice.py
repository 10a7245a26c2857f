"""Which of the estimators becomes the candidate: chosen on the validation rows, before the test rows are looked at."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluate.gate import shown
from serin.errors import DataError
from serin.learning.metrics import ranking_metrics
from serin.learning.paired import Paired


@dataclass(frozen=True)
class Common:
    """The validation rows that every estimator assessed: their places in the training set (shape (n,)), labels, and
    scores (n,) by estimator; `of` is how many rows the one that assessed the most has."""

    places: NDArray[np.int64]
    labels: NDArray[np.int8]
    scores: dict[str, NDArray[np.float64]]
    of: int


@dataclass(frozen=True)
class Choice:
    """The candidate's name, and in words why it is the one."""

    name: str
    reasons: tuple[str, ...]


def common(validations: Mapping[str, pd.DataFrame]) -> Common:
    """The rows that all have: a stack, which needs earlier folds to learn from, does not assess the first.

    Each table has place, label and score, one row a place, and is named by its estimator.
    Raises DataError where no row is common to all or only one class is.
    """
    tables = {name: table.set_index("place") for name, table in validations.items()}
    places = None
    for table in tables.values():
        places = table.index if places is None else places.intersection(table.index)
    places = pd.Index([] if places is None else places).sort_values()
    aligned = {name: table.loc[places] for name, table in tables.items()}
    labels = next(iter(aligned.values()))["label"].to_numpy(np.int8) if aligned else np.empty(0, np.int8)
    if len(found := np.unique(labels)) < 2:
        held = f"all of class {found[0]}" if len(found) else "no row"
        raise DataError(
            f"the validation rows that {', '.join(tables) or 'no estimator'} have in common hold {held}; the choice of "
            "the candidate needs both classes"
        )
    scores = {name: table["score"].to_numpy(np.float64) for name, table in aligned.items()}
    return Common(places.to_numpy(np.int64), labels, scores, max(map(len, tables.values())))


@dataclass(frozen=True)
class Single:
    """The best estimator that combines no others, its value of the primary metric, and on how many rows."""

    name: str
    value: float
    rows: int


def best_single(rows: Common, metric: str) -> Single:
    """The highest by the primary metric on the rows that the single estimators have in common; the first of equals.

    They assess every fold, where one that combines others has no score of the first.
    """
    values = {name: ranking_metrics(rows.labels, scores)[metric] for name, scores in rows.scores.items()}
    name = max(values, key=lambda name: values[name])
    return Single(name, values[name], len(rows.labels))


def choose(
    rows: Common, found: Mapping[str, Paired], single: Single, combining: Collection[str], metric: str
) -> Choice:
    """The best single estimator, or one that combines others and is better on the rows that it assessed, too.

    `found` holds each against `single`, on `rows`. A gain that may be chance is told and taken: of the two, it is the
    better guess. A tie leaves it to the simpler model.
    """
    of_single = f"{single.name} is the best single estimator by {metric}, {single.value:.4f}"
    reasons = [f"{of_single} on {single.rows:,} validation rows"]
    if len(rows.labels) < rows.of:
        here = shown(found[single.name].metrics[metric])
        reasons.append(f"{single.name} {here} on the {len(rows.labels):,} of them that all estimators assessed")
    values = {name: each.metrics[metric] for name, each in found.items()}
    chosen = single.name
    for name in sorted(set(values) - {single.name}, key=lambda name: (-values[name].value, name)):
        gap = found[name].differences[metric]
        told = f"{name} {values[name].value:.4f}: {shown(gap, signed=True)} against {single.name}"
        if name in combining:
            better = gap.value > 0
            told += "; it is chosen" if better else "; no better, so the simpler model is taken"
            told += ", though these rows can't tell the two apart" if better and gap.low < 0 else ""
            chosen = name if better else chosen
        reasons.append(told)
    return Choice(chosen, tuple(reasons))
