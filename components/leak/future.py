"""Labels that nobody knew yet are turned round: a feature that changes with them has looked into the future.

This is an experiment and no statistic. A cut c divides the labels: those of events after c - `label.delay` are unknown
at c. They are turned round, and the training set is made anew. A row at or before c can't tell the difference, unless
something of it was made of a label that was not known at its time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.leak.shuffled import Relabel, Remake
from serin.learning.split import EVENT_TIME
from serin.use_case import UseCase

CUTS = 3
_TOLERANCE = 1e-9  # relative: sums of the same numbers in another order


@dataclass(frozen=True)
class Changed:
    """How many rows a feature changed in, and the first of them: its time, the value before and after."""

    rows: int
    time: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Future:
    """The features that changed. `cuts` are the times (ISO 8601) up to which rows must not change; none where rows have
    no times. `rows` were looked at, all cuts together."""

    cuts: tuple[str, ...]
    rows: int
    changed: dict[str, Changed]

    @property
    def leaks(self) -> bool:
        """Whether any feature has seen a label too early."""
        return bool(self.changed)


def from_future(frame: pd.DataFrame, remake: Remake, case: UseCase) -> Future:
    """Turn labels round that were not known yet, and say which features of `frame` change.

    Rows without times have no before and after: there the labels of half of all rows are turned round, and no feature
    of any row may change.
    """
    if not case.timestamp:
        other = remake(turn_half(case.training.seed))
        return Future((), len(frame), _merged([changes(frame, other, case.feature_names)]))
    found, rows = [], 0
    cuts = cut_times(frame[EVENT_TIME], case.label.delay)
    for cut in cuts:
        other = remake(turn_after(cut - case.label.delay))
        before = (frame[EVENT_TIME] <= cut).to_numpy()
        rows += int(before.sum())
        found.append(changes(frame[before], other[before], case.feature_names))
    return Future(tuple(cut.isoformat() for cut in cuts), rows, _merged(found))


def cut_times(times: "pd.Series[pd.Timestamp]", delay: timedelta) -> Sequence[pd.Timestamp]:
    """CUTS times, spread over the rows, the last row's among them: what is looked for shows in the rows of the delay
    before each. Fewer where the delay is so long that they would look at the same labels."""
    last = times.max()
    earlier = times.quantile(np.arange(1, CUTS) / CUTS, interpolation="lower").tolist()
    return list(dict.fromkeys([*(cut for cut in earlier if cut < last - delay), last]))


def turn_after(moment: pd.Timestamp) -> Relabel:
    """The labels of events after a time (UTC), 0 for 1 and 1 for 0."""
    limit = moment.tz_convert(None).to_datetime64()
    return lambda times, given: np.where(times > limit, 1 - given, given)


def turn_half(seed: int) -> Relabel:
    """The labels of half of all events, drawn at random, 0 for 1 and 1 for 0."""

    def relabel(_: NDArray[np.datetime64], given: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.random.default_rng(seed).random(len(given)) < 0.5, 1 - given, given)

    return relabel


def changes(before: pd.DataFrame, after: pd.DataFrame, names: Sequence[str]) -> dict[str, Changed]:
    """The features whose values differ between two training sets of the same rows."""
    found = {}
    for name in names:
        differs = differing(before[name], after[name])
        if differs.any():
            first = int(np.flatnonzero(differs)[0])
            time = before[EVENT_TIME].iloc[first].isoformat() if EVENT_TIME in before else ""
            found[name] = Changed(int(differs.sum()), time, before[name].iloc[first], after[name].iloc[first])
    return found


def differing(one: "pd.Series[Any]", other: "pd.Series[Any]") -> NDArray[np.bool_]:
    """Where n values of two columns are not the same; two missing ones are."""
    left, right = one.reset_index(drop=True), other.reset_index(drop=True)
    missing = left.isna().to_numpy(), right.isna().to_numpy()
    if not (_is_numeric(left) and _is_numeric(right)):
        same = (left.astype(object) == right.astype(object)).to_numpy().astype(bool)
    else:
        a, b = (values.astype("float64").to_numpy() for values in (left, right))
        with np.errstate(invalid="ignore"):
            same = np.abs(a - b) <= _TOLERANCE * np.maximum(np.abs(a), np.abs(b))
    return ~np.where(missing[0] | missing[1], missing[0] & missing[1], same)


def _is_numeric(values: "pd.Series[Any]") -> bool:
    return bool(pd.api.types.is_numeric_dtype(values))


def _merged(found: Sequence[Mapping[str, Changed]]) -> dict[str, Changed]:
    merged: dict[str, Changed] = {}
    for each in found:
        for name, changed in each.items():
            known = merged.get(name, changed)
            rows = changed.rows + (known.rows if name in merged else 0)
            merged[name] = Changed(rows, known.time, known.before, known.after)
    return merged
