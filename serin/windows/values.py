"""The window features of one event, from its entity's tail."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from serin.use_case import WindowFeature, WindowView
from serin.windows.aggregations import AGGREGATIONS, MISSING, Aggregation, Events, Moment
from serin.windows.events import EventSchema, code
from serin.windows.hops import Hops
from serin.windows.tail import Tail, without

_MICROSECOND = timedelta(microseconds=1)
_NAN = float("nan")
_UNKNOWN = object()  # the state of a window that merged hops do not tell


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """The event that the features are of: its time in microseconds since 1970, its id (None where its key is not
    known: it comes after all others of its time then) and the values of its columns."""

    time: int
    id: bytes | None
    values: Mapping[str, Any]


class WindowReader:
    """Computes a view's features from tails with the columns of a schema.

    All that does not depend on the event is prepared here, and windows that features share are looked at once.
    """

    def __init__(self, view: WindowView, schema: EventSchema) -> None:
        self._hop = view.hop // _MICROSECOND if view.hop else None
        self._schema = schema
        self._windows: list[_Window] = []
        self._states: list[_State] = []
        self._places: dict[Any, int] = {}  # of the states
        self._features = [self._prepared(view, feature) for feature in view.features]
        self._furthest = max((window.length for window in self._windows), default=0)
        self._all_there = all(feature.state is not None for feature in self._features)

    def values(self, tail: Tail, own: OwnEvent) -> list[float]:
        """The features in order, NaN where missing or not to be known of merged hops or this log.

        An event of the tail with the id of `own` does not count twice: what `own` says of it holds; one that is merged
        to a hop has no id any more. The tail is of the reader's schema.
        """
        tail, before = _others(tail, own)
        times, codes = tail.times.data, _Codes(own, self._schema)
        spans = [self._span(window, times, before, own.time, tail.hops) for window in self._windows]
        states = [self._state(state, spans[state.window], tail, own, codes) for state in self._states]
        moment = Moment(own.time)
        found = []
        for feature in self._features:
            state = _UNKNOWN if feature.state is None else states[feature.state]
            if state is _UNKNOWN:
                found.append(_NAN)
                continue
            if feature.matched is not None:
                moment = Moment(own.time, codes.of(feature.matched))
            found.append(feature.aggregation.value(state, moment, feature.definition))
        return found

    def known(self, time: int, start: int) -> Sequence[bool]:
        """Of each feature whether a log that begins at `start` has all that counts in its window at `time`, both in
        microseconds since 1970."""
        raw_since = self._schema.raw_since(start)
        if self._all_there and self._first(self._furthest, time) >= max(start, raw_since):
            return [True] * len(self._features)
        return [
            feature.state is not None and self._is_known(self._states[feature.state], time, start, raw_since)
            for feature in self._features
        ]

    def _prepared(self, view: WindowView, feature: WindowFeature) -> "_Feature":
        aggregation, column = AGGREGATIONS[feature.aggregation], feature.column or ""
        columns = {"nothing": (column,), "numbers": self._schema.numbers, "codes": self._schema.codes}
        if column not in columns[aggregation.takes]:  # of a log that was filled for other windows
            return _Feature(feature, aggregation, None, None)
        delay = feature.delay // _MICROSECOND
        lengths = _Window(delay + feature.window // _MICROSECOND, delay)
        if lengths not in self._windows:
            self._windows.append(lengths)
        window = self._windows.index(lengths)
        merged = (aggregation.kept, column) in self._schema.hops.get(1 if self._hop is None else self._hop, ())
        takes_own = view.current and not delay and feature.aggregation != "since_last"
        # A sum and a mean are made of one state.
        place = self._places.setdefault((window, aggregation.update, column), len(self._states))
        if place == len(self._states):
            self._states.append(_State(window, aggregation, column, merged, takes_own))
        return _Feature(feature, aggregation, place, column if feature.aggregation == "matches" else None)

    def _first(self, length: int, time: int) -> int:
        """The earliest time of which an event counts in a window of some length at `time`."""
        end = time - length
        return end + 1 if self._hop is None else end - end % self._hop

    def _is_known(self, state: "_State", time: int, start: int, raw_since: int) -> bool:
        return self._first(self._windows[state.window].length, time) >= start and self._is_held(state, time, raw_since)

    def _is_held(self, state: "_State", time: int, raw_since: int) -> bool:
        """Whether the window at `time` holds whole hops of those that are merged, or none.

        Events at `time` itself count by their key, so they must be there one by one.
        """
        window = self._windows[state.window]
        return self._first(window.length, time) >= raw_since or (state.merged and time - window.delay >= raw_since)

    def _span(
        self, window: "_Window", times: memoryview, before: int, time: int, hops: Hops | None
    ) -> tuple[int, int, int]:
        """The places of the tail's events in a window, from the first to before the second; and its earliest time."""
        first = self._first(window.length, time)
        end = bisect_right(times, time - window.delay) if window.delay else before
        # What was pushed of the time before may be merged already.
        start = bisect_left(times, max(first, hops.raw_since) if hops else first, 0, end)
        return start, end, first

    def _state(self, state: "_State", span: tuple[int, int, int], tail: Tail, own: OwnEvent, codes: "_Codes") -> Any:
        """What a window comes to; _UNKNOWN where merged hops do not tell."""
        hops, aggregation = tail.hops, state.aggregation
        if hops and not self._is_held(state, own.time, hops.raw_since):
            return _UNKNOWN
        start, end, first = span
        found = aggregation.nothing
        if start < end:
            found = aggregation.update(Events(tail.times[start:end], _taken(state, tail)[start:end]))
        if hops and first < hops.raw_since:
            merged = hops.since(1 if self._hop is None else self._hop, first, aggregation.kept, state.column)
            found = aggregation.merge(aggregation.of_hops(merged), found)
        if state.takes_own:
            found = aggregation.merge(found, aggregation.one(_own_value(state, own, codes)))
        return found


