"""The events of entities, as the rows of one request see them, and the window features that they come to."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from predictors.requests.rows import Rows
from serin.online.plan import LogPlan, WindowPlan
from serin.online.store import EntityEvents, LogMeta
from serin.times import micros
from serin.windows.events import EventSchema, event_id
from serin.windows.pushes import with_labels, with_pushed
from serin.windows.tail import Tail, unpack
from serin.windows.values import OwnEvent, is_known, window_values


@dataclass(frozen=True)
class Windows:
    """The features of a view for n rows, in the view's order, and how old the log is at each row's event time, in
    seconds (infinite where it was never filled). `known` is false where the log can't know a feature's value. `late` is
    how many events and labels were pushed that a view with a hop does not count, as their hops were merged before."""

    values: NDArray[np.float64]
    known: NDArray[np.bool_]
    ages: NDArray[np.float64]
    late: NDArray[np.int64]


class Histories:
    """An entity column's log as rows that are scored together see it. With `events`, those that have a key count as
    events for the others, each for later ones: as if their requests had come one by one, in the order of their times.
    """

    def __init__(self, log: LogPlan, label: str, rows: Rows, timestamp: str, *, events: bool) -> None:
        self._log, self._label = log, label
        self._events = [
            {**{name: values[row] for name, values in rows.columns.items()}, timestamp: micros(time)}
            for row, time in enumerate(rows.times)
        ]
        self._count_as_events = events

    def windows(
        self, plans: Sequence[WindowPlan], found: Sequence[EntityEvents], meta: LogMeta | None
    ) -> Mapping[str, Windows]:
        """Each view's features, by its name, from what the store has of the n rows' entities."""
        if meta is None:
            return {plan.view: _nothing(len(plan.definition.features), len(found)) for plan in plans}
        schema = _schema(meta.schema)
        tails, late = self._tails(found, schema)
        owns = [_own(event, schema) for event in self._events]
        until = meta.end if meta.pushed is None else max(meta.end, meta.pushed)
        ages = np.array([(own.time - until) / 1e6 for own in owns])
        return {
            plan.view: Windows(
                *_values(plan, tails, schema, owns, meta), ages, late if plan.definition.hop else np.zeros_like(late)
            )
            for plan in plans
        }

    def _tails(self, found: Sequence[EntityEvents], schema: EventSchema) -> tuple[list[Tail], NDArray[np.int64]]:
        """Each row's entity's events, and how many came late for its hops; an entity that several rows are of is read
        once."""
        rows_of: dict[Any, list[int]] = defaultdict(list)
        for row, event in enumerate(self._events):
            rows_of[event[self._log.key]].append(row)
        tails: dict[Any, Tail] = {}
        late: dict[Any, int] = {}
        for key, rows in rows_of.items():
            events = found[rows[0]]
            pushed = [orjson.loads(row) for row in events.pushed.values()]
            if self._count_as_events:
                pushed += [event for event in map(self._events.__getitem__, rows) if _has_key(event, schema)]
            tail = with_pushed(unpack(events.tail, schema), pushed, schema)
            labels = {event: orjson.loads(label) for event, label in events.labels.items()}
            tails[key] = with_labels(tail, labels, self._label, schema)
            late[key] = _late(tail, pushed, labels, schema)
        keys = [event[self._log.key] for event in self._events]
        return [tails[key] for key in keys], np.array([late[key] for key in keys], np.int64)


def _late(tail: Tail, pushed: Sequence[Mapping[str, Any]], labels: Collection[bytes], schema: EventSchema) -> int:
    """How many pushed events and labels are of hops that are merged, or older than those."""
    if tail.hops is None:
        return 0
    since = tail.hops.raw_since
    events = [row for row in pushed if row[schema.timestamp] < since]
    return len(events) + len([event for event in labels if tail.place(event) is None])


def _values(
    plan: WindowPlan,
    tails: Sequence[Tail],
    schema: EventSchema,
    owns: Sequence[OwnEvent],
    meta: LogMeta,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A view's values for n rows, and which of them the log can know."""
    view = plan.definition
    there = [_takes(feature.aggregation, feature.column, schema) for feature in view.features]
    if not all(there):
        kept = tuple(feature for feature, has in zip(view.features, there, strict=True) if has)
        view = view.model_copy(update={"features": kept})
    values = np.full((len(owns), len(there)), np.nan)
    values[:, there] = [window_values(view, tail, schema, own) for tail, own in zip(tails, owns, strict=True)]
    known = np.array(
        [
            [
                has and is_known(feature, view.hop, own.time, schema, meta.start)
                for feature, has in zip(plan.definition.features, there, strict=True)
            ]
            for own in owns
        ],
        dtype=bool,
    )
    return np.where(known, values, np.nan), known


def _takes(aggregation: str, column: str | None, schema: EventSchema) -> bool:
    """Whether the log has what the feature is of; one that was filled for other windows may not."""
    if aggregation in ("count", "since_last"):
        return True
    return column in (schema.codes if aggregation in ("distinct", "matches") else schema.numbers)


def _nothing(features: int, rows: int) -> Windows:
    shape = (rows, features)
    return Windows(np.full(shape, np.nan), np.zeros(shape, bool), np.full(rows, np.inf), np.zeros(rows, np.int64))


def _own(event: Mapping[str, Any], schema: EventSchema) -> OwnEvent:
    key = event_id(schema, event) if _has_key(event, schema) else None
    return OwnEvent(event[schema.timestamp], key, event)


def _has_key(event: Mapping[str, Any], schema: EventSchema) -> bool:
    return bool(schema.key) and all(event.get(name) is not None for name in schema.key)


@lru_cache(maxsize=64)
def _schema(text: str) -> EventSchema:
    return EventSchema.model_validate_json(text)
