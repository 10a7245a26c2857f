"""Events and labels that are pushed: checked by the rules of the use case, and added to the online store's event logs.

An event goes to the log of each of its entities, without its label: what is known of that is kept apart, so that no
event that comes without one takes it away.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from predictors.metrics import Metrics
from predictors.requests.fields import Field, by_column, checked, nullable
from predictors.requests.rows import Rows, refusal
from predictors.requests.schema import MAX_ROWS
from serin.artifact import Manifest
from serin.columns import problem, shown
from serin.errors import RequestError, UnavailableError
from serin.online.plan import LogPlan
from serin.online.store import OnlineStore, PushedEvent
from serin.times import micros
from serin.windows.events import EventSchema, event_id, label_bytes, row_bytes

AHEAD = timedelta(days=1)
_PARTS = ("events", "labels")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pushed:
    """How many events and labels were accepted, and how many of them were not known to have been pushed before."""

    accepted: int
    new: int


class _KeyChangedError(UnavailableError):
    """The use case has another `data.key` by now than the version that is served."""


class EventSink:
    """Where the events of a model's use case go. Any thread may use it."""

    def __init__(self, store: OnlineStore, manifest: Manifest, metrics: Metrics) -> None:
        self._store, self._metrics = store, metrics
        self._logs = manifest.online.logs
        self._timestamp = manifest.timestamp or ""
        self._events, self._labels = _event_fields(manifest), _label_fields(manifest)
        self._label = manifest.events.label if manifest.events else ""
        self._key = [column.name for column in manifest.event_key]

    @classmethod
    def of(cls, store: OnlineStore | None, manifest: Manifest, metrics: Metrics) -> "EventSink | None":
        """The sink of a model with window features whose events have a key; None for another."""
        if store is None or not manifest.event_key or not manifest.online.logs:
            return None
        return cls(store, manifest, metrics)

    @property
    def accepted(self) -> tuple[Mapping[str, Field], Mapping[str, Field]]:
        """What a pushed event may hold, and what a pushed label."""
        return self._events, self._labels

    def take(self, body: bytes, now: datetime) -> Pushed:
        """Push what a body `{"events": [{column: value, ...}, ...], "labels": [...]}` holds, at `now`: all or nothing.

        An event has the use case's columns, its label where it is known; a label the event's key, its entities and the
        label. The same again changes nothing, and is not new.
        Raises RequestError for a body or a row that breaks a rule, and UnavailableError where the store fails: what it
        took before, which the text says, is taken again by the same request.
        """
        given = _parts(body)
        count = sum(map(len, given.values()))
        try:
            events = self._checked("event", given["events"], self._events, now)
            labels = self._checked("label", given["labels"], self._labels, now)
        except RequestError:
            self._metrics.pushed("invalid", max(count, 1))
            raise
        return self._pushed(events, labels)

    def take_rows(self, rows: Rows, now: datetime) -> None:
        """Push the rows of a scored request that have a key: they are events from then on.

        That the store does not take them is told and counted, but no error: the scores stand.
        """
        events = [
            {**{name: values[row] for name, values in rows.columns.items()}, self._timestamp: time}
            for row, time in enumerate(rows.times)
        ]
        events = [event for event in events if all(event[name] is not None for name in self._key)]
        due = [event for event in events if event[self._timestamp] <= now + AHEAD]
        if ahead := len(events) - len(due):
            self._metrics.pushed("invalid", ahead)
            logger.error("%d scored requests are not among the events: they are of a time to come", ahead)
        try:
            self._pushed(due, [])
        except UnavailableError as error:
            logger.error("%d scored requests are not among the events: %s", len(due), error)

    def _checked(self, what: str, items: list[Any], fields: Mapping[str, Field], now: datetime) -> list[dict[str, Any]]:
        given, strange = by_column(fields, items)
        columns: dict[str, list[Any]] = {}
        wrong: dict[int, list[str]] = defaultdict(list)
        for name, values in given.items():
            columns[name], problems = checked(fields[name], values)
            for place, text in problems.items():
                wrong[place].append(f"{name}: {text}")
        for place, time in enumerate(columns[self._timestamp]):
            if time is not None and time > now + AHEAD:
                wrong[place].append(f"{self._timestamp}: {problem('more than a day ahead', time.isoformat())}")
        refused = {place: "; ".join(problems) for place, problems in wrong.items()} | strange
        if refused:
            raise RequestError(refusal(refused, len(items), what))
        return [{name: values[place] for name, values in columns.items()} for place in range(len(items))]

    def _pushed(self, events: list[dict[str, Any]], labels: list[dict[str, Any]]) -> Pushed:
        accepted = len(events) + len(labels)
        if not accepted:
            return Pushed(0, 0)
        of_events = [event for event in events if event.get(self._label) is not None]
        new_events, new_labels = 0, 0
        done: list[str] = []
        try:
            if refusal := self._other_key():
                self._metrics.pushed("error", accepted)
                raise _KeyChangedError(refusal)
            for key, log in self._logs.items():
                new_events = max(new_events, self._store.push(log, self._of_entities(events, log)))
                self._store.push_labels(log, self._of_labels(of_events, log))
                new_labels = max(new_labels, self._store.push_labels(log, self._of_labels(labels, log)))
                done.append(key)
        except _KeyChangedError:
            raise
        except UnavailableError as error:
            self._metrics.pushed("error", accepted)
            self._metrics.store_failed("push")
            took = f"; the events of {', '.join(done)} were taken, those of others not" if done else ""
            raise UnavailableError(f"{error}{took}; push them again: the same again changes nothing") from None
        self._metrics.pushed("ok", accepted)
        return Pushed(accepted, new_events + new_labels)

    def _other_key(self) -> str:
        """What is said where the logs know events by another key than this version does, since that was changed: an
        id of this version's would be no event's, or that of another event."""
        for log in self._logs.values():
            meta = self._store.meta(log)
            schema = EventSchema.model_validate_json(meta.schema) if meta else log.events
            if schema.key_in_order != log.events.key_in_order:
                return (
                    f"the events of {log.key} are known by {', '.join(schema.key)} now, and were by "
                    f"{', '.join(log.events.key)} when this version was trained; serve one that was trained since"
                )
        return ""

    def _of_entities(self, events: Sequence[Mapping[str, Any]], log: LogPlan) -> list[PushedEvent]:
        return [
            PushedEvent(event_id(log.events, event), event[log.key], micros(event[self._timestamp]), self._row(event))
            for event in events
            if event[log.key] is not None
        ]

    def _row(self, event: Mapping[str, Any]) -> bytes:
        return row_bytes({name: value for name, value in event.items() if name != self._label})

    def _of_labels(self, labels: Sequence[Mapping[str, Any]], log: LogPlan) -> list[PushedEvent]:
        if self._label not in (*log.events.numbers, *log.events.codes):
            return []
        return [
            PushedEvent(event_id(log.events, label), label[log.key], 0, label_bytes(label[self._label]))
            for label in labels
            if label[log.key] is not None
        ]


