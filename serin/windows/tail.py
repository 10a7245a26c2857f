"""The latest events of one entity, as the online store keeps them.

A packed tail is a header (layout, number of columns, bytes of an id, number of events), a letter for each column that
says how its numbers are written, and the columns one after the other: times, numbers, codes, ids. Numbers are written
as narrow as all of one `pack` stay exact, which a reader sees in the letters alone.

Where windows have a hop, an entity of many events has a second layout: when its events begin, the length of the states
of whole hops (see serin.windows.hops), these states of all events before, and a tail of the first layout of those from
then on.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from serin.columns import TypeName
from serin.errors import DataError
from serin.times import EPOCH, micros
from serin.windows.aggregations import MISSING
from serin.windows.hops import Hops, Merged, States, merged, unpack_hops
from serin.windows.narrow import DTYPES, SECONDS, narrow_integers, narrow_numbers, narrow_times

_LAYOUT, _WITH_HOPS = 1, 2
_HEADER = struct.Struct("<BBHI")
_HOPS_HEADER = struct.Struct("<BqI")
_OFFSET = np.dtype("<u4")
_SIGN = 1 << 63
_MAGNITUDE = _SIGN - 1
# Where ids are ordered, null comes last, as it does in a query. No UTF-8 begins with this byte.
_NULL_TEXT, _NULL_NUMBER = b"\xff\0", b"\xff" * 8


class EventSchema(BaseModel):
    """What is kept online of each event: the columns that the windows of an entity take, and what orders ties.

    `numbers` are kept as float64 (NaN: missing), `codes` as int64 that tell values apart (see `code`); a column may be
    among both. `key` is `data.key` with its types: the order of ties, and what a pushed event is known by. `since` is
    how far back the windows reach, in microseconds.

    `hops` are the states that windows with a hop take of whole hops, by the hop in microseconds. With them events need
    be there one by one only as far back as `raw`: what windows without a hop reach, and the delays of the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    timestamp: str
    key: dict[str, TypeName]
    numbers: tuple[str, ...] = ()
    codes: dict[str, TypeName] = {}
    since: int
    raw: int | None = None
    hops: dict[int, States] = {}

    def raw_since(self, start: int) -> int:
        """From when on a log that begins at `start` (microseconds since 1970) has events one by one."""
        return start if self.raw is None else start + self.since - self.raw

    @property
    def key_in_order(self) -> tuple[tuple[str, TypeName], ...]:
        """The key's columns with their types; in another order they make other ids."""
        return tuple(self.key.items())


@dataclass(frozen=True)
class Tail:
    """n events of one entity in the order of time, ties in that of their ids. `times` are microseconds since 1970.

    An id is the event's key as bytes whose order is the key's (see `event_id`). `hops` is what is known of the events
    before those; where it is None, the events are all that there are.
    """

    times: NDArray[np.int64]
    ids: Sequence[bytes]
    numbers: Mapping[str, NDArray[np.float64]]
    codes: Mapping[str, NDArray[np.int64]]
    hops: Hops | None = None

    def place(self, event: bytes) -> int | None:
        """Where the event with that id is; None where it is not."""
        if isinstance(self.ids, _PackedIds | _ChosenIds):
            return self.ids.place(event)
        return self.ids.index(event) if event in self.ids else None

    def chosen(self, order: NDArray[np.int64]) -> "Tail":
        """The events at those places, in that order."""
        return Tail(
            self.times[order],
            _ChosenIds(self.ids, (), order),
            {name: values[order] for name, values in self.numbers.items()},
            {name: values[order] for name, values in self.codes.items()},
            self.hops,
        )


def event_id(schema: EventSchema, row: Mapping[str, Any]) -> bytes:
    """The event's key as bytes: an integer as 8 bytes, big-endian with the sign's bit flipped; a text as UTF-8 and a 0
    byte; several one after the other. The order of the bytes is the order of the keys, column by column."""
    return b"".join(_key_bytes(row.get(name), kind) for name, kind in schema.key.items())


