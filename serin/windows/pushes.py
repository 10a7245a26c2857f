"""Tails with what was pushed since they were packed: events, and labels of events."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.times import micros
from serin.windows.events import EventSchema, code, event_id
from serin.windows.tail import ChosenIds, Tail


def with_pushed(tail: Tail, pushed: Sequence[Mapping[str, Any]], schema: EventSchema) -> Tail:
    """The tail with events that were pushed since; each takes the place of one with its id.

    They are as `row_bytes` has them. Of a column that one does not name, the event that it takes the place of keeps its
    value. Of two with one id the later one holds.
    """
    if not pushed:
        return tail
    rows = {event_id(schema, row): row for row in pushed}
    replaced = [tail.place(event) for event in rows]
    if all(place is None for place in replaced) and (later := _at_the_end(tail, rows, schema)):
        # Which most are, and quicker to add.
        return _with_later(tail, {event: rows[event] for event in later}, schema)
    keep = np.ones(len(tail.times), bool)
    keep[[place for place in replaced if place is not None]] = False
    before = list(zip(rows.values(), replaced, strict=True))
    times = np.concatenate([tail.times, [_time(row, schema) for row in rows.values()]]).astype(np.int64)
    numbers = {
        name: np.concatenate([values, [_number(row, name, values, place) for row, place in before]])
        for name, values in tail.numbers.items()
    }
    codes = {
        name: np.concatenate([values, [_code(row, name, schema, values, place) for row, place in before]]).astype(
            np.int64
        )
        for name, values in tail.codes.items()
    }
    ids = tuple(rows)
    order = _in_order(times, ChosenIds(tail.ids, ids, np.arange(len(times))), keep)
    return Tail(
        times[order],
        ChosenIds(tail.ids, ids, order),
        {name: values[order] for name, values in numbers.items()},
        {name: values[order] for name, values in codes.items()},
        tail.hops,
    )


def with_labels(tail: Tail, labels: Mapping[bytes, Any], label: str, schema: EventSchema) -> Tail:
    """The tail with what was said since of the label (a column) of some of its events, by their ids.

    Of an event that is not among them it says nothing.
    """
    places = {place: value for event, value in labels.items() if (place := tail.place(event)) is not None}
    if not places or (label not in tail.numbers and label not in tail.codes):
        return tail
    where = np.array(list(places))
    numbers, codes = dict(tail.numbers), dict(tail.codes)
    if label in numbers:
        numbers[label] = numbers[label].copy()
        numbers[label][where] = [_float(value) for value in places.values()]
    if label in codes:
        codes[label] = codes[label].copy()
        codes[label][where] = [code(value, schema.codes[label]) for value in places.values()]
    return replace(tail, numbers=numbers, codes=codes)


def _at_the_end(tail: Tail, rows: Mapping[bytes, Mapping[str, Any]], schema: EventSchema) -> list[bytes]:
    """The ids of events in order, where all of them are later than the tail's; otherwise none."""
    order = sorted((_time(row, schema), event) for event, row in rows.items())
    later = not len(tail.times) or order[0][0] > tail.times[-1]
    return [event for _, event in order] if later else []


def _with_later(tail: Tail, rows: Mapping[bytes, Mapping[str, Any]], schema: EventSchema) -> Tail:
    """The tail with events, in order, that are later than all of its own."""
    new = rows.values()

    def joined(before: NDArray[Any], values: list[Any]) -> NDArray[Any]:
        return np.concatenate((before, np.array(values, before.dtype)))

    return Tail(
        joined(tail.times, [_time(row, schema) for row in new]),
        ChosenIds(tail.ids, tuple(rows), range(len(tail.times) + len(rows))),
        {name: joined(values, [_float(row.get(name)) for row in new]) for name, values in tail.numbers.items()},
        {
            name: joined(values, [code(row.get(name), schema.codes[name]) for row in new])
            for name, values in tail.codes.items()
        },
        tail.hops,
    )


def _time(row: Mapping[str, Any], schema: EventSchema) -> int:
    value = row[schema.timestamp]
    return micros(value) if isinstance(value, datetime) else int(value)


def _float(value: Any) -> float:
    return np.nan if value is None else float(value)


def _number(row: Mapping[str, Any], name: str, before: NDArray[np.float64], place: int | None) -> float:
    if name not in row and place is not None:
        return float(before[place])
    return _float(row.get(name))


def _code(row: Mapping[str, Any], name: str, schema: EventSchema, before: NDArray[np.int64], place: int | None) -> int:
    if name not in row and place is not None:
        return int(before[place])
    return code(row.get(name), schema.codes[name])


def _in_order(times: NDArray[np.int64], ids: Sequence[bytes], keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The places of those events that are kept or stand behind `keep`, in order of time; ties in that of their ids.
    Those that `keep` tells of are in order already."""
    more = np.arange(len(keep), len(times))
    places = np.concatenate([np.flatnonzero(keep), more])
    order = places[np.argsort(times[places], kind="stable")]
    ordered = times[order]
    for time in np.unique(times[more]):
        start, end = np.searchsorted(ordered, time), np.searchsorted(ordered, time, "right")
        if end - start > 1:
            order[start:end] = sorted(order[start:end].tolist(), key=ids.__getitem__)
    return order