def _parts(body: bytes) -> dict[str, list[Any]]:
    content = orjson.loads(body)
    expected = 'allowed: {"events": [{column: value, ...}, ...], "labels": [{column: value, ...}, ...]}, or one of them'
    if not isinstance(content, dict) or not content or not content.keys() <= set(_PARTS):
        raise RequestError(f"the body is not as expected; {expected}")
    parts = {name: content.get(name, []) for name in _PARTS}
    for name, items in parts.items():
        if not isinstance(items, list):
            raise RequestError(f"{name}: found {shown(items)}; {expected}")
    count = sum(map(len, parts.values()))
    if not 1 <= count <= MAX_ROWS:
        raise RequestError(f"the request has {count} events and labels; allowed: 1 to {MAX_ROWS}")
    return parts


def _event_fields(manifest: Manifest) -> dict[str, Field]:
    if not manifest.events:
        return {}
    fields = {}
    for column in manifest.events.columns:
        if column.name in (*manifest.events.key, manifest.timestamp):
            fields[column.name] = Field(nullable(column, False), required=True)
        elif column.name == manifest.events.label:
            fields[column.name] = Field(nullable(column, True), required=False)
        else:
            fields[column.name] = Field(column, required=not column.nullable)
    return fields


def _label_fields(manifest: Manifest) -> dict[str, Field]:
    """The event's key, its label, the entities whose windows take the label, and other entities and the time if one
    likes."""
    if not manifest.events:
        return {}
    label, fields = manifest.events.label, {}
    taking = {key for key, log in manifest.online.logs.items() if label in (*log.events.numbers, *log.events.codes)}
    for column in manifest.events.columns:
        if column.name in (*manifest.events.key, label, *taking):
            fields[column.name] = Field(nullable(column, False), required=True)
        elif column.name in (*manifest.online.logs, manifest.timestamp):
            fields[column.name] = Field(nullable(column, True), required=False)
    return fields
