"""The latest events of one entity, as the online store keeps them: packed by `packing`, read here.

A packed tail is a header (layout, number of columns, bytes of an id, number of events), a letter for each column that
says how its numbers are written, and the columns one after the other: times, numbers, codes, ids. Numbers are written
as narrow as all of one `pack` stay exact, which a reader sees in the letters alone.

Where windows have a hop, an entity of many events has a second layout: when its events begin, the length of the states
of whole hops (see serin.windows.hops), these states of all events before, and a tail of the first layout of those from
then on.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from serin.errors import DataError
from serin.windows.events import EventSchema
from serin.windows.hops import Hops, unpack_hops
from serin.windows.narrow import DTYPES, SECONDS

LAYOUT, WITH_HOPS = 1, 2
HEADER = struct.Struct("<BBHI")
HOPS_HEADER = struct.Struct("<BqI")
OFFSET = np.dtype("<u4")


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
        if isinstance(self.ids, _PackedIds | ChosenIds):
            return self.ids.place(event)
        return self.ids.index(event) if event in self.ids else None

    def chosen(self, order: NDArray[np.int64]) -> "Tail":
        """The events at those places, in that order."""
        return Tail(
            self.times[order],
            ChosenIds(self.ids, (), order),
            {name: values[order] for name, values in self.numbers.items()},
            {name: values[order] for name, values in self.codes.items()},
            self.hops,
        )


def unpack(packed: bytes | None, schema: EventSchema) -> Tail:
    """A packed tail; None is the tail of an entity that has none.

    Raises DataError for one that was packed in another layout or with another schema.
    """
    if packed is None:
        return _none(schema)
    if packed[0] != WITH_HOPS:
        return _unpacked(packed, schema)
    _, raw_since, length = HOPS_HEADER.unpack_from(packed)
    end = HOPS_HEADER.size + length
    hops = unpack_hops(packed[HOPS_HEADER.size : end], schema.hops, raw_since)
    return replace(_unpacked(packed[end:], schema), hops=hops)


def without(tail: Tail, event: bytes) -> Tail:
    """The tail without the event of that id, where it has it."""
    place = tail.place(event)
    return tail if place is None else tail.chosen(np.delete(np.arange(len(tail.times)), place))


def _unpacked(packed: bytes, schema: EventSchema) -> Tail:
    """A packed tail of the first layout."""
    layout, columns, width, count = HEADER.unpack_from(packed)
    expected = 1 + len(schema.numbers) + len(schema.codes)
    if (layout, columns) != (LAYOUT, expected):
        raise DataError(
            f"an entity's events are packed in layout {layout} with {columns} columns; "
            f"expected: layout {LAYOUT} with {expected}"
        )
    offset = HEADER.size + columns
    letters = packed[HEADER.size : offset]
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


def _none(schema: EventSchema) -> Tail:
    return Tail(
        np.empty(0, np.int64),
        (),
        {name: np.empty(0) for name in schema.numbers},
        {name: np.empty(0, np.int64) for name in schema.codes},
    )


class _PackedIds(Sequence[bytes]):
    """The ids in a packed tail, read when they are asked for."""

    def __init__(self, packed: bytes, offset: int, width: int, count: int) -> None:
        self._packed, self._offset, self._width, self._count = packed, offset, width, count

    @cached_property
    def _bounds(self) -> NDArray[np.int64]:
        """Where in the bytes each begins, and the last one ends, where they are not all as wide."""
        relative = np.frombuffer(self._packed, OFFSET, self._count + 1, self._offset)
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


class ChosenIds(Sequence[bytes]):
    """Some of `first` and `more`, one after the other, in an order; read when they are asked for."""

    def __init__(self, first: Sequence[bytes], more: Sequence[bytes], order: "NDArray[np.int64] | range") -> None:
        self._first, self._more, self._order = first, more, order

    def place(self, event: bytes) -> int | None:
        """Where an id is; None where it is not."""
        places = [len(self._first) + self._more.index(event)] if event in self._more else []
        if isinstance(self._first, _PackedIds | ChosenIds):
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