def event_key(schema: EventSchema, event: bytes) -> dict[str, Any]:
    """The key that `event_id` made an id of; None where it is null. Raises DataError for an id of another key."""
    found: dict[str, Any] = {}
    rest = event
    try:
        for name, kind in schema.key.items():
            length = rest.index(b"\0") + 1 if kind == "text" else 8
            found[name], rest = _of_bytes(rest[:length], kind), rest[length:]
    except (ValueError, OverflowError):
        found = {}
    if not found or rest or event_id(schema, found) != event:
        raise DataError(f"an event's id is {event.hex()}, which is none of the key {', '.join(schema.key)}")
    return found


def code(value: Any, kind: TypeName) -> int:
    """What tells values of a column apart: an integer itself, true 1 and false 0, the bits of a float64, the first 8
    bytes of a text's BLAKE2b, the microseconds of a time; MISSING for None and NaN."""
    if value is None or value != value:
        return MISSING
    if kind == "text":
        return int.from_bytes(hashlib.blake2b(value.encode()).digest()[:8], "little", signed=True)
    if kind == "number":
        return int(np.array(value + 0.0, np.float64).view(np.int64))  # -0.0 is 0.0
    return micros(value) if isinstance(value, datetime) else int(value)


def row_bytes(row: Mapping[str, Any]) -> bytes:
    """A pushed event's columns as JSON: equal rows are equal bytes. Times are microseconds since 1970."""
    plain = {name: micros(value) if isinstance(value, datetime) else value for name, value in row.items()}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def label_bytes(value: Any) -> bytes:
    """A pushed label as JSON: equal labels are equal bytes."""
    return json.dumps(value).encode()


def pack(
    events: pa.Table, entity: str, schema: EventSchema, raw_since: int | None = None
) -> Iterator[tuple[Any, bytes]]:
    """The tail of each entity in `events`, packed, with the entity's key; entities in order.

    Events before `raw_since` (microseconds since 1970) are merged to the schema's hops, of each entity where that is
    smaller. Events without an entity or a time are in no tail.
    """
    events = events.filter(pc.and_(events[entity].is_valid(), events[schema.timestamp].is_valid()))
    order = [(name, "ascending") for name in (entity, schema.timestamp, *schema.key)]
    events = events.take(pc.sort_indices(events, sort_keys=order))
    entities = events[entity].combine_chunks()
    if pa.types.is_floating(entities.type):  # a nullable integer, as ingest stores it
        entities = entities.cast(pa.int64())
    entities = entities.dictionary_encode()
    starts = np.flatnonzero(np.diff(entities.indices.to_numpy(zero_copy_only=False), prepend=-1)).tolist()
    ends = [*starts[1:], len(events)]
    packing = _Packing(events, schema)
    hops = _Merging(events, schema, raw_since) if schema.hops and raw_since is not None else None
    # Without an event there is one end, and no start.
    for key, start, end in zip(entities.dictionary.to_pylist(), starts, ends, strict=False):
        whole = packing.of(start, end)
        yield key, hops.shorter(whole, packing, start, end) if hops else whole


class _Packing:
    """Events in order, ready to be packed."""

    def __init__(self, events: pa.Table, schema: EventSchema) -> None:
        written = _written(events, schema)
        self._columns = [(memoryview(array.tobytes()), array.itemsize) for _, array in written]
        self._letters = b"".join(letter for letter, _ in written)
        self._ids = _ids(events, schema)

    def of(self, start: int, end: int) -> bytes:
        """Those from start to end, one by one."""
        header = _HEADER.pack(_LAYOUT, len(self._columns), self._ids.width, end - start)
        parts = (data[start * size : end * size] for data, size in self._columns)
        return b"".join([header, self._letters, *parts, *self._ids.of(start, end)])


