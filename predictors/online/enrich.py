"""Features from the online store: what a request's rows need, by the plan in the manifest, in one round trip."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from predictors.online.histories import Histories, Windows, events_of
from predictors.online.patience import Patience
from predictors.requests.rows import Rows
from serin.artifact import Manifest
from serin.online.plan import LogPlan, TablePlan, WindowPlan
from serin.online.store import Found, OnlineStore, Row

Record = tuple[Any, ...]


@dataclass(frozen=True)
class Fetched:
    """The features `names` of n rows, a tuple a row, None where missing. For each row how many are not known (the store
    does not hold them, or only ones that are too old), and how old the oldest one is at the event time, in seconds
    (None where none was held).

    `ages` is the greatest age of each view that holds anything, at the event times; `stale` counts, by view, the values
    that were there and too old; `refusal` says of them what the use case takes for an error. `late` counts, by view,
    the pushed events and labels that its windows do not count before the next refresh, as their hops were merged (rows
    times events).
    """

    names: tuple[str, ...]
    records: Sequence[Record]
    misses: Sequence[int]
    age_seconds: Sequence[float | None]
    ages: Mapping[str, float] = field(default_factory=dict)
    stale: Mapping[str, int] = field(default_factory=dict)
    refusal: str = ""
    late: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def nothing(cls, rows: int, names: tuple[str, ...]) -> "Fetched":
        """`rows` rows without any of the features `names`."""
        return cls(names, [(None,) * len(names)] * rows, [len(names)] * rows, [None] * rows)

    @property
    def values(self) -> dict[str, list[Any]]:
        """The values by feature."""
        return {name: [record[place] for record in self.records] for place, name in enumerate(self.names)}

    def of(self, places: Sequence[int]) -> "Fetched":
        """Some of the rows; what is told of views is told of all."""
        return replace(
            self,
            records=[self.records[place] for place in places],
            misses=[self.misses[place] for place in places],
            age_seconds=[self.age_seconds[place] for place in places],
        )


@dataclass(frozen=True)
class _View:
    """What was found of a view for n rows: the values of its features, a tuple a row, and how many of them are known.
    How old the view is at the event times (None where nothing is there), how many of its values are too old, and what
    was pushed too late for its hops."""

    names: tuple[str, ...]
    records: Sequence[Record]
    known: Sequence[int]
    ages: Sequence[float | None]
    stale: Sequence[int]
    late: int = 0

    @property
    def known_ages(self) -> Sequence[float | None]:
        """The ages where something is known."""
        if all(self.known):
            return self.ages
        return [age if known else None for age, known in zip(self.ages, self.known, strict=True)]


class OnlineFeatures:
    """The features of a model that come from the online store."""

    def __init__(self, store: OnlineStore, manifest: Manifest) -> None:
        self._store, self._patience = store, Patience()
        self._plan = manifest.online
        self._views: tuple[TablePlan | WindowPlan, ...] = (*manifest.online.tables, *manifest.online.windows)
        plans: Iterable[TablePlan | LogPlan] = (*manifest.online.tables, *manifest.online.logs.values())
        self._keys = tuple(dict.fromkeys(plan.key for plan in plans))
        self._names = manifest.store_features
        self._timestamp = manifest.timestamp or ""
        self._histories = [
            Histories(
                log,
                manifest.online.windows,
                manifest.events.label if manifest.events else "",
                rows_count=manifest.online.requests_are_events,
            )
            for log in manifest.online.logs.values()
        ]

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views."""
        return tuple(plan.view for plan in self._views)

    async def read(self, rows: Rows) -> Found:
        """What the store has of the entities in n rows.

        Raises UnavailableError where it does not answer: at once, while another read finds out whether it does again.
        """
        places = {name: rows.names.index(name) for name in self._keys}
        keys = {name: [row[place] for row in rows.records] for name, place in places.items()}
        return await self._patience.read(lambda: self._read(keys))

    async def _read(self, keys: Mapping[str, Sequence[Any]]) -> Found:
        return await self._store.read(
            [(plan, keys[plan.key]) for plan in self._plan.tables],
            [(plan, keys[plan.key]) for plan in self._plan.logs.values()],
        )

    async def never_filled(self) -> tuple[str, ...]:
        """The entity columns whose event log nobody filled yet. Raises UnavailableError as `read` does."""
        found = await self._read({name: [None] for name in self._keys})
        return tuple(key for key, meta in zip(self._plan.logs, found.meta, strict=True) if meta is None)

    def features(self, rows: Rows, found: Found | None) -> Fetched:
        """The features of rows, from what was read for them; all are missing where nothing could be read (None).

        A value of a table view that is older at the event time than the view's ttl is missing, as it was in training,
        and so are a window view's where its log is; one that is younger than the event, as in a replay, is not too old.
        So is a window that reaches before its log begins. An entity that nothing is known of is no error; a log that
        nobody filled is one where a value that is too old is.
        """
        if found is None or not self._views:
            return Fetched.nothing(rows.count, self._names)
        views = self._tables(rows, found) | self._windows(rows, found)
        names = tuple(chain.from_iterable(view.names for view in views.values()))
        # A feature that no view of the plan has is missing, and counted.
        absent = tuple(name for name in self._names if name not in names)
        missing = (None,) * len(absent)
        width, of_views = len(names) + len(absent), views.values()
        return Fetched(
            names + absent,
            [sum(parts, ()) + missing for parts in zip(*(view.records for view in of_views), strict=True)],
            [width - sum(known) for known in zip(*(view.known for view in of_views), strict=True)],
            [greatest(ages) for ages in zip(*(view.known_ages for view in of_views), strict=True)],
            {name: age for name, view in views.items() if (age := greatest(view.ages)) is not None},
            {name: sum(view.stale) for name, view in views.items()},
            (self._unfilled(found) or self._too_old(views, rows)) if self._plan.stale == "error" else "",
            {name: view.late for name, view in views.items()},
        )

    def _tables(self, rows: Rows, found: Found) -> dict[str, _View]:
        moments = [time.timestamp() for time in rows.times]
        return {
            plan.view: _table(plan, found_rows, moments)
            for plan, found_rows in zip(self._plan.tables, found.rows, strict=True)
        }

    def _windows(self, rows: Rows, found: Found) -> dict[str, _View]:
        if not self._histories:
            return {}
        events = events_of(rows, self._timestamp)
        found_views: dict[str, Windows] = {}
        for histories, of_log, meta in zip(self._histories, found.events, found.meta, strict=True):
            found_views |= histories.windows(events, of_log, meta)
        return {plan.view: _held(plan, found_views[plan.view]) for plan in self._plan.windows}

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
            for row in (row for row, stale in enumerate(view.stale) if stale):
                return (
                    f"row {rows.numbers[row]}: the values of view {name} are {_told(view.ages[row] or 0)} old at "
                    f"{rows.times[row]:%Y-%m-%d %H:%M}; allowed: {_told(limits[name] or 0)}; `serin refresh` brings "
                    "the online store up to date"
                )
        return ""


