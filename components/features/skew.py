"""What was served against what training would have had, row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.schema import InputSchema, as_single

TOLERANCE = 1e-6  # relative
_FLOOR = 1e-9  # absolute: what is left of sums that cancel out is not told from 0
SHOWN = 5
Verdict = Literal["equal", "skewed", "nothing_compared"]


@dataclass(frozen=True)
class Difference:
    """One row's value of a column: as served, and as recomputed from the stored events. None is missing."""

    keys: Mapping[str, Any]
    time: datetime
    served: Any
    offline: Any


@dataclass(frozen=True)
class ColumnSkew:
    """How a column's served values differ from the offline ones.

    `only_served` and `only_offline` rows have a value on one side alone. Of rows that have two different numbers,
    `mean_difference` is the mean of served less offline, and `largest` the greatest distance; None where there is none.
    """

    name: str
    differing: int
    only_served: int
    only_offline: int
    mean_difference: float | None
    largest: float | None
    first: tuple[Difference, ...]


@dataclass(frozen=True)
class Hour:
    """An hour of event time: rows compared, and those of them that are equal in all columns."""

    start: datetime
    rows: int
    equal: int


@dataclass(frozen=True)
class Comparison:
    """n rows compared; `equal` are so in all columns. `columns` has all inputs in order, `hours` those with rows."""

    rows: int
    equal: int
    columns: tuple[ColumnSkew, ...]
    hours: tuple[Hour, ...]

    @property
    def share_equal(self) -> float:
        """The share of rows that are equal in all columns; NaN without rows."""
        return self.equal / self.rows if self.rows else float("nan")

    def verdict(self, limit: float) -> Verdict:
        """Whether no more than the share `limit` of the rows differs. No rows are no proof of anything."""
        if not self.rows:
            return "nothing_compared"
        return "equal" if self.rows - self.equal <= limit * self.rows else "skewed"


def compare(
    served: pd.DataFrame,
    offline: pd.DataFrame,
    inputs: InputSchema,
    keys: pd.DataFrame,
    times: "pd.Series[pd.Timestamp]",
) -> Comparison:
    """Compare n rows in the model's inputs; all tables have the same rows in the same order.

    Numbers are equal within 1e-6 of the greater one (or 1e-9), texts where they are the same, and missing values equal
    each other alone. `keys` tell who a row is, `times` (UTC) when its event was.
    """
    columns, differs = [], np.zeros(len(served), bool)
    for column in inputs.columns:
        one, other = served[column.name], offline[column.name]
        if column.kind == "number":
            found = _numbers(column.name, one, other, keys, times)
        else:
            found = _texts(column.name, one, other, keys, times)
        columns.append(found[0])
        differs |= found[1]
    return Comparison(len(served), int((~differs).sum()), tuple(columns), _hours(times, differs))


Found = tuple[ColumnSkew, NDArray[np.bool_]]


def _numbers(name: str, one: Any, other: Any, keys: pd.DataFrame, times: Any) -> Found:
    served, offline = (_as_numbers(values) for values in (one, other))
    both = ~np.isnan(served) & ~np.isnan(offline)
    distance = np.abs(served - offline)
    reach = np.maximum(TOLERANCE * np.maximum(np.abs(served), np.abs(offline)), _FLOOR)
    unlike = both & ~(distance <= reach)
    gap = (served - offline)[unlike]
    return _column(name, served, offline, unlike, keys, times, gap)


def _as_numbers(values: "pd.Series[Any]") -> NDArray[np.float64]:
    """NaN where the model has none: where it is missing, or too large for it."""
    numbers = pd.to_numeric(values).to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isnan(as_single(numbers)), np.nan, numbers)


def _texts(name: str, one: Any, other: Any, keys: pd.DataFrame, times: Any) -> Found:
    served, offline = (_as_texts(values) for values in (one, other))
    both = ~pd.isna(served) & ~pd.isna(offline)
    unlike = both & (served != offline)
    return _column(name, served, offline, unlike, keys, times, np.empty(0))


def _as_texts(values: "pd.Series[Any]") -> NDArray[Any]:
    return np.array([None if pd.isna(value) else str(value) for value in values], dtype=object)


def _column(
    name: str,
    served: NDArray[Any],
    offline: NDArray[Any],
    unlike: NDArray[np.bool_],
    keys: pd.DataFrame,
    times: Any,
    gap: NDArray[np.float64],
) -> Found:
    only_served, only_offline = pd.notna(served) & pd.isna(offline), pd.isna(served) & pd.notna(offline)
    differs: NDArray[np.bool_] = unlike | only_served | only_offline
    first = tuple(
        Difference(
            keys={column: keys[column].iloc[place] for column in keys.columns},
            time=times.iloc[place].to_pydatetime(),
            served=_value(served[place]),
            offline=_value(offline[place]),
        )
        for place in np.flatnonzero(differs)[:SHOWN].tolist()
    )
    column = ColumnSkew(
        name=name,
        differing=int(differs.sum()),
        only_served=int(only_served.sum()),
        only_offline=int(only_offline.sum()),
        mean_difference=float(gap.mean()) if len(gap) else None,
        largest=float(np.abs(gap).max()) if len(gap) else None,
        first=first,
    )
    return column, differs


def _value(value: Any) -> Any:
    if pd.isna(value):
        return None
    return float(value) if isinstance(value, float) else value


def _hours(times: "pd.Series[pd.Timestamp]", differs: NDArray[np.bool_]) -> tuple[Hour, ...]:
    table = pd.DataFrame({"hour": times.dt.floor("h"), "equal": ~differs})
    grouped = table.groupby("hour")["equal"].agg(["size", "sum"])
    return tuple(
        Hour(start.to_pydatetime(), int(rows), int(equal))
        for start, rows, equal in zip(grouped.index, grouped["size"], grouped["sum"], strict=True)
    )


@dataclass(frozen=True)
class Counts:
    """What became of the logged rows: which were compared, found how, and which could not be, and why.

    Compared: by the event's key, by entities and time, or as a row of its own that no stored event is (`asked`).
    `moved` of them were served with another time or entity than the stored event has by now. Not compared: `ambiguous`
    (several stored events are like it), `unmatched` (no event, and not all of what its windows take was logged),
    `ahead` (later than the last stored event), `earlier` (before the snapshot that is stored) and `given` (the caller
    gave the features, and none were read).
    """

    logged: int = 0
    by_key: int = 0
    by_entities: int = 0
    asked: int = 0
    moved: int = 0
    ambiguous: int = 0
    unmatched: int = 0
    ahead: int = 0
    earlier: int = 0
    given: int = 0

    @property
    def compared(self) -> int:
        """The rows that were compared."""
        return self.by_key + self.by_entities + self.asked

    def sentences(self) -> Sequence[str]:
        """The counts that are not 0, in words."""
        found = (
            (self.by_key, "compared with the event of their key"),
            (self.by_entities, "compared with the one event of their entities and time"),
            (self.asked, "are no stored event: compared as rows of their own, with what is stored of the others"),
            (self.moved, "of these were served with another time or entity than their event has by now"),
            (self.ambiguous, "left out: several stored events are like them, and the log has no key"),
            (self.unmatched, "left out: they are no stored event, and not all that their windows take was logged"),
            (self.ahead, "left out: later than the last stored event; ingest, then look again"),
            (self.earlier, "left out: served before the snapshot that is stored was taken"),
            (self.given, "left out: the caller gave the features, and none were read"),
        )
        return [f"{rows:,} of {self.logged:,} rows {words}" for rows, words in found if rows]
