"""Tables of events as packed tails (see `tail` for their layout), one an entity."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serin.columns import TypeName
from serin.windows.aggregations import MISSING
from serin.windows.events import MAGNITUDE, NULL_TEXT, SIGN, EventSchema, code
from serin.windows.hops import Merged, merged
from serin.windows.narrow import narrow_integers, narrow_numbers, narrow_times
from serin.windows.tail import HEADER, HOPS_HEADER, LAYOUT, OFFSET, WITH_HOPS


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
        header = HEADER.pack(LAYOUT, len(self._columns), self._ids.width, end - start)
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
        found = HOPS_HEADER.pack(WITH_HOPS, self._raw_since, len(states)) + states + packing.of(raw, end)
        return min(whole, found, key=len)


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
        return [(own - own[0]).astype(OFFSET).tobytes(), self.data[int(own[0]) : int(own[-1])]]


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
    return ended.fill_null(pa.scalar(NULL_TEXT, pa.large_binary()))


def _number_bytes(column: pa.Array, kind: TypeName) -> pa.Array:
    data = pa.py_buffer(_ordered(column, kind).tobytes())
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), len(column), [None, data])
    return fixed.cast(pa.large_binary())


def _ordered(column: pa.Array, kind: TypeName) -> NDArray[Any]:
    """Numbers as 8 bytes each whose order is theirs; null comes last."""
    codes = _codes(column, kind)
    if kind == "number":
        codes = np.where(codes < 0, codes ^ MAGNITUDE, codes)
    flipped = codes.view(np.uint64) ^ np.uint64(SIGN)
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
