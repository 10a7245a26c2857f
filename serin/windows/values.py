"""The window features of one event, from its entity's tail."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.columns import TypeName
from serin.use_case import WindowFeature, WindowView
from serin.windows.aggregations import AGGREGATIONS, MISSING, Aggregation, Events, Moment
from serin.windows.tail import EventSchema, Tail, code, without

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class OwnEvent:
    """The event that the features are of: its time in microseconds since 1970, its id (None where its key is not
    known: it comes after all others of its time then) and the values of its columns."""

    time: int
    id: bytes | None
    values: Mapping[str, Any]


def window_values(view: WindowView, tail: Tail, schema: EventSchema, own: OwnEvent) -> list[float]:
    """The view's features in order, NaN where missing. An event of the tail with the id of `own` does not count twice:
    what `own` says of it holds. `schema` is the tail's."""
    if own.id is not None:
        tail = without(tail, own.id)
    before = _before(tail, own)
    return [_value(view, feature, tail, schema, own, before) for feature in view.features]


def reaches(feature: WindowFeature, hop: timedelta | None, time: int) -> int:
    """The earliest time, in microseconds since 1970, of which an event counts in the window at `time`."""
    end = time - (feature.delay + feature.window) // _MICROSECOND
    return end + 1 if hop is None else end - end % (hop // _MICROSECOND)


def _before(tail: Tail, own: OwnEvent) -> int:
    """How many events of the tail come before the own event."""
    place = int(np.searchsorted(tail.times, own.time, "right" if own.id is None else "left"))
    if own.id is not None:
        while place < len(tail.times) and tail.times[place] == own.time and tail.ids[place] < own.id:
            place += 1
    return place


def _value(
    view: WindowView, feature: WindowFeature, tail: Tail, schema: EventSchema, own: OwnEvent, before: int
) -> float:
    aggregation = AGGREGATIONS[feature.aggregation]
    start = int(np.searchsorted(tail.times, reaches(feature, view.hop, own.time)))
    end = before
    if feature.delay:
        end = int(np.searchsorted(tail.times, own.time - feature.delay // _MICROSECOND, "right"))
    taken = _taken(aggregation, feature, tail)
    state = aggregation.nothing
    if start < end:
        state = aggregation.update(Events(tail.times[start:end], taken[start:end]))
    kind = schema.codes.get(feature.column or "", "integer")
    if view.current and not feature.delay and feature.aggregation != "since_last":
        state = aggregation.merge(state, aggregation.update(_own(aggregation, feature, own, kind)))
    matched = code(own.values.get(feature.column or ""), kind) if feature.aggregation == "matches" else MISSING
    return aggregation.value(state, Moment(own.time, matched), feature)


def _taken(aggregation: Aggregation, feature: WindowFeature, tail: Tail) -> NDArray[Any]:
    """What the aggregation takes of each event of the tail."""
    if aggregation.takes == "nothing":
        return tail.times
    return (tail.numbers if aggregation.takes == "numbers" else tail.codes)[feature.column or ""]


def _own(aggregation: Aggregation, feature: WindowFeature, own: OwnEvent, kind: TypeName) -> Events:
    times = np.array([own.time], np.int64)
    if aggregation.takes == "nothing":
        return Events(times, times)
    value = own.values.get(feature.column or "")
    if aggregation.takes == "codes":
        return Events(times, np.array([code(value, kind)], np.int64))
    return Events(times, np.array([np.nan if value is None else value], np.float64))
