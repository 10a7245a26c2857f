"""The window features of many events at once: one query of DuckDB, out of core.

What does not fit into the memory allowed is worked on in buckets by a hash of the entity.
"""

import math
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serin.errors import DataError, first_line
from serin.use_case import WindowView
from serin.windows.frames import Frames

# How many times over DuckDB holds a row while it works on it: as it came, sorted, and in trees for its frames.
_COPIES = 4
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

# Of some rows: their places in the result, and one column of values a feature.
Part = tuple[NDArray[np.int64], list[NDArray[np.float64]]]


@dataclass(frozen=True)
class Columns:
    """The columns that every window needs: the entity's, the timestamp, and `data.key` for the order of ties."""

    entity: str
    timestamp: str
    key: tuple[str, ...]


def window_features(
    events: pa.Table, view: WindowView, columns: Columns, asked: pa.Table | None = None, *, memory: str = "2GB"
) -> pa.Table:
    """The features of each of `events`, each as known at its own time, or of each row of `asked`.

    Rows of `asked` have the columns of `events` that the windows take (own values), and are no events to any but
    themselves; one whose key is an event's is that event. Without key columns in `asked` a row comes after all events
    of its time, and a column that it lacks is missing in all its rows. An event without an entity knows itself only.
    Returns one double column a feature, rows in the order given, null where a feature is missing.

    `memory` is what DuckDB may take, as "2GB"; the tables given and the one returned come beside it.
    Raises DataError where the events of one entity don't fit into it.
    """
    allowed = _bytes(memory)
    taken = list(dict.fromkeys(feature.column for feature in view.features if feature.column))
    found = np.full((len(view.features), len(events if asked is None else asked)), np.nan)
    with tempfile.TemporaryDirectory(prefix="serin-windows-") as folder, duckdb.connect() as connection:
        settings = {"memory_limit": memory, "temp_directory": folder, "preserve_insertion_order": False}
        for name, value in settings.items():
            connection.execute(f"set {name} = $value", {"value": value})
        connection.register("events", _by_place(events, columns, taken, events.schema))
        types = dict(connection.sql("select column_name, column_type from (describe events)").fetchall())
        kinds = {name: types[f"c{place}"].lower() for place, name in enumerate(taken)}
        query = _Query(connection, Frames(view, kinds, len(columns.key)), allowed)
        if asked is not None:
            connection.register("asked", _by_place(asked, columns, taken, events.schema))
        try:
            for places, values in query.of_events() if asked is None else query.of_asked():
                found[:, places] = values
        except duckdb.OutOfMemoryException as error:
            raise DataError(
                f"windows of {view.entity}: the events of one {columns.entity} don't fit into {memory} of memory "
                f"({first_line(error)})"
            ) from None
    names = [feature.name for feature in view.features]
    return pa.table([pa.array(column, from_pandas=True) for column in found], names=names)


@dataclass(frozen=True)
class _Query:
    """What is selected from the tables `events` and `asked`, whose columns are named by their place."""

    connection: duckdb.DuckDBPyConnection
    frames: Frames
    memory: int

    def of_events(self) -> Iterator[Part]:
        """The features of all events."""
        rows = "select *, place as out from events where {bucket}"
        yield from self._in_buckets(rows, self._count("events"), "entity", self._entity("events"))

    def of_asked(self) -> Iterator[Part]:
        """The features of what is asked about: first of what stands among the events as it is, then of the rest."""
        self.connection.execute(f"create temp table same as {self._same()}")
        self.connection.execute(
            "create temp table other as select * from asked where place not in (select same.out from same)"
        )
        if self._count("same"):
            own = "events semi join same using (entity)"
            rows = f"select events.*, same.out from ({own}) as events left join same on same.place = events.place"  # noqa: S608
            yield from self._in_buckets(rows + " where {bucket}", self._count(f"({own})"), "events.entity", "entity")
        if self._count("other"):
            count = self._count(f"({self._alone('true')})")
            yield from self._in_buckets(self._alone("{bucket}"), count, "other.place", "alone")

    def _in_buckets(self, rows: str, count: int, hashed: str, part: str) -> Iterator[Part]:
        """The values of the rows that `rows` gives, as many at once as fit; `count` is how many these are."""
        buckets = max(1, math.ceil(count * self.frames.width * _COPIES / self.memory))
        for bucket in range(buckets):
            within = f"hash({hashed}) % {buckets} = {bucket}" if buckets > 1 else "true"
            found = self.connection.sql(self.frames.select(rows.format(bucket=within), part)).fetchnumpy()
            yield np.asarray(found["out"]), [np.ma.filled(found[name], np.nan) for name in self.frames.names]

    def _count(self, table: str) -> int:
        ((count,),) = self.connection.sql(f"select count(*) from {table}").fetchall()  # noqa: S608
        return int(count)

    def _entity(self, table: str) -> str:
        """What events are of one entity by: without one, each stands by itself."""
        if self._count(f"{table} where entity is null"):
            return "entity, case when entity is null then place end"
        return "entity"

    def _same(self) -> str:
        """The query of events that are asked about as they stand, with the place of the row that asks. Of two such rows
        one is answered here."""
        if not self._keys:
            return "select place, entity, place as out from events where false"
        equal = " and ".join(f"asked.{name} = events.{name}" for name in ("entity", "t", *self._keys))
        own = "".join(f" and asked.{name} is not distinct from events.{name}" for name in self.frames.own())
        return (
            "select events.place, events.entity, min(asked.place) as out "  # noqa: S608
            f"from events join asked on {equal}{own} group by events.place, events.entity"
        )

    def _alone(self, bucket: str) -> str:
        """The query of rows that are asked about, each with a copy of the events that it can see: all of its entity
        that the windows reach, but for the one whose key it has."""
        names = ["entity", "t", *self._keys, *(f"c{place}" for place in range(len(self.frames.columns)))]
        itself = " and ".join(f"events.{name} = other.{name}" for name in self._keys) or "false"
        return f"""
            select other.place as alone, {", ".join(f"events.{name}" for name in names)}, events.place, null as out
            from other join events on events.entity = other.entity
             and events.t between other.t - {self.frames.reach()} and other.t
            where not coalesce({itself}, false) and {bucket}
            union all
            select place as alone, {", ".join(names)}, null as place, place as out from other where {bucket}
        """  # noqa: S608

    @property
    def _keys(self) -> list[str]:
        return [f"k{place}" for place in range(self.frames.keys)]


def _by_place(table: pa.Table, columns: Columns, taken: list[str], schema: pa.Schema) -> pa.Table:
    """The columns under the names that the query has for them, in the types of `schema`; what is lacking is null."""
    times = table[columns.timestamp].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    found = {"entity": _column(table, columns.entity, schema), "t": times}
    found |= {f"k{place}": _column(table, name, schema) for place, name in enumerate(columns.key)}
    found |= {f"c{place}": _column(table, name, schema) for place, name in enumerate(taken)}
    return pa.table(found | {"place": np.arange(len(table), dtype=np.int64)})


def _column(table: pa.Table, name: str, schema: pa.Schema) -> pa.ChunkedArray | pa.Array:
    kind = schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return table[name].cast(kind) if name in table.column_names else pa.nulls(len(table), kind)


def _bytes(memory: str) -> int:
    """A size as DuckDB takes it. Raises ValueError for another."""
    found = re.fullmatch(r"(\d+) ?(\w+)", memory)
    if not found or found[2] not in _UNITS:
        raise ValueError(f"memory: {memory!r} is no size; allowed: a whole number and one of {', '.join(_UNITS)}")
    return int(found[1]) * _UNITS[found[2]]
