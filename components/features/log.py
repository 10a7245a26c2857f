"""The event logs of the online store: of each entity the events that the windows reach, or hops of them.

A log is that of an entity column, for all versions of the use case's models. It is replaced as a whole; what was pushed
since stays beside it, until the data have it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.features.plan import log_plans
from serin.columns import TYPES, TypeName
from serin.errors import DataError
from serin.online.plan import LogPlan
from serin.online.store import EntityEvents, LogMeta, OnlineStore, PushedEvent
from serin.ports import ServedView
from serin.progress import say
from serin.times import DAY, EPOCH, micros
from serin.use_case import UseCase
from serin.windows.events import EventSchema, event_id, event_key
from serin.windows.packing import pack

# A request may be older than the refresh: its windows reach back further by as much.
_SLACK = DAY // timedelta(microseconds=1)


def publish_logs(
    online: OnlineStore,
    project: str,
    case: UseCase,
    views: Sequence[ServedView],
    as_of: datetime,
    events: Callable[[datetime], pa.Table],
) -> None:
    """Fill the logs that `views` (window views) read, each with what all of its views take. `project` has the views.

    `events` gives those before a time. A log never goes back: one that is later stays, where it has all that the views
    take; where not, it is made anew as of its own time. What was pushed and the data have by now is forgotten.
    """
    for log in log_plans(case, views, project).values():
        moment, there = as_of, online.meta(log)
        if there and there.end and there.end > micros(as_of):
            moment = EPOCH + timedelta(microseconds=there.end)
            if _has_all(there, log.events):
                say(f"the online store keeps the events of {log.key} as of {moment:%Y-%m-%d %H:%M}, which is later")
                continue
        rows = events(moment)
        meta = LogMeta(
            start=micros(moment) - log.events.since - _SLACK,
            end=micros(moment),
            # Without hops it reads as it did before there were any.
            schema=log.events.model_dump_json(exclude_defaults=True),
        )
        if there:
            _take_key(online, log, EventSchema.model_validate_json(there.schema))
        kept = _since(rows, log, meta.start)
        tails = pack(kept, log.key, log.events, log.events.raw_since(meta.start))
        count = online.publish(log, tails, meta)
        say(f"{len(kept):,} events of {count:,} of {log.key} as of {moment:%Y-%m-%d %H:%M} are online")
        _forget(online, log, rows, meta.start, case.label.column)


def _take_key(online: OnlineStore, log: LogPlan, before: EventSchema) -> None:
    """Give what was pushed the ids of the log's key, where that was another one before: an id of that would be no
    event's any more, or that of another event. What lacks a column of the key is forgotten, and so
    is a label whose event was not pushed."""
    if before.key_in_order == log.events.key_in_order:
        return
    pushed = online.pushed(log)
    rows = {name: json.loads(row) for one in pushed.values() for name, row in one.pushed.items()}
    keyed = [name for name, row in rows.items() if all(row.get(column) is not None for column in log.events.key)]
    ids = {name: event_id(log.events, rows[name]) for name in keyed}
    of_events = {key: _changed(one.pushed, ids) for key, one in pushed.items()}
    of_labels = {key: _changed(one.labels, ids) for key, one in pushed.items()}
    online.push(
        log,
        [
            PushedEvent(ids[name], key, rows[name][log.events.timestamp], row)
            for key, name, row in _with_id(of_events, ids)
        ],
    )
    online.push_labels(log, [PushedEvent(ids[name], key, 0, row) for key, name, row in _with_id(of_labels, ids)])
    online.forget(log, of_events)
    online.forget_labels(log, of_labels)
    lost = {name for some in of_labels.values() for name in some} - ids.keys()
    say(
        f"{log.key}: events were known by {', '.join(before.key) or 'nothing'} and are by "
        f"{', '.join(log.events.key) or 'nothing'} now (data.key); {len(ids):,} pushed events are taken over"
    )
    if lost or len(rows) > len(ids):
        say(
            f"{log.key}: {len(rows) - len(ids):,} pushed events and {len(lost):,} pushed labels can't be told by the "
            "new key and are forgotten; push them again"
        )


def _with_id(pushed: Mapping[Any, Mapping[bytes, bytes]], ids: Mapping[bytes, bytes]) -> list[tuple[Any, bytes, bytes]]:
    """Entity, id before and row of what has an id now."""
    return [(key, name, row) for key, some in pushed.items() for name, row in some.items() if name in ids]


def _changed(pushed: Mapping[bytes, bytes], ids: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """What has another id by now, or none."""
    return {name: row for name, row in pushed.items() if ids.get(name) != name}


def _has_all(there: LogMeta, wanted: EventSchema) -> bool:
    """Whether a log has what the windows take, as far back as they reach."""
    schema = EventSchema.model_validate_json(there.schema)
    return (
        set(wanted.numbers) <= set(schema.numbers)
        and wanted.codes.items() <= schema.codes.items()
        and (wanted.timestamp, wanted.key_in_order) == (schema.timestamp, schema.key_in_order)
        and wanted.since <= there.end - there.start
        and _is_as_fine(there, schema, wanted)
    )


def _is_as_fine(there: LogMeta, schema: EventSchema, wanted: EventSchema) -> bool:
    """Whether a log has events one by one as far back as they are wanted so, and the hops that are wanted before."""
    raw = there.end - schema.raw_since(there.start)
    if wanted.since <= raw:
        return True
    hops = all(set(states) <= set(schema.hops.get(hop, ())) for hop, states in wanted.hops.items())
    return wanted.raw is not None and wanted.raw <= raw and hops


def _since(events: pa.Table, log: LogPlan, start: int) -> pa.Table:
    """The events from `start` on, with the columns of the log."""
    schema = log.events
    names = dict.fromkeys((log.key, schema.timestamp, *schema.key, *schema.numbers, *schema.codes))
    return events.select(list(names)).filter(pc.greater_equal(_times(events, schema), start))


def _times(events: pa.Table, schema: EventSchema) -> pa.ChunkedArray:
    return events[schema.timestamp].cast(TYPES["timestamp"].arrow).cast(pa.int64())


def _forget(online: OnlineStore, log: LogPlan, events: pa.Table, start: int, label: str) -> None:
    """Forget what was pushed and is in the data, or is too old for any window.

    A label that was pushed by itself is forgotten once the data say the same: until then it is the later word.
    """
    pushed = online.pushed(log)
    if not pushed or not log.events.key:
        return
    stored = _stored(events, log.events, pushed.values(), label)
    old = {name for name, (time, _) in stored.items() if time < start}

    def is_known_event(_: bytes, row: bytes) -> bool:
        event = json.loads(row)
        return event_id(log.events, event) in stored or event[log.events.timestamp] < start

    def is_known_label(name: bytes, row: bytes) -> bool:
        return name in old or (name in stored and stored[name][1] == json.loads(row))

    known = _chosen({key: one.pushed for key, one in pushed.items()}, is_known_event)
    labels = _chosen({key: one.labels for key, one in pushed.items()}, is_known_label)
    gone, told = online.forget(log, known), online.forget_labels(log, labels)
    left = sum(len(one.pushed) for one in pushed.values()) - gone
    if gone or told or left:
        say(
            f"{log.key}: {gone:,} pushed events and {told:,} pushed labels are in the data now, or too old for any "
            f"window; {left:,} pushed events are not"
        )


def _chosen(
    pushed: Mapping[Any, Mapping[bytes, bytes]], known: Callable[[bytes, bytes], bool]
) -> dict[Any, dict[bytes, bytes]]:
    found = {key: {name: row for name, row in rows.items() if known(name, row)} for key, rows in pushed.items()}
    return {key: rows for key, rows in found.items() if rows}


def _stored(
    events: pa.Table, schema: EventSchema, pushed: Iterable[EntityEvents], label: str
) -> dict[bytes, tuple[int, Any]]:
    """Of what was pushed, the time and the label of those events that the data have, by id, whatever their entity."""
    keys_of: dict[bytes, Mapping[str, Any]] = {}
    for one in pushed:
        events_of = map(json.loads, one.pushed.values())
        keys_of |= {
            event_id(schema, row): {name: _typed(row.get(name), kind) for name, kind in schema.key.items()}
            for row in events_of
        }
        for name in one.labels.keys() - keys_of.keys():
            # One of another key is that of no stored event.
            with suppress(DataError):
                keys_of[name] = event_key(schema, name)
    keys = list(keys_of.values())
    for column, kind in schema.key.items():
        some = pa.array(list({key[column] for key in keys}), TYPES[kind].arrow)
        events = events.filter(pc.is_in(events[column], value_set=some))
    times, labels = _times(events, schema).to_pylist(), events[label].to_pylist()
    ids = [event_id(schema, row) for row in events.select(list(schema.key)).to_pylist()]
    return {name: (time, said) for name, time, said in zip(ids, times, labels, strict=True) if name in keys_of}


def _typed(value: Any, kind: TypeName) -> Any:
    """A value of a pushed row, whose times are microseconds."""
    return EPOCH + timedelta(microseconds=value) if kind == "timestamp" and value is not None else value