class _Merging:
    """Events in order, ready to be merged to hops where they are before `raw_since`."""

    def __init__(self, events: pa.Table, schema: EventSchema, raw_since: int) -> None:
        self._hops, self._raw_since = schema.hops, raw_since
        self._events = Merged(
            _codes(events[schema.timestamp].combine_chunks(), "timestamp"),
            {name: _floats(events[name].combine_chunks()) for name in schema.numbers},
            {name: _codes(events[name].combine_chunks(), kind) for name, kind in schema.codes.items()},
        )
        # Of each event how many hops have begun by then: a part's last less its first, plus one a size, is what it has.
        times = self._events.times
        self._begun = np.zeros(len(times), np.int64)
        for hop in schema.hops:
            self._begun += np.cumsum(np.diff(times // hop, prepend=0) != 0)

    def shorter(self, whole: bytes, packing: _Packing, start: int, end: int) -> bytes:
        """The events from start to end, the older ones merged, or else `whole`, all of them one by one."""
        raw = start + int(np.searchsorted(self._events.times[start:end], self._raw_since))
        # Entities with about one event a hop are most of all, and have nothing to gain.
        if raw == start or self._begun[raw - 1] - self._begun[start] + len(self._hops) >= raw - start:
            return whole
        states = merged(self._events.part(start, raw), self._hops)
        found = _HOPS_HEADER.pack(_WITH_HOPS, self._raw_since, len(states)) + states + packing.of(raw, end)
        return min(whole, found, key=len)


def unpack(packed: bytes | None, schema: EventSchema) -> Tail:
    """A packed tail; None is the tail of an entity that has none.

    Raises DataError for one that was packed in another layout or with another schema.
    """
    if packed is None:
        return _none(schema)
    if packed[0] != _WITH_HOPS:
        return _unpacked(packed, schema)
    _, raw_since, length = _HOPS_HEADER.unpack_from(packed)
    end = _HOPS_HEADER.size + length
    hops = unpack_hops(packed[_HOPS_HEADER.size : end], schema.hops, raw_since)
    return replace(_unpacked(packed[end:], schema), hops=hops)


def _unpacked(packed: bytes, schema: EventSchema) -> Tail:
    """A packed tail of the first layout."""
    layout, columns, width, count = _HEADER.unpack_from(packed)
    expected = 1 + len(schema.numbers) + len(schema.codes)
    if (layout, columns) != (_LAYOUT, expected):
        raise DataError(
            f"an entity's events are packed in layout {layout} with {columns} columns; "
            f"expected: layout {_LAYOUT} with {expected}"
        )
    offset = _HEADER.size + columns
    letters = packed[_HEADER.size : offset]
    found: list[NDArray[Any]] = []
    for letter in letters:
        dtype = DTYPES[letter]
        found.append(np.frombuffer(packed, dtype, count, offset))
        offset += count * dtype.itemsize
    times = found[0].astype(np.int64)
    if letters[:1] == SECONDS:
        times *= 1_000_000
    numbers, codes = found[1 : 1 + len(schema.numbers)], found[1 + len(schema.numbers) :]
    return Tail(
        times,
        _PackedIds(packed, offset, width, count),
        {name: values.astype(np.float64) for name, values in zip(schema.numbers, numbers, strict=True)},
        {name: values.astype(np.int64) for name, values in zip(schema.codes, codes, strict=True)},
    )


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
    order = _in_order(times, _ChosenIds(tail.ids, ids, np.arange(len(times))), keep)
    return Tail(
        times[order],
        _ChosenIds(tail.ids, ids, order),
        {name: values[order] for name, values in numbers.items()},
        {name: values[order] for name, values in codes.items()},
        tail.hops,
    )


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
        _ChosenIds(tail.ids, tuple(rows), range(len(tail.times) + len(rows))),
        {name: joined(values, [_float(row.get(name)) for row in new]) for name, values in tail.numbers.items()},
        {
            name: joined(values, [code(row.get(name), schema.codes[name]) for row in new])
            for name, values in tail.codes.items()
        },
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


def without(tail: Tail, event: bytes) -> Tail:
    """The tail without the event of that id, where it has it."""
    place = tail.place(event)
    return tail if place is None else tail.chosen(np.delete(np.arange(len(tail.times)), place))


class _PackedIds(Sequence[bytes]):
    """The ids in a packed tail, read when they are asked for."""

    def __init__(self, packed: bytes, offset: int, width: int, count: int) -> None:
        self._packed, self._offset, self._width, self._count = packed, offset, width, count

    @cached_property
    def _bounds(self) -> NDArray[np.int64]:
        """Where in the bytes each begins, and the last one ends, where they are not all as wide."""
        relative = np.frombuffer(self._packed, _OFFSET, self._count + 1, self._offset)
        return relative.astype(np.int64) + self._offset + relative.nbytes

    def place(self, event: bytes) -> int | None:
        """Where an id is; None where it is not."""
        if not self._count or not event:
            return None
        if self._width:
            return self._place_of_fixed(event)
        bounds = self._bounds
        found = self._packed.find(event, bounds[0])
        while found >= 0:
            place = int(np.searchsorted(bounds, found))
            if place < self._count and bounds[place] == found and bounds[place + 1] == found + len(event):
                return place
            found = self._packed.find(event, found + 1)
        return None

    def _place_of_fixed(self, event: bytes) -> int | None:
        """The same of ids that are all as wide."""
        if len(event) != self._width:
            return None
        end = self._offset + self._width * self._count
        found = self._packed.find(event, self._offset, end)
        while found >= 0:
            place, within = divmod(found - self._offset, self._width)
            if not within:
                return place
            found = self._packed.find(event, found + 1, end)
        return None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self._count))]
        place = range(self._count)[index]
        if self._width:
            start = self._offset + self._width * place
            return self._packed[start : start + self._width]
        return self._packed[self._bounds[place] : self._bounds[place + 1]]


