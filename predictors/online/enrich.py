"""Features from the online store: what a request's rows need, by the plan in the manifest, in one round trip."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.online.histories import Histories, Windows
from predictors.requests.rows import Rows
from serin.artifact import Manifest
from serin.online.plan import TablePlan, WindowPlan
from serin.online.store import Found, OnlineStore, Row


@dataclass(frozen=True)
class Fetched:
    """Feature values by column, None where missing, and for each of the n rows how many are not known (the store does
    not hold them, or only ones that are too old) and how old the oldest one is at the event time, in seconds (NaN where
    none was held).

    `ages` is the greatest age of each view that holds anything, at the event times; `stale` counts, by view, the values
    that were there and too old; `refusal` says of them what the use case takes for an error. `late` counts, by view,
    the pushed events and labels that its windows do not count before the next refresh, as their hops were merged (rows
    times events).
    """

    values: Mapping[str, Sequence[Any]]
    misses: NDArray[np.int64]
    age_seconds: NDArray[np.float64]
    ages: Mapping[str, float] = field(default_factory=dict)
    stale: Mapping[str, int] = field(default_factory=dict)
    refusal: str = ""
    late: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def nothing(cls, rows: int, names: Iterable[str] = ()) -> "Fetched":
        """`rows` rows without any of the features `names`."""
        names = list(names)
        values = {name: [None] * rows for name in names}
        return cls(values, np.full(rows, len(names), np.int64), np.full(rows, np.nan))

    def of(self, places: Sequence[int]) -> "Fetched":
        """Some of the rows; what is told of views is told of all."""
        values = {name: [column[place] for place in places] for name, column in self.values.items()}
        return Fetched(values, self.misses[places], self.age_seconds[places], self.ages, self.stale, late=self.late)


@dataclass(frozen=True)
class _View:
    """What was found of a view for n rows: values of each feature in order, which of them are known, the ages of all,
    how many are too old, and what was pushed too late for the view's hops."""

    values: Mapping[str, list[Any]]
    known: NDArray[np.bool_]
    ages: NDArray[np.float64]
    stale: NDArray[np.int64]
    late: int = 0