class _Window(NamedTuple):
    """How long before the event a window begins, and how long before it ends, in microseconds."""

    length: int
    delay: int


class _State(NamedTuple):
    """What one or more features are made of: an aggregation of a column over a window (its place). `merged`: hops of it
    are kept; `takes_own`: the event counts in its own window."""

    window: int
    aggregation: Aggregation
    column: str
    merged: bool
    takes_own: bool


class _Feature(NamedTuple):
    """A feature, the place of its state (None where the log lacks its column), and the column of which it takes the
    event's own code."""

    definition: WindowFeature
    aggregation: Aggregation
    state: int | None
    matched: str | None


class _Codes:
    """The codes of the event's own values, each made once."""

    def __init__(self, own: OwnEvent, schema: EventSchema) -> None:
        self._own, self._schema = own, schema
        self._found: dict[str, int] = {}

    def of(self, column: str) -> int:
        """A column's."""
        if column not in self._found:
            self._found[column] = code(self._own.values.get(column), self._schema.codes[column])
        return self._found[column]


def _others(tail: Tail, own: OwnEvent) -> tuple[Tail, int]:
    """The tail in which no window holds the own event, and how many of its events come before it."""
    times = tail.times.data
    place = None if own.id is None else tail.place(own.id)
    if place is not None and own.id is not None:
        if times[place] == own.time:  # each window ends before it
            return tail, place
        tail = without(tail, own.id)
        times = tail.times.data
    if own.id is None:
        return tail, bisect_right(times, own.time)
    before = bisect_left(times, own.time)
    while before < len(times) and times[before] == own.time and tail.ids[before] < own.id:
        before += 1
    return tail, before


def _taken(state: _State, tail: Tail) -> Any:
    """What the aggregation takes of each event of the tail."""
    takes = state.aggregation.takes
    if takes == "nothing":
        return tail.times
    return tail.numbers[state.column] if takes == "numbers" else tail.codes[state.column]


def _own_value(state: _State, own: OwnEvent, codes: _Codes) -> Any:
    """What the aggregation takes of the event itself, None where it is missing."""
    takes = state.aggregation.takes
    if takes == "nothing":
        return own.time
    if takes == "codes":
        found = codes.of(state.column)
        return None if found == MISSING else found
    value = own.values.get(state.column)
    return None if value is None or value != value else float(value)