class _ChosenIds(Sequence[bytes]):
    """Some of `first` and `more`, one after the other, in an order; read when they are asked for."""

    def __init__(self, first: Sequence[bytes], more: Sequence[bytes], order: "NDArray[np.int64] | range") -> None:
        self._first, self._more, self._order = first, more, order

    def place(self, event: bytes) -> int | None:
        """Where an id is; None where it is not."""
        places = [len(self._first) + self._more.index(event)] if event in self._more else []
        if isinstance(self._first, _PackedIds | _ChosenIds):
            places += [place] if (place := self._first.place(event)) is not None else []
        elif event in self._first:
            places.append(self._first.index(event))
        if not places or isinstance(self._order, range):
            return places[0] if places else None
        found = np.flatnonzero(np.isin(self._order, places)).tolist()
        return found[0] if found else None

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        place = int(self._order[index])
        beyond = place - len(self._first)
        return self._first[place] if beyond < 0 else self._more[beyond]


def _none(schema: EventSchema) -> Tail:
    return Tail(
        np.empty(0, np.int64),
        (),
        {name: np.empty(0) for name in schema.numbers},
        {name: np.empty(0, np.int64) for name in schema.codes},
    )


def _key_bytes(value: Any, kind: TypeName) -> bytes:
    if kind == "text":
        return _NULL_TEXT if value is None else value.encode() + b"\0"
    if value is None:
        return _NULL_NUMBER
    return (_ascending(code(value, kind), kind) + _SIGN).to_bytes(8, "big")


def _ascending(code_of_it: int, kind: TypeName) -> int:
    """A code as a number that is in order; the bits of negative floats run the other way."""
    return code_of_it ^ _MAGNITUDE if kind == "number" and code_of_it < 0 else code_of_it


def _of_bytes(part: bytes, kind: TypeName) -> Any:
    if part in (_NULL_TEXT, _NULL_NUMBER):
        return None
    if kind == "text":
        return part[:-1].decode()
    number = int.from_bytes(part, "big") - _SIGN
    if kind == "number":
        return float(np.array(_ascending(number, kind), np.int64).view(np.float64))
    if kind == "timestamp":
        return EPOCH + timedelta(microseconds=number)
    return bool(number) if kind == "boolean" else number