class OnlineFeatures:
    """The features of a model that come from the online store."""

    def __init__(self, store: OnlineStore, manifest: Manifest) -> None:
        self._store = store
        self._plan = manifest.online
        self._views: tuple[TablePlan | WindowPlan, ...] = (*manifest.online.tables, *manifest.online.windows)
        self._names = manifest.store_features
        self._timestamp = manifest.timestamp or ""
        self._label = manifest.events.label if manifest.events else ""

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views."""
        return tuple(plan.view for plan in self._views)

    async def read(self, columns: Mapping[str, Sequence[Any]]) -> Found:
        """What the store has of the entities in n rows. Raises UnavailableError where it does not answer."""
        return await self._store.read(
            [(plan, columns[plan.key]) for plan in self._plan.tables],
            [(plan, columns[plan.key]) for plan in self._plan.logs.values()],
        )

    async def never_filled(self) -> tuple[str, ...]:
        """The entity columns whose event log nobody filled yet. Raises UnavailableError as `read` does."""
        nobody: dict[str, Sequence[Any]] = {plan.key: [None] for plan in self._plan.tables}
        nobody |= {plan.key: [None] for plan in self._plan.logs.values()}
        found = await self.read(nobody)
        return tuple(key for key, meta in zip(self._plan.logs, found.meta, strict=True) if meta is None)

    def features(self, rows: Rows, found: Found | None) -> Fetched:
        """The features of rows, from what was read for them; all are missing where nothing could be read (None).

        A value of a table view that is older at the event time than the view's ttl is missing, as it was in training,
        and so are a window view's where its log is; one that is younger than the event, as in a replay, is not too old.
        So is a window that reaches before its log begins. An entity that nothing is known of is no error; a log that
        nobody filled is one where a value that is too old is.
        """
        if found is None:
            return Fetched.nothing(rows.count, self._names)
        views = self._tables(rows, found) | self._windows(rows, found)
        values = {name: column for view in views.values() for name, column in view.values.items()}
        # A feature that no view of the plan has is missing, and counted.
        absent = [name for name in self._names if name not in values]
        misses = np.full(rows.count, len(absent), np.int64)
        oldest = np.full(rows.count, np.nan)
        for view in views.values():
            misses += (~view.known).sum(axis=1)
            oldest = np.fmax(oldest, np.where(view.known.any(axis=1), view.ages, np.nan))
        ages = {
            name: max(finite) for name, view in views.items() if (finite := view.ages[np.isfinite(view.ages)].tolist())
        }
        stale = {name: int(view.stale.sum()) for name, view in views.items()}
        refusal = (self._unfilled(found) or self._too_old(views, rows)) if self._plan.stale == "error" else ""
        late = {name: view.late for name, view in views.items()}
        values |= {name: [None] * rows.count for name in absent}
        return Fetched(values, misses, oldest, ages, stale, refusal, late)

    def _tables(self, rows: Rows, found: Found) -> dict[str, _View]:
        moments = np.array([time.timestamp() for time in rows.times])
        return {
            plan.view: _table(plan, found_rows, moments)
            for plan, found_rows in zip(self._plan.tables, found.rows, strict=True)
        }

    def _windows(self, rows: Rows, found: Found) -> dict[str, _View]:
        views: dict[str, _View] = {}
        logs = zip(self._plan.logs.values(), found.events, found.meta, strict=True)
        for log, events, meta in logs:
            plans = [plan for plan in self._plan.windows if plan.key == log.key]
            events_too = self._plan.requests_are_events
            histories = Histories(log, self._label, rows, self._timestamp, events=events_too)
            computed = histories.windows(plans, events, meta)
            views |= {plan.view: _held(plan, computed[plan.view]) for plan in plans}
        return views

    def _unfilled(self, found: Found) -> str:
        """What is said of the first log that nobody filled, or that was lost since: it is older than any ttl."""
        for key, meta in zip(self._plan.logs, found.meta, strict=True):
            if meta is None:
                return f"no events of {key} are online; `serin refresh` brings all that are stored there"
        return ""

    def _too_old(self, views: Mapping[str, _View], rows: Rows) -> str:
        """What is said of the first value that is too old; nothing where none is."""
        limits = {plan.view: plan.ttl for plan in self._views}
        for name, view in views.items():
            for row in np.flatnonzero(view.stale).tolist():
                return (
                    f"row {rows.numbers[row]}: the values of view {name} are {_told(view.ages[row])} old at "
                    f"{rows.times[row]:%Y-%m-%d %H:%M}; allowed: {_told(limits[name] or 0)}; `serin refresh` brings "
                    "the online store up to date"
                )
        return ""


def _table(plan: TablePlan, found: Sequence[Row | None], moments: NDArray[np.float64]) -> _View:
    times = np.array([np.nan if row is None else row.time / 1e6 for row in found])
    ages = moments - times
    there = ~np.isnan(times)
    held = there & (ages <= (np.inf if plan.ttl is None else plan.ttl))
    values = {
        name: [row.values.get(name) if row and hold else None for row, hold in zip(found, held, strict=True)]
        for name in plan.features
    }
    known = np.repeat(held[:, None], len(plan.features), axis=1)
    return _View(values, known, ages, (there & ~held) * len(plan.features))


def _held(plan: WindowPlan, windows: Windows) -> _View:
    """A window view's values, where they are not too old. A log is as old for an entity that it knows nothing of."""
    held = windows.ages <= (np.inf if plan.ttl is None else plan.ttl)
    known = windows.known & held[:, None]
    values = np.where(known, windows.values, np.nan)
    columns = {
        feature.name: [None if value != value else value for value in values[:, place].tolist()]
        for place, feature in enumerate(plan.definition.features)
    }
    stale = (windows.known & ~held[:, None]).sum(axis=1)
    return _View(columns, known, windows.ages, stale, int(windows.late.sum()))


def _told(seconds: float) -> str:
    return f"{seconds / 86400:.1f} days" if seconds >= 2 * 86400 else f"{seconds / 3600:.1f} hours"
