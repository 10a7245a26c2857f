"""The events of one entity merged to one state a hop, for windows whose far end is rounded to a hop.

Of each hop that has events the states are kept that the windows take: how many events there are, the time of the
latest, of a column the known values' count and sum, the least and the greatest, and how often each code is there. A
window takes whole hops of them and, from then on, events one by one (see serin.windows.aggregations).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.windows.aggregations import MISSING, HopState
from serin.windows.narrow import Reader, narrow_integers, narrow_numbers, narrow_times, written

# The states of a hop, each with its column; that is "" where it is of none.
States = tuple[tuple[HopState, str], ...]
Arrays = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Hops:
    """What is known of an entity's events before `raw_since` (microseconds since 1970).

    `states` has, by the hop in microseconds and by state, the starts of the hops in order, and beside them the arrays
    that `Aggregation.of_hops` takes.
    """

    raw_since: int
    states: Mapping[int, Mapping[tuple[HopState, str], tuple[NDArray[np.int64], Arrays]]]

    def since(self, hop: int, first: int, state: HopState, column: str) -> Arrays:
        """A state's arrays of the hops that begin at `first` or later. Raises KeyError where it was not kept."""
        starts, arrays = self.states[hop][state, column]
        place = int(np.searchsorted(starts, first))
        return tuple(array[place:] for array in arrays)


@dataclass(frozen=True)
class Merged:
    """n events in order that are to be merged, as a tail has them."""

    times: NDArray[np.int64]
    numbers: Mapping[str, NDArray[np.float64]]
    codes: Mapping[str, NDArray[np.int64]]

    def part(self, start: int, end: int) -> "Merged":
        """The events from start to end."""
        return Merged(
            self.times[start:end],
            {name: values[start:end] for name, values in self.numbers.items()},
            {name: values[start:end] for name, values in self.codes.items()},
        )


def merged(events: Merged, hops: Mapping[int, States]) -> bytes:
    """The states of events (one or more of one entity, in the order of time), packed, hop by hop and state by state."""
    parts: list[bytes] = []
    for hop, states in hops.items():
        numbers = events.times // hop
        firsts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        parts.append(written(narrow_integers(numbers[firsts])))
        for state, column in states:
            parts += _packed_state(events, firsts, state, column)
    return b"".join(parts)


def unpack_hops(packed: bytes, hops: Mapping[int, States], raw_since: int) -> Hops:
    """What `merged` packed with the same `hops`. Raises DataError where it was packed with others."""
    reader = Reader(packed)
    found: dict[int, dict[tuple[HopState, str], tuple[NDArray[np.int64], Arrays]]] = {}
    for hop, states in hops.items():
        starts = reader.integers() * hop
        found[hop] = {(state, column): _read_state(reader, starts, state) for state, column in states}
    reader.check_ended()
    return Hops(raw_since, found)


def _packed_state(events: Merged, firsts: NDArray[np.int64], state: HopState, column: str) -> list[bytes]:
    """A state's arrays; `firsts` are the places of each hop's first event."""
    if state == "count":
        return [written(narrow_integers(np.diff(firsts, append=len(events.times))))]
    if state == "latest":
        return [written(narrow_times(events.times[np.append(firsts[1:], len(events.times)) - 1]))]
    if state == "codes":
        return _packed_codes(events.codes[column], firsts)
    values = events.numbers[column]
    if state == "sum":
        known = ~np.isnan(values)
        counts = np.add.reduceat(known.astype(np.int64), firsts)
        sums = np.add.reduceat(np.where(known, values, 0.0), firsts)
        return [written(narrow_integers(counts)), written(narrow_numbers(sums))]
    extreme = np.fmin if state == "min" else np.fmax
    return [written(narrow_numbers(extreme.reduceat(values, firsts)))]


def _packed_codes(codes: NDArray[np.int64], firsts: NDArray[np.int64]) -> list[bytes]:
    """The codes that there are; then, of each hop and code that meet, the hop's place, the code's, and how often."""
    hops = np.repeat(np.arange(len(firsts)), np.diff(firsts, append=len(codes)))
    known = codes != MISSING
    names, places = np.unique(codes[known], return_inverse=True)
    pairs, counts = np.unique(hops[known] * max(len(names), 1) + places, return_counts=True)
    of_hop, of_code = np.divmod(pairs, max(len(names), 1))
    return [written(narrow_integers(array)) for array in (names, of_hop, of_code, counts)]


def _read_state(reader: Reader, starts: NDArray[np.int64], state: HopState) -> tuple[NDArray[np.int64], Arrays]:
    if state == "codes":
        names, of_hop, of_code, counts = (reader.integers() for _ in range(4))
        return starts[of_hop], (names[of_code], counts)
    if state == "sum":
        return starts, (reader.integers(), reader.numbers())
    return starts, (reader.integers() if state in ("count", "latest") else reader.numbers(),)
