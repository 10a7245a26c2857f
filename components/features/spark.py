"""Window features on Spark, for more events than one machine can hold.

Spark spreads the events by a hash of their entity, and each part runs the very query that one machine would run on all
of them (serin.windows.query): there is one declaration, and one way from it to the values. Executors need the image of
the pipeline steps.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from components.features.engine import Engine
from serin import environment, storage
from serin.errors import UnavailableError
from serin.progress import say
from serin.spark import Cluster, address, cluster_at, session, shared_folder, told_of_failures, written
from serin.use_case import UseCase, WindowView
from serin.windows.query import Columns, window_features

_ROWS_A_FILE = 1_000_000
# Of one part, which an executor holds as a whole while it works on it; few entities make fewer and larger parts.
_ROWS_A_PART = 500_000
_THREADS = 2  # of Spark within this process, where the runner says nothing else
# Names that two engines read alike, whatever the user's columns are called.
_PLACE, _PART = "place", "part"


def window_engine(case: UseCase, master: str, state: str) -> Engine:
    """What computes the windows of a use case: `window_features`, or with `features.engine` spark the same on Spark.

    `master` is the Spark master, "" for one within this process; `state` the storage, where a cluster finds the events.
    Raises UnavailableError where it would not.
    """
    if case.features.engine != "spark":
        return window_features
    return partial(
        window_features_on_spark, cluster=cluster_at(master, state), threads=environment.threads() or _THREADS
    )


def window_features_on_spark(
    events: pa.Table,
    view: WindowView,
    columns: Columns,
    asked: pa.Table | None = None,
    *,
    memory: str = "2GB",
    cluster: Cluster,
    threads: int = _THREADS,
) -> pa.Table:
    """See serin.windows.query.window_features. `memory` is what the query may take in each of an executor's processes;
    `threads` how many there are where Spark runs within this process.

    Raises UnavailableError: Spark is not installed here, can't be reached, or a job failed there.
    """
    features = [feature.name for feature in view.features]
    rows = len(events if asked is None else asked)
    if not rows:
        return pa.table({name: pa.array([], pa.float64()) for name in features})
    spark = session(cluster, threads, "features.engine")
    parts = max(2 * int(spark.conf.get("spark.sql.shuffle.partitions")), math.ceil(len(events) / _ROWS_A_PART))
    say(f"windows: {len(events):,} events go to Spark at {cluster.master}, in {parts:,} parts")
    job = _Job(view, columns, events.schema, parts, memory)
    tables = [job.shipped(table) for table in (events, asked) if table is not None]
    with told_of_failures(cluster):
        found = _over_the_wire(spark, tables, job) if cluster.is_connect else _by_files(spark, cluster, tables, job)
    return _in_order(found, rows, features, cluster)


@dataclass(frozen=True)
class _Job:
    """What the executors do. Columns go there by their place, so no name of the user's can be one that Spark takes for
    another."""

    view: WindowView
    columns: Columns
    schema: pa.Schema
    parts: int
    memory: str

    @property
    def names(self) -> list[str]:
        """The columns that the windows take, the entity's first."""
        taken = [feature.column for feature in self.view.features if feature.column]
        return list(dict.fromkeys([self.columns.entity, self.columns.timestamp, *self.columns.key, *taken]))

    def shipped(self, table: pa.Table) -> pa.Table:
        """What goes there of a table, in the types of the events, so that equal keys have equal hashes."""
        shipped = {
            f"c{place}": table[name].cast(_plain(self.schema.field(name).type))
            for place, name in enumerate(self.names)
            if name in table.column_names
        }
        return pa.table(shipped | {_PLACE: np.arange(len(table), dtype=np.int64)})

    def plan(self, frames: Sequence[Any]) -> Any:
        """The features of the events, or of the rows asked about: Spark's data frames in, one of Spark's out."""
        from pyspark.sql import functions as f

        result = ", ".join([f"{_PLACE} long", *(f"f{place} double" for place in range(len(self.view.features)))])
        part = f.pmod(f.hash("c0"), f.lit(self.parts))
        events, *asked = (frame.withColumn(_PART, part).groupBy(_PART) for frame in frames)
        compute = _computation(self.view, self.columns, self.names, self.memory)
        if asked:
            return events.cogroup(asked[0]).applyInArrow(compute, result)
        # Spark tells by the number of arguments what a function wants.
        return events.applyInArrow(lambda table: compute(table, None), result)


def _plain(kind: pa.DataType) -> pa.DataType:
    """What Parquet and Spark both have: no dictionaries, and times in microseconds."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(kind) else kind


def _computation(
    view: WindowView, columns: Columns, names: Sequence[str], memory: str
) -> Callable[[pa.Table, pa.Table | None], pa.Table]:
    """What an executor does with one part: the events of some entities, and what is asked about them."""

    def named(table: pa.Table) -> pa.Table:
        ours = [column for column in table.column_names if column not in (_PLACE, _PART)]
        return table.select(ours).rename_columns([names[int(column[1:])] for column in ours])

    def compute(events: pa.Table, asked: pa.Table | None) -> pa.Table:
        rows = events if asked is None else asked
        found = window_features(named(events), view, columns, None if asked is None else named(asked), memory=memory)
        return pa.table([rows[_PLACE], *found.columns], names=[_PLACE, *(f"f{n}" for n in range(len(found.columns)))])

    return compute


def _by_files(spark: Any, cluster: Cluster, tables: Sequence[pa.Table], job: _Job) -> pa.Table:
    """By Parquet files, which the driver need not hold."""
    with shared_folder(cluster) as folder:
        frames = [
            spark.read.parquet(*written(_pieces(table), f"{folder}/{place}")) for place, table in enumerate(tables)
        ]
        job.plan(frames).write.parquet(address(f"{folder}/result"))
        return pa.concat_tables([storage.read_file(file) for file in storage.files(f"{folder}/result")])


def _over_the_wire(spark: Any, tables: Sequence[pa.Table], job: _Job) -> pa.Table:
    """By the connection to a Spark Connect server, whose executors may have no storage in common with this machine."""
    return job.plan([spark.createDataFrame(table) for table in tables]).toArrow()


def _pieces(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, max(1, len(table)), _ROWS_A_FILE):
        yield table.slice(start, _ROWS_A_FILE)


def _in_order(found: pa.Table, rows: int, features: Sequence[str], cluster: Cluster) -> pa.Table:
    """The values in the order of the rows. Raises UnavailableError where some are missing or there twice."""
    places = found[_PLACE].to_numpy()
    order = np.argsort(places)
    if not np.array_equal(places[order], np.arange(rows)):
        raise UnavailableError(
            f"Spark at {cluster.master} gave {len(places):,} rows of features for {rows:,} rows asked"
        )
    return found.drop_columns([_PLACE]).take(order).rename_columns(list(features))
