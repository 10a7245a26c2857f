"""Events and labels of a table, to the event logs of the online store: the next request sees them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.features.plan import log_plans
from serin.columns import TYPES
from serin.online.plan import LogPlan
from serin.online.store import OnlineStore, PushedEvent
from serin.platform import Platform
from serin.ports import ServedView
from serin.progress import say
from serin.times import micros
from serin.use_case import UseCase, WindowView
from serin.windows.events import EventSchema, event_id, label_bytes, row_bytes

_BATCH = 5_000  # events of one push


@dataclass(frozen=True)
class PushedTable:
    """How many events of a table were pushed to the logs of entity columns, and how many of those were not known to
    have been pushed before; `old` ones are of a time that no window reaches any more, `merged` ones of a time whose
    events are merged to hops online: windows with a hop count them from the next refresh on."""

    pushed: Mapping[str, int]
    new: Mapping[str, int]
    old: int
    merged: int = 0


def push_events(platform: Platform, case: UseCase, events: pa.Table) -> PushedTable:
    """Push events, and the labels that they have, to all logs of the use case. The same again changes nothing."""

    def push(store: OnlineStore, log: LogPlan, rows: Sequence[Mapping[str, Any]]) -> int:
        new = store.push(log, [_event(log, case, row) for row in rows])
        store.push_labels(log, _labels(log, case, rows))
        return new

    return _pushed(platform, case, events, push)


def push_labels(platform: Platform, case: UseCase, events: pa.Table) -> PushedTable:
    """Push the labels of events to the logs whose windows take them. The same again changes nothing."""

    def push(store: OnlineStore, log: LogPlan, rows: Sequence[Mapping[str, Any]]) -> int:
        return store.push_labels(log, _labels(log, case, rows))

    return _pushed(platform, case, events, push, of=case.label.column)


def _pushed(
    platform: Platform,
    case: UseCase,
    events: pa.Table,
    push: Callable[[OnlineStore, LogPlan, Sequence[Mapping[str, Any]]], int],
    of: str = "",
) -> PushedTable:
    store = platform.features.online
    pushed: dict[str, int] = {}
    new: dict[str, int] = {}
    oldest: list[int] = []
    merged = 0
    logs = _logs(platform, case)
    if not logs:
        say(f"no model of {case.name} reads events online: what comes is stored, and that is all")
    for log in logs:
        if of and of not in (*log.events.numbers, *log.events.codes):
            continue
        meta = store.meta(log)
        if meta is None:
            say(f"no events of {log.key} are online yet: `serin refresh {case.name}` brings all that are stored there")
            continue
        oldest.append(meta.start)
        rows = _since(events, case, log.key, meta.start)
        pushed[log.key], new[log.key] = len(rows), 0
        for batch in _batches(rows):
            new[log.key] += push(store, log, batch)
        say(f"{len(rows):,} of {log.key} are online, {new[log.key]:,} of them new there")
        schema = EventSchema.model_validate_json(meta.schema)
        merged = max(merged, len(rows) - len(_since(rows, case, log.key, schema.raw_since(meta.start))))
    old = len(events) - len(_since(events, case, "", min(oldest))) if oldest else 0
    return PushedTable(pushed, new, old, merged)


def _logs(platform: Platform, case: UseCase) -> list[LogPlan]:
    """The logs of all versions that may be served, each known by its name."""
    kept = platform.features.kept(case.name)
    views: list[ServedView] = [
        view
        for views in kept.values()
        for view in views
        if isinstance(view.definition, WindowView) and view.key in case.data.columns
    ]
    return list(log_plans(case, views, platform.features.project).values())


def _since(events: pa.Table, case: UseCase, key: str, start: int) -> pa.Table:
    """The events from `start` on that have an entity."""
    times = events[case.timestamp or ""].cast(TYPES["timestamp"].arrow).cast(pa.int64())
    kept = pc.greater_equal(times, start)
    return events.filter(pc.and_(kept, events[key].is_valid()) if key else kept)


def _batches(rows: pa.Table) -> Iterator[list[dict[str, Any]]]:
    for batch in rows.to_batches(max_chunksize=_BATCH):
        if batch.num_rows:
            yield batch.to_pylist()


def _event(log: LogPlan, case: UseCase, row: Mapping[str, Any]) -> PushedEvent:
    columns = {name: _plain(value, case, name) for name, value in row.items() if name != case.label.column}
    return PushedEvent(
        event_id(log.events, row), columns[log.key], micros(row[case.timestamp or ""]), row_bytes(columns)
    )


def _labels(log: LogPlan, case: UseCase, rows: Sequence[Mapping[str, Any]]) -> list[PushedEvent]:
    label = case.label.column
    if label not in (*log.events.numbers, *log.events.codes):
        return []
    return [
        PushedEvent(event_id(log.events, row), _plain(row[log.key], case, log.key), 0, label_bytes(int(row[label])))
        for row in rows
        if row[label] is not None
    ]


def _plain(value: Any, case: UseCase, name: str) -> Any:
    """A value as a request has it: a column of integers with nulls is stored as floats."""
    return int(value) if isinstance(value, float) and case.data.columns[name].type == "integer" else value
