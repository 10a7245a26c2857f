"""Which stored event each row of the prediction log is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NONE, SEVERAL = -1, -2


@dataclass(frozen=True)
class Matched:
    """Of each of n logged rows the place of its stored event, NONE or SEVERAL; and whether it was found by its key.

    `moved` marks rows whose event has another time or entity in the store than it was served with: it was corrected.
    """

    places: NDArray[np.int64]
    by_key: NDArray[np.bool_]
    moved: NDArray[np.bool_]


def match(logged: pa.Table, stored: pa.Table, key: Sequence[str], alike: Mapping[str, str]) -> Matched:
    """Find each logged row among the stored events.

    Where a row has all columns of `key`, its event is the one with that key. Where it lacks one, it is the event that
    equals it in the columns of `alike` (logged column to stored column: entity keys and the time); a row without one of
    these is none. Columns of `key` have the same names in both tables.
    """
    count = len(logged)
    nothing = np.full(count, NONE, np.int64)
    by_key = np.ones(count, bool) if key else np.zeros(count, bool)
    for name in key:
        by_key &= logged[name].is_valid().to_numpy(zero_copy_only=False)
    keyed = _places(logged, stored, {name: name for name in key}) if key else nothing
    found = _places(logged, stored, alike) if alike else nothing
    places = np.where(by_key, keyed, found)
    moved = by_key & (places >= 0) & ~_equal(logged, stored, places, alike)
    return Matched(places, by_key & (places != NONE), moved)


def _places(logged: pa.Table, stored: pa.Table, on: Mapping[str, str]) -> NDArray[np.int64]:
    """The place of the one stored row that equals each logged one in the columns `on`; nulls equal nothing."""
    names = [f"c{place}" for place in range(len(on))]
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("logged", _numbered(logged, on, names))
        connection.register("stored", _numbered(stored, on.values(), names))
        found = connection.sql(
            "select logged.at as at, min(stored.at) as found, count(*) as how_many "  # noqa: S608
            f"from logged join stored using ({', '.join(names)}) group by logged.at"
        ).fetchnumpy()
    places = np.full(len(logged), NONE, np.int64)
    places[found["at"]] = np.where(found["how_many"] == 1, found["found"], SEVERAL)
    return places


def _numbered(table: pa.Table, columns: Iterable[str], names: Sequence[str]) -> pa.Table:
    chosen = pa.table([table[name] for name in columns], names=list(names))
    return chosen.append_column("at", pa.array(np.arange(len(table), dtype=np.int64)))


def _equal(
    logged: pa.Table, stored: pa.Table, places: NDArray[np.int64], alike: Mapping[str, str]
) -> NDArray[np.bool_]:
    same = np.ones(len(places), bool)
    there = np.flatnonzero(places >= 0)
    for ours, theirs in alike.items():
        one = logged[ours].take(pa.array(there)).to_pylist()
        other = stored[theirs].take(pa.array(places[there])).to_pylist()
        same[there] &= np.fromiter((a == b for a, b in zip(one, other, strict=True)), bool, len(there))
    return same
