"""The window features of one event, from its entity's tail."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.use_case import WindowFeature, WindowView
from serin.windows.aggregations import AGGREGATIONS, MISSING, Aggregation, Events, Moment, Takes
from serin.windows.events import EventSchema, code
from serin.windows.tail import Tail, without

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class OwnEvent:
    """The event that the features are of: its time in microseconds since 1970, its id (None where its key is not
    known: it comes after all others of its time then) and the values of its columns."""

    time: int
    id: bytes | None
    values: Mapping[str, Any]


def window_values(view: WindowView, tail: Tail, schema: EventSchema, own: OwnEvent) -> list[float]:
    """The view's features in order, NaN where missing or not to be known of merged hops. An event of the tail with the
    id of `own` does not count twice: what `own` says of it holds; one that is merged to a hop has no id any more.
    `schema` is the tail's."""
    if own.id is not None:
        tail = without(tail, own.id)
    counted = _Counted(view, tail, schema, own, _before(tail, own))
    return [counted.value(feature) for feature in view.features]


def reaches(feature: WindowFeature, hop: timedelta | None, time: int) -> int:
    """The earliest time, in microseconds since 1970, of which an event counts in the window at `time`."""
    end = time - (feature.delay + feature.window) // _MICROSECOND
    return end + 1 if hop is None else end - end % (hop // _MICROSECOND)


def is_known(feature: WindowFeature, hop: timedelta | None, time: int, schema: EventSchema, start: int) -> bool:
    """Whether a log that begins at `start` (microseconds since 1970) has all that counts in the window at `time`."""
    first = reaches(feature, hop, time)
    merged = (hop or _MICROSECOND) // _MICROSECOND
    return first >= start and _is_held(feature, hop, time, schema.raw_since(start), schema.hops.get(merged, ()))


def _is_held(
    feature: WindowFeature, hop: timedelta | None, time: int, raw_since: int, states: Collection[tuple[str, str]]
) -> bool:
    """Whether the window at `time` holds whole hops of those that are merged, or none.

    `states` are those that are kept of a hop. Events at `time` itself count by their key, so they must be there.
    """
    if reaches(feature, hop, time) >= raw_since:
        return True
    needed = AGGREGATIONS[feature.aggregation].kept, feature.column or ""
    return needed in states and time - feature.delay // _MICROSECOND >= raw_since


def _before(tail: Tail, own: OwnEvent) -> int:
    """How many events of the tail come before the own event."""
    place = int(np.searchsorted(tail.times, own.time, "right" if own.id is None else "left"))
    if own.id is not None:
        while place < len(tail.times) and tail.times[place] == own.time and tail.ids[place] < own.id:
            place += 1
    return place


class _Counted:
    """What counts in the windows of one event. Features share what they have in common."""

    def __init__(self, view: WindowView, tail: Tail, schema: EventSchema, own: OwnEvent, before: int) -> None:
        self._view, self._tail, self._schema, self._own, self._before = view, tail, schema, own, before
        self._hop = (view.hop or _MICROSECOND) // _MICROSECOND
        self._frames: dict[tuple[timedelta, timedelta], tuple[int, int]] = {}
        self._owns: dict[tuple[Takes, str | None], Events] = {}

    def value(self, feature: WindowFeature) -> float:
        aggregation = AGGREGATIONS[feature.aggregation]
        hops = self._tail.hops
        if hops and not _is_held(
            feature, self._view.hop, self._own.time, hops.raw_since, hops.states.get(self._hop, ())
        ):
            return np.nan
        start, end = self._frame(feature)
        state = aggregation.nothing
        if start < end:
            taken = self._taken(aggregation, feature)
            state = aggregation.update(Events(self._tail.times[start:end], taken[start:end]))
        first = reaches(feature, self._view.hop, self._own.time)
        if hops and first < hops.raw_since:
            merged = hops.since(self._hop, first, aggregation.kept, feature.column or "")
            state = aggregation.merge(aggregation.of_hops(merged), state)
        if self._view.current and not feature.delay and feature.aggregation != "since_last":
            state = aggregation.merge(state, aggregation.update(self._of_own(aggregation, feature.column)))
        matched = self._code(feature.column) if feature.aggregation == "matches" else MISSING
        return aggregation.value(state, Moment(self._own.time, matched), feature)

    def _frame(self, feature: WindowFeature) -> tuple[int, int]:
        """The places of the tail's events in the feature's window, from the first to before the second."""
        lengths = feature.window, feature.delay
        if lengths not in self._frames:
            times, end = self._tail.times, self._before
            if feature.delay:
                end = int(np.searchsorted(times, self._own.time - feature.delay // _MICROSECOND, "right"))
            first = reaches(feature, self._view.hop, self._own.time)
            if self._tail.hops:  # what was pushed of the time before may be merged already
                first = max(first, self._tail.hops.raw_since)
            start = int(np.searchsorted(times, first))
            self._frames[lengths] = start, end
        return self._frames[lengths]

    def _taken(self, aggregation: Aggregation, feature: WindowFeature) -> NDArray[Any]:
        """What the aggregation takes of each event of the tail."""
        if aggregation.takes == "nothing":
            return self._tail.times
        return (self._tail.numbers if aggregation.takes == "numbers" else self._tail.codes)[feature.column or ""]

    def _of_own(self, aggregation: Aggregation, column: str | None) -> Events:
        which = aggregation.takes, column
        if which not in self._owns:
            times = np.array([self._own.time], np.int64)
            self._owns[which] = Events(times, self._own_taken(aggregation.takes, column))
        return self._owns[which]

    def _own_taken(self, takes: Takes, column: str | None) -> NDArray[Any]:
        if takes == "nothing":
            return np.empty(1)
        if takes == "codes":
            return np.array([self._code(column)], np.int64)
        value = self._own.values.get(column or "")
        return np.array([np.nan if value is None else value], np.float64)

    def _code(self, column: str | None) -> int:
        return code(self._own.values.get(column or ""), self._schema.codes[column or ""])