def _table(plan: TablePlan, found: Sequence[Row | None], moments: Sequence[float]) -> _View:
    width, ttl = len(plan.features), math.inf if plan.ttl is None else plan.ttl
    nothing = (None,) * width
    ages = [None if row is None else moment - row.time / 1e6 for row, moment in zip(found, moments, strict=True)]
    held = [age is not None and age <= ttl for age in ages]
    return _View(
        tuple(plan.features),
        [row.values if row and hold else nothing for row, hold in zip(found, held, strict=True)],
        [width if hold else 0 for hold in held],
        ages,
        [0 if hold or age is None else width for age, hold in zip(ages, held, strict=True)],
    )


def _held(plan: WindowPlan, windows: Windows) -> _View:
    """A window view's values, where they are not too old. A log is as old for an entity that it knows nothing of."""
    ttl = math.inf if plan.ttl is None else plan.ttl
    held = [age <= ttl for age in windows.ages]
    nothing = (None,) * len(plan.definition.features)
    return _View(
        tuple(feature.name for feature in plan.definition.features),
        [record if hold else nothing for record, hold in zip(windows.records, held, strict=True)],
        [count if hold else 0 for count, hold in zip(windows.known, held, strict=True)],
        [age if age < math.inf else None for age in windows.ages],
        [0 if hold else count for count, hold in zip(windows.known, held, strict=True)],
        windows.late,
    )


def greatest(ages: Iterable[float | None]) -> float | None:
    """The greatest of some ages; None where there is none."""
    return max((age for age in ages if age is not None), default=None)


def _told(seconds: float) -> str:
    return f"{seconds / 86400:.1f} days" if seconds >= 2 * 86400 else f"{seconds / 3600:.1f} hours"
