"""Events as date partitions: `date=YYYY-MM-DD/part.parquet` below one folder, on a disk or on S3.

Each file's footer holds the SHA-256 of its content. Content means the values, not the bytes of the file, so
that the hash is the same for every writer, machine and version.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from serin import storage
from serin.columns import Column, TypeName

_FILE = "part.parquet"
_HASH = b"serin.content"
_ARROW: dict[TypeName, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def location(folder: str, date: str) -> str:
    """Where the partition of a date (YYYY-MM-DD) lies."""
    return f"{folder}/date={date}/{_FILE}"


def dates(folder: str) -> list[str]:
    """The dates of the partitions that are there, in order."""
    return sorted(part.split("/")[-2].removeprefix("date=") for part in storage.files(folder) if part.endswith(_FILE))


def to_table(frame: pd.DataFrame, columns: dict[str, Column]) -> pa.Table:
    """Checked rows as Arrow, with a schema that depends on the declaration alone; NaN becomes null."""
    fields = []
    for name, column in columns.items():
        nullable_integer = column.type == "integer" and column.nullable
        fields.append(pa.field(name, pa.float64() if nullable_integer else _ARROW[column.type]))
    return pa.Table.from_pandas(frame, pa.schema(fields), preserve_index=False).replace_schema_metadata(None)


def by_date(table: pa.Table, timestamp: str) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each UTC date, dates in order."""
    days = table[timestamp].to_numpy().astype("datetime64[D]")
    order = np.argsort(days, kind="stable")
    table, days = table.take(order), days[order]
    found, first = np.unique(days, return_index=True)
    for day, start, end in zip(found, first, [*first[1:], len(days)], strict=True):
        yield str(day), table.slice(start, end - start)


def merge(folder: str, date: str, rows: pa.Table, key: Sequence[str]) -> tuple[bool, int]:
    """Bring `rows` into the partition of `date`: a row with the key of one that is there takes its place.

    Without a key, `rows` replace the partition. Returns whether the file was written, and how many rows the
    partition gained; a partition whose content stays the same is not touched.
    """
    where = location(folder, date)
    there = content_hash(where) if storage.exists(where) else None
    rows = _sorted(rows, key)
    digest = _hash(rows)
    if there == digest:
        return False, 0
    before = _count(where) if there else 0
    if key and there:
        rows = _sorted(_overlaid(storage.read_table(where), rows, key), key)
        digest = _hash(rows)
        if there == digest:
            return False, 0
    storage.write_table(rows.replace_schema_metadata({_HASH: digest.encode()}), where)
    return True, max(0, rows.num_rows - before)


def replace(folder: str, date: str, rows: pa.Table, key: Sequence[str]) -> tuple[bool, int]:
    """Leave exactly one partition, with `rows`, at `date`; one that holds them already keeps its own date.

    The content is replaced first and the file moved after, so that at no moment there are two snapshots or
    none. On S3 a move is a copy and a removal; the next call puts right what was killed between the two.
    """
    there = dates(folder)
    for older in there[:-1]:
        _remove(folder, older)
    current = there[-1] if there else date
    before = _count(location(folder, current)) if there else 0
    changed, _ = merge(folder, current, _sorted(rows, key), key=())
    if changed and current != date:
        _move(folder, current, date)
    return changed, max(0, rows.num_rows - before) if changed else 0


def snapshot(folder: str, last: str = "9999-12-31") -> str:
    """A short hash over the contents of the partitions up to the date `last`: the same for the same rows anywhere.

    Rows of later dates make no difference, so a training as of a past date can be repeated and named again.
    """
    sha = hashlib.sha256()
    for date in [date for date in dates(folder) if date <= last]:
        sha.update(content_hash(location(folder, date)).encode())
    return sha.hexdigest()[:12]


def content_hash(where: str) -> str:
    """The content hash of one partition, from its footer; computed for a file that somebody else wrote."""
    system, path = storage.filesystem(where)
    metadata = pq.read_schema(path, filesystem=system).metadata or {}
    stored = metadata.get(_HASH)
    return stored.decode() if stored else _hash(storage.read_table(where))


def _overlaid(before: pa.Table, rows: pa.Table, key: Sequence[str]) -> pa.Table:
    # The declaration may have changed since: what an old partition lacks is null in its rows.
    kept = [name for name in before.column_names if name in rows.column_names]
    both = pa.concat_tables([before.select(kept), rows], promote_options="permissive").select(rows.column_names)
    is_last = ~both.select(list(key)).to_pandas().duplicated(keep="last")
    return both.filter(pa.array(is_last.to_numpy())).cast(rows.schema)


def _sorted(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """By key, or by all columns where there is none: the order of a source's rows must not matter."""
    return rows.sort_by([(name, "ascending") for name in key or rows.column_names])


def _count(where: str) -> int:
    system, path = storage.filesystem(where)
    return int(pq.read_metadata(path, filesystem=system).num_rows)


def _move(folder: str, date: str, to: str) -> None:
    system, path = storage.filesystem(location(folder, date))
    _, target = storage.filesystem(location(folder, to))
    system.create_dir(target.rpartition("/")[0], recursive=True)
    system.move(path, target)
    _remove(folder, date)


def _remove(folder: str, date: str) -> None:
    system, path = storage.filesystem(f"{folder}/date={date}")
    if system.get_file_info(path).type == fs.FileType.Directory:
        system.delete_dir(path)


def _hash(rows: pa.Table) -> str:
    sha = hashlib.sha256()
    for name in rows.column_names:
        column = rows[name].combine_chunks()
        sha.update(f"{name} {column.type} {len(column)}\n".encode())
        sha.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
        for part in _bytes(column):
            sha.update(part)
    return sha.hexdigest()


def _bytes(column: pa.Array) -> Iterator[bytes]:
    """The values of a column as little-endian bytes, zeros and empty texts for nulls."""
    if pa.types.is_string(column.type):
        filled = pc.fill_null(column, "")
        yield pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        yield "".join(filled.to_pylist()).encode()
        return
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    filled = pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0)
    values = filled.to_numpy(zero_copy_only=False)
    yield values.astype(values.dtype.newbyteorder("<")).tobytes()
