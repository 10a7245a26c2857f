"""The events of entities, as rows that are scored together see them, and the window features that they come to."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from predictors.requests.rows import Rows
from serin.online.plan import LogPlan, WindowPlan
from serin.online.store import EntityEvents, LogMeta
from serin.times import micros
from serin.windows.events import EventSchema, event_id
from serin.windows.pushes import with_labels, with_pushed
from serin.windows.tail import Tail, unpack
from serin.windows.values import OwnEvent, WindowReader

Event = Mapping[str, Any]  # a row's columns, its time in microseconds since 1970


@dataclass(frozen=True)
class Windows:
    """The features of a view for n rows: a tuple a row in the view's order, None where missing, how many of them the
    log can know, and how old the log is at the row's event time, in seconds (infinite where it was never filled).
    `late` is how many events and labels were pushed that a view with a hop does not count, as their hops were merged
    before."""

    records: Sequence[tuple[float | None, ...]]
    known: Sequence[int]
    ages: Sequence[float]
    late: int


@dataclass(frozen=True)
class _Reading:
    """What is prepared for a log that was filled with a schema: a reader of each view."""

    text: str
    schema: EventSchema
    readers: Mapping[str, WindowReader]


def events_of(rows: Rows, timestamp: str) -> list[Event]:
    """Rows as events."""
    names = rows.names
    return [
        {**dict(zip(names, record, strict=True)), timestamp: micros(time)}
        for record, time in zip(rows.records, rows.times, strict=True)
    ]


class Histories:
    """An entity column's log as rows that are scored together see it, and the views of it.

    With `rows_count`, rows that have a key count as events for the others, each for later ones: as if their requests
    had come one by one, in the order of their times. Any thread may use it.
    """

    def __init__(self, log: LogPlan, plans: Iterable[WindowPlan], label: str, *, rows_count: bool) -> None:
        self._key, self._label, self._rows_count = log.key, label, rows_count
        self._plans = tuple(plan for plan in plans if plan.key == log.key)
        self._reading: _Reading | None = None

    def windows(
        self, events: Sequence[Event], found: Sequence[EntityEvents], meta: LogMeta | None
    ) -> Mapping[str, Windows]:
        """Each view's features, by its name, of n events, from what the store has of their entities."""
        if meta is None:
            return {plan.view: _nothing(len(plan.definition.features), len(found)) for plan in self._plans}
        reading = self._prepared(meta.schema)
        schema = reading.schema
        owns = [OwnEvent(event[schema.timestamp], _id(event, schema), event) for event in events]
        tails, late = self._tails(owns, found, schema)
        until = meta.end if meta.pushed is None else max(meta.end, meta.pushed)
        ages = [(own.time - until) / 1e6 for own in owns]
        views: dict[str, Windows] = {}
        for plan in self._plans:
            reader = reading.readers[plan.view]
            known = [reader.known(own.time, meta.start) for own in owns]
            records = [
                _record(reader.values(tail, own), known_of_it)
                for tail, own, known_of_it in zip(tails, owns, known, strict=True)
            ]
            views[plan.view] = Windows(records, [sum(each) for each in known], ages, late if plan.definition.hop else 0)
        return views

    def _prepared(self, text: str) -> _Reading:
        reading = self._reading
        if reading is None or reading.text != text:
            schema = EventSchema.model_validate_json(text)
            readers = {plan.view: WindowReader(plan.definition, schema) for plan in self._plans}
            self._reading = reading = _Reading(text, schema, readers)
        return reading

    def _tails(
        self, owns: Sequence[OwnEvent], found: Sequence[EntityEvents], schema: EventSchema
    ) -> tuple[Sequence[Tail], int]:
        """Each row's entity's events, and how many came late for their hops (a row at a time); an entity that several
        rows are of is read once."""
        rows_of: dict[Any, list[int]] = defaultdict(list)
        for row, own in enumerate(owns):
            rows_of[own.values[self._key]].append(row)
        tails: dict[int, Tail] = {}
        late = 0
        for rows in rows_of.values():
            tail, late_of_it = self._tail([owns[row] for row in rows], found[rows[0]], schema)
            tails |= dict.fromkeys(rows, tail)
            late += late_of_it * len(rows)
        return [tails[row] for row in range(len(owns))], late

    def _tail(self, owns: Sequence[OwnEvent], events: EntityEvents, schema: EventSchema) -> tuple[Tail, int]:
        """The events of one entity, which some rows are of, and how many came late for its hops."""
        pushed = [orjson.loads(row) for row in events.pushed.values()]
        labels = {event: orjson.loads(label) for event, label in events.labels.items()}
        mine = {own.id: own.values for own in owns if own.id is not None} if self._rows_count else {}
        # No row counts its own event among the others', so that of a single one need not be added.
        added = pushed if len(owns) == 1 else [*pushed, *mine.values()]
        tail = with_pushed(unpack(events.tail, schema), added, schema)
        tail = with_labels(tail, labels, self._label, schema)
        return tail, _late(tail, [*pushed, *mine.values()], labels.keys() - mine.keys(), schema) if tail.hops else 0


def _late(tail: Tail, pushed: Sequence[Event], labels: Collection[bytes], schema: EventSchema) -> int:
    """How many pushed events and labels are of hops that are merged, or older than those."""
    if tail.hops is None:
        return 0
    since = tail.hops.raw_since
    events = [row for row in pushed if row[schema.timestamp] < since]
    return len(events) + len([event for event in labels if tail.place(event) is None])


def _record(values: Sequence[float], known: Sequence[bool]) -> tuple[float | None, ...]:
    if all(known):
        return tuple([value if value == value else None for value in values])
    pairs = zip(values, known, strict=True)
    return tuple([value if is_known and value == value else None for value, is_known in pairs])


def _nothing(features: int, rows: int) -> Windows:
    return Windows([(None,) * features] * rows, [0] * rows, [float("inf")] * rows, 0)


def _id(event: Event, schema: EventSchema) -> bytes | None:
    """The event's id; None where a part of its key is not known."""
    if not schema.key or any(event.get(name) is None for name in schema.key):
        return None
    return event_id(schema, event)
