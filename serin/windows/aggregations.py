"""The aggregations of window features, each defined once.

An aggregation makes a state of some events (`update`) or of a single one (`one`), merges two states of disjoint events
(`merge`, commutative and associative, with `nothing` as its neutral element), and makes a feature's value of a state
(`finalise`). `sql` is the same over a frame of DuckDB. That both give the same value is a test.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serin.use_case import WindowFeature

# Of the column's values: none, numbers (NaN is missing), or codes that tell values apart (see serin.windows.events).
Takes = Literal["nothing", "numbers", "codes"]
# What a store that merges events to hops keeps of each hop (see serin.windows.hops).
HopState = Literal["count", "latest", "sum", "min", "max", "codes"]
MISSING = np.iinfo(np.int64).min  # the code of a missing value
_MISSING = int(MISSING)
State = Any


class Events(NamedTuple):
    """n events of one entity, oldest first: times in microseconds since 1970, and what is aggregated of each."""

    times: NDArray[np.int64]
    values: NDArray[Any]


@dataclass(frozen=True)
class Moment:
    """The event whose feature it is: its time in microseconds since 1970, and the code of its own value (`matches`)."""

    time: int
    code: int = MISSING


@dataclass(frozen=True)
class Aggregation:
    """See the module. `one` is given what is aggregated of the event, None where that is missing. `finalise` gives None
    for what has no value; `since_last` never sees the event itself.

    `of_hops` makes the state of whole hops from the arrays that `kept`, the state of a hop, has of them.
    `sql` has {c} for the column, {over} for the frame, and {t} for the microseconds of an event.
    """

    takes: Takes
    empty: float | None
    nothing: State
    update: Callable[[Events], State]
    one: Callable[[Any], State]
    merge: Callable[[State, State], State]
    finalise: Callable[[State, Moment], float | None]
    sql: str
    kept: HopState
    of_hops: Callable[[Sequence[NDArray[Any]]], State]

    def value(self, state: State, moment: Moment, feature: WindowFeature) -> float:
        """The feature's value, NaN where it is missing."""
        found = self.finalise(state, moment)
        if found is None:
            found = self.empty if feature.empty is None else feature.empty
        return np.nan if found is None else found


def _known(events: Events) -> NDArray[np.float64]:
    values: NDArray[np.float64] = events.values[~np.isnan(events.values)]
    return values


def _total(events: Events) -> tuple[int, float]:
    """How many values are known, and their sum."""
    total = float(np.add.reduce(events.values))
    if total == total:  # none of them is NaN, which is the usual case and quick to see
        return len(events.values), total
    known = _known(events)
    return len(known), float(known.sum())


def _extreme(extreme: np.ufunc) -> Callable[[Events], float | None]:
    """The least or the greatest of the known values, None where there is none."""

    def update(events: Events) -> float | None:
        if not len(events.values):
            return None
        found = float(extreme.reduce(events.values))
        if found == found:
            return found
        known = _known(events)
        return float(extreme.reduce(known)) if len(known) else None

    return update


def _codes(events: Events) -> Counter[int]:
    """How often each code is there."""
    found = Counter(events.values.tolist())
    found.pop(_MISSING, None)
    return found


def _add(left: tuple[float, float], right: tuple[float, float]) -> tuple[float, float]:
    return left[0] + right[0], left[1] + right[1]


def _least(left: float | None, right: float | None) -> float | None:
    return min((x for x in (left, right) if x is not None), default=None)


def _most(left: float | None, right: float | None) -> float | None:
    return max((x for x in (left, right) if x is not None), default=None)


def _summed(hops: Sequence[NDArray[Any]]) -> tuple[int, float]:
    known, sums = hops
    return int(known.sum()), float(sums.sum())


def _counted(hops: Sequence[NDArray[Any]]) -> Counter[int]:
    found: Counter[int] = Counter()
    for value, count in zip(*(array.tolist() for array in hops), strict=True):
        found[value] += count
    return found


AGGREGATIONS: Mapping[str, Aggregation] = {
    "count": Aggregation(
        takes="nothing",
        empty=0.0,
        nothing=0,
        update=lambda events: len(events.times),
        one=lambda _: 1,
        merge=lambda left, right: left + right,
        finalise=lambda state, _: float(state) if state else None,
        sql="nullif(count(*) {over}, 0)::double",
        kept="count",
        of_hops=lambda hops: int(hops[0].sum()),
    ),
    "sum": Aggregation(
        takes="numbers",
        empty=0.0,
        nothing=(0, 0.0),
        update=_total,
        one=lambda value: (0, 0.0) if value is None else (1, value),
        merge=_add,
        finalise=lambda state, _: state[1] if state[0] else None,
        sql="sum({c}) {over}",
        kept="sum",
        of_hops=_summed,
    ),
    "mean": Aggregation(
        takes="numbers",
        empty=None,
        nothing=(0, 0.0),
        update=_total,
        one=lambda value: (0, 0.0) if value is None else (1, value),
        merge=_add,
        finalise=lambda state, _: state[1] / state[0] if state[0] else None,
        sql="sum({c}) {over} / nullif(count({c}) {over}, 0)",
        kept="sum",
        of_hops=_summed,
    ),
    "min": Aggregation(
        takes="numbers",
        empty=None,
        nothing=None,
        update=_extreme(np.minimum),
        one=lambda value: value,
        merge=_least,
        finalise=lambda state, _: state,
        sql="min({c}) {over}",
        kept="min",
        of_hops=lambda hops: float(known.min()) if len(known := hops[0][~np.isnan(hops[0])]) else None,
    ),
    "max": Aggregation(
        takes="numbers",
        empty=None,
        nothing=None,
        update=_extreme(np.maximum),
        one=lambda value: value,
        merge=_most,
        finalise=lambda state, _: state,
        sql="max({c}) {over}",
        kept="max",
        of_hops=lambda hops: float(known.max()) if len(known := hops[0][~np.isnan(hops[0])]) else None,
    ),
    "distinct": Aggregation(
        takes="codes",
        empty=0.0,
        nothing=frozenset(),
        update=lambda events: frozenset(events.values.tolist()) - {_MISSING},
        one=lambda code: frozenset() if code is None else frozenset((code,)),
        merge=lambda left, right: left | right,
        finalise=lambda state, _: float(len(state)) if state else None,
        sql="nullif(count(distinct {c}) {over}, 0)::double",
        kept="codes",
        of_hops=lambda hops: frozenset(hops[0].tolist()),
    ),
    "since_last": Aggregation(
        takes="nothing",
        empty=None,
        nothing=None,
        update=lambda events: int(events.times[-1]) if len(events.times) else None,
        one=lambda time: time,
        merge=_most,
        finalise=lambda state, moment: None if state is None else (moment.time - state) / 1e6,
        sql="({t} - max({t}) {over}) / 1e6",
        kept="latest",
        of_hops=lambda hops: int(hops[0][-1]) if len(hops[0]) else None,
    ),
    "matches": Aggregation(
        takes="codes",
        empty=0.0,
        nothing=Counter(),
        update=_codes,
        one=lambda code: Counter() if code is None else Counter((code,)),
        merge=lambda left, right: left + right,
        finalise=lambda state, moment: float(state[moment.code]) if state[moment.code] else None,
        # Its frame is partitioned by the value too, and has no row where that is missing.
        sql="nullif(count({c}) {over}, 0)::double",
        kept="codes",
        of_hops=_counted,
    ),
}
