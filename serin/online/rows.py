"""Rows of a feature view on their way into the online store, whichever it is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serin.columns import TYPES
from serin.errors import DataError
from serin.online import codec
from serin.online.codec import Ragged
from serin.online.plan import TablePlan

EVENT_TIMESTAMP = "event_timestamp"
T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """Up to n rows of a view, encoded: entity keys, times (microseconds since 1970) and values by feature."""

    keys: Ragged
    times: NDArray[np.int64]
    values: Mapping[str, Ragged]

    def __len__(self) -> int:
        return len(self.times)


def encoded(table: TablePlan, rows: pa.Table, size: int) -> Iterator[Batch]:
    """The rows, `size` at a time.

    Raises DataError: a row without a key or a time, or a column that is missing or not of the plan's type.
    """
    for start in range(0, rows.num_rows, size):
        part = rows.slice(start, size)
        yield Batch(
            keys=codec.entity_keys(table.key, table.key_type, _column(part, table.key)),
            times=_times(part),
            values={name: codec.values(_column(part, name), kind) for name, kind in table.features.items()},
        )


def parted(table: TablePlan, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows of which at least one feature is known, and those of which none is: they take back what there was."""
    if absent := [name for name in (table.key, *table.features, EVENT_TIMESTAMP) if name not in rows.column_names]:
        raise DataError(f"rows of {table.view} lack {', '.join(absent)}; they have {', '.join(rows.column_names)}")
    if not rows.num_rows or not table.features:
        return rows, rows.slice(0, 0)
    known = reduce(np.logical_or, (_known(rows, name) for name in table.features))
    return rows.filter(pa.array(known)), rows.filter(pa.array(~known))


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def distinct(keys: Sequence[Any]) -> list[Any]:
    """The keys that are not None, each once, in order."""
    return list(dict.fromkeys(key for key in keys if key is not None))


def _known(rows: pa.Table, name: str) -> NDArray[np.bool_]:
    column = rows[name]
    known = np.asarray(pc.is_valid(column))
    return known & ~np.asarray(pc.fill_null(pc.is_nan(column), True)) if pa.types.is_floating(column.type) else known


def _column(rows: pa.Table, name: str) -> pa.Array:
    column = rows[name].combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def _times(rows: pa.Table) -> NDArray[np.int64]:
    column = _column(rows, EVENT_TIMESTAMP)
    if column.null_count:
        raise DataError(f"{column.null_count:,} of {len(column):,} rows have no {EVENT_TIMESTAMP}; each has one")
    return np.asarray(column.cast(TYPES["timestamp"].arrow).cast(pa.int64()))