@dataclass(frozen=True)
class _Ids:
    """The ids of all events as bytes, one after the other: `width` bytes each, or between `bounds` where that is 0."""

    data: memoryview
    width: int
    bounds: NDArray[np.int64]

    def of(self, start: int, end: int) -> list[memoryview | bytes]:
        """What a tail of the events from start to end has of them."""
        if self.width:
            return [self.data[start * self.width : end * self.width]]
        own = self.bounds[start : end + 1]
        return [(own - own[0]).astype(_OFFSET).tobytes(), self.data[int(own[0]) : int(own[-1])]]


def _ids(events: pa.Table, schema: EventSchema) -> _Ids:
    columns = [(events[name].combine_chunks(), kind) for name, kind in schema.key.items()]
    if not columns:
        return _Ids(memoryview(b""), 0, np.zeros(len(events) + 1, np.int64))
    if all(kind != "text" for _, kind in columns):
        # Stacked numbers are in the machine's order of bytes again.
        numbers = np.stack([_ordered(column, kind) for column, kind in columns], axis=1).astype(">u8")
        return _Ids(memoryview(numbers.tobytes()), 8 * len(columns), np.empty(0, np.int64))
    parts = [_text_bytes(column) if kind == "text" else _number_bytes(column, kind) for column, kind in columns]
    joined = pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))
    _, offsets, data = joined.buffers()
    bounds = np.frombuffer(offsets, np.int64, len(joined) + 1, joined.offset * 8)
    return _Ids(memoryview(data if data is not None else b""), 0, bounds)


def _text_bytes(column: pa.Array) -> pa.Array:
    texts = column.cast(pa.large_binary())
    end = pa.scalar(b"\0", pa.large_binary())
    ended = pc.binary_join_element_wise(texts, pa.scalar(b"", pa.large_binary()), end)
    return ended.fill_null(pa.scalar(_NULL_TEXT, pa.large_binary()))


def _number_bytes(column: pa.Array, kind: TypeName) -> pa.Array:
    data = pa.py_buffer(_ordered(column, kind).tobytes())
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), len(column), [None, data])
    return fixed.cast(pa.large_binary())


def _ordered(column: pa.Array, kind: TypeName) -> NDArray[Any]:
    """Numbers as 8 bytes each whose order is theirs; null comes last."""
    codes = _codes(column, kind)
    if kind == "number":
        codes = np.where(codes < 0, codes ^ _MAGNITUDE, codes)
    flipped = codes.view(np.uint64) ^ np.uint64(_SIGN)
    flipped[column.is_null().to_numpy(zero_copy_only=False)] = np.iinfo(np.uint64).max
    return flipped.astype(">u8")


def _written(events: pa.Table, schema: EventSchema) -> list[tuple[bytes, NDArray[Any]]]:
    """Times, numbers and codes of all events, each as it is written, and the letter that says how."""
    times = _codes(events[schema.timestamp].combine_chunks(), "timestamp")
    return [
        narrow_times(times),
        *(narrow_numbers(_floats(events[name].combine_chunks())) for name in schema.numbers),
        *(narrow_integers(_codes(events[name].combine_chunks(), kind)) for name, kind in schema.codes.items()),
    ]


def _floats(column: pa.Array) -> NDArray[np.float64]:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    floats: NDArray[np.float64] = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return floats


def _codes(column: pa.Array, kind: TypeName) -> NDArray[np.int64]:
    """`code` of each value."""
    if kind == "number":
        values = _floats(column)
        return np.where(np.isnan(values), MISSING, (values + 0.0).view(np.int64))
    if kind == "text":
        encoded = column.dictionary_encode()
        of_each = np.array([code(value, kind) for value in encoded.dictionary.to_pylist()] + [MISSING], np.int64)
        places: NDArray[np.int64] = encoded.indices.fill_null(len(of_each) - 1).to_numpy(zero_copy_only=False)
        return of_each[places]
    if kind == "timestamp":
        column = column.cast(pa.timestamp("us", tz="UTC"), safe=False)
    codes: NDArray[np.int64] = column.cast(pa.int64()).fill_null(int(MISSING)).to_numpy(zero_copy_only=False)
    return codes.copy()


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
