"""Tables as date partitions: files below `date=YYYY-MM-DD/` folders (Hive partitioning), on a disk or on S3.

Events have one file a date, `part.parquet`, whose footer holds the hash of its content. The prediction log has many
files a date, which `compact` merges.

A file that is damaged never hides the others: it is named and passed over.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from serin import content, storage
from serin.columns import YEARS
from serin.errors import DataError

FIRST, LAST = "0000-00-00", "9999-99-99"
MERGED_ROWS = 1_000_000  # of a file that `compact` makes: it holds all of them in memory

_PART = "part.parquet"
_HASH = b"serin.content"
_REPLACES = b"serin.replaces"
_MERGED = "merged-"
_LAYOUT = ds.partitioning(pa.schema([("date", pa.string())]), flavor="hive")
# What is replaced stays as long as a reader may take that listed it just before.
_GRACE = timedelta(hours=1)


@dataclass(frozen=True)
class Damaged:
    """A file that is passed over, and why."""

    location: str
    cause: str


@dataclass(frozen=True)
class Rows:
    """Rows of the files that are sound; `damaged` are those that were passed over."""

    table: pa.Table
    damaged: tuple[Damaged, ...]


def location(folder: str, date: str, name: str = _PART) -> str:
    """Where a file of a date (YYYY-MM-DD) lies; without a name, the one file of events."""
    return f"{folder}/date={date}/{name}"


def date_of(where: str) -> str:
    """The date of a file; "" for a file in no date's folder."""
    return _date(where.rpartition("/")[0])


def files(folder: str, first: str = FIRST, last: str = LAST) -> list[str]:
    """Locations of the files of the dates `first` to `last`, dates in order; those that a merged file replaces, and
    files in no date's folder, are left out."""
    # Listing date by date pays where most dates are not looked at.
    everything = (first, last) == (FIRST, LAST)
    folders = [folder] if everything else [name for name in storage.folders(folder) if first <= _date(name) <= last]
    found = [where for name in folders for where in storage.files(name) if date_of(where)]
    replaced = {name for where in found if _is_merged(where) for name in _replaces(where)}
    return [where for where in found if where.rpartition("/")[2] not in replaced]


def dates(folder: str) -> list[str]:
    """The dates that have a file, in order."""
    return sorted({date_of(where) for where in files(folder)})


def read(
    folder: str,
    columns: Sequence[str] | None = None,
    where: ds.Expression | None = None,
    *,
    timestamp: str | None = None,
    first: str = FIRST,
    last: str = LAST,
) -> Rows:
    """The rows of the dates `first` to `last` as one table; columns that a file lacks are null there.

    `timestamp` names the column that a row's date comes from: a file with a time of another date is damaged.
    Raises UnavailableError where the place can't be reached; DataError where nothing sound is there, files don't go
    together, or none has one of `columns`.
    """
    wanted = None if columns is None else list(dict.fromkeys([*columns, *([timestamp] if timestamp else [])]))
    tables, damaged = [], []
    for name in files(folder, first, last):
        try:
            tables.append(_sound(name, wanted, timestamp))
        except DataError as error:
            damaged.append(Damaged(name, str(error)))
    if not tables:
        named = "".join(f"\n  {one.cause}" for one in damaged)
        raise DataError(f"nothing that can be used is stored at {folder}{named}")
    table = storage.joined(tables, folder)
    if missing := [name for name in columns or () if name not in table.column_names]:
        raise DataError(f"no file of {folder} has a column {', '.join(missing)}")
    table = table if where is None else table.filter(where)
    return Rows(table if columns is None else table.select(list(columns)), tuple(damaged))


def damaged(folder: str, timestamp: str | None = None) -> list[Damaged]:
    """The files that `read` passes over; every file is read in full for that."""
    found = []
    for name in files(folder):
        try:
            _sound(name, None, timestamp)
        except DataError as error:
            found.append(Damaged(name, str(error)))
    return found


def by_date(table: pa.Table, timestamp: str) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each UTC date, dates in order."""
    days = table[timestamp].to_numpy().astype("datetime64[D]")
    if len(days) and (days == days[0]).all():
        yield str(days[0]), table
        return
    order = np.argsort(days, kind="stable")
    table, days = table.take(order), days[order]
    found, first = np.unique(days, return_index=True)
    for day, start, end in zip(found, first, [*first, len(days)][1:], strict=True):
        yield str(day), table.slice(start, end - start)


def write(folder: str, date: str, rows: pa.Table, key: Sequence[str]) -> bool:
    """Make `rows` the content of a date, sorted by `key`; without rows the date goes.

    Returns whether anything changed: what holds the same content is not touched.
    """
    where = location(folder, date)
    if not rows.num_rows:
        storage.remove(where.rpartition("/")[0])
        return True
    rows = _sorted(rows, key)
    digest = content.digest(rows)
    if storage.exists(where) and content_hash(where) == digest:
        return False
    storage.write_table(rows.replace_schema_metadata({_HASH: digest.encode()}), where)
    return True


def write_only(folder: str, date: str, rows: pa.Table, key: Sequence[str]) -> bool:
    """Leave exactly one date, with `rows`, at `date`; one that holds them already keeps its own date.

    The content is replaced first and the file moved after, so that at no moment there are two snapshots or none. On S3
    a move is a copy and a removal; the next call puts right what was killed between the two.
    """
    there = dates(folder)
    for older in there[:-1]:
        storage.remove(f"{folder}/date={older}")
    current = there[-1] if there else date
    changed = write(folder, current, rows, key)
    if changed and current != date:
        storage.move(location(folder, current), location(folder, date))
        storage.remove(f"{folder}/date={current}")
    return changed


def snapshot(folder: str, last: str = LAST, without: Collection[str] = ()) -> str:
    """A short hash over the contents of the dates up to `last`: the same for the same rows anywhere.

    Rows of later dates make no difference, so a training as of a past date can be repeated and named again. Files
    that are passed over count as not there: `without` names them.
    """
    sha = hashlib.sha256()
    for where in files(folder, last=last):
        if where not in without:
            sha.update(content_hash(where).encode())
    return sha.hexdigest()[:12]


def content_hash(where: str) -> str:
    """The content hash of one file, from its footer; computed for a file that somebody else wrote.

    Raises DataError for a damaged file.
    """
    stored = (storage.read_schema(where).metadata or {}).get(_HASH)
    return stored.decode() if stored else content.digest(storage.read_file(where))


def compact(folder: str, before: str, now: datetime, least: int = 16, most: int = MERGED_ROWS) -> int:
    """Merge the many small files of each date earlier than `before` into few a schema; returns how many were merged.

    Files of less than half of `most` rows are small; they are merged where there are at least so many, into files of at
    most `most` rows.

    Only one may be at it at a time (hold a lease); readers and writers need not wait. A merged file names those that
    it replaces, and from the moment it is there readers leave them out, so a row counts once whenever this is killed.
    They are removed by a later call, an hour after at the earliest: a reader that listed them before may be at them.
    """
    merged = 0
    for date in [date for date in dates(folder) if date < before]:
        _remove_replaced(f"{folder}/date={date}", now)
        found = files(folder, date, date)
        groups: dict[pa.Schema, dict[str, int]] = {}
        for where in found if len(found) >= least else ():
            try:
                schema, rows = storage.read_schema(where).remove_metadata(), storage.count(where)
            except DataError:
                continue
            if rows < most // 2:
                groups.setdefault(schema, {})[where] = rows
        for group in [group for group in groups.values() if len(group) >= least]:
            merged += sum(_merge(folder, date, part) for part in _parts(group, most))
    return merged


def _parts(rows: Mapping[str, int], most: int) -> list[list[str]]:
    """Files, of each its rows, in groups of at most `most` rows, small ones together; what is alone is left out."""
    parts: list[list[str]] = [[]]
    left = most
    for where, count in sorted(rows.items(), key=lambda pair: pair[1]):
        if count > left:
            parts.append([])
            left = most
        parts[-1].append(where)
        left -= count
    return [part for part in parts if len(part) > 1]


def _merge(folder: str, date: str, group: Sequence[str]) -> int:
    names, tables = [], []
    for where in group:
        try:
            tables.append(storage.read_file(where).replace_schema_metadata(None))
        except DataError:
            continue
        # What a merged file replaced stays replaced when that file goes.
        names += [where.rpartition("/")[2], *(_replaces(where) if _is_merged(where) else ())]
    footer = json.dumps(names).encode()
    name = f"{_MERGED}{hashlib.sha256(footer).hexdigest()[:16]}.parquet"
    table = pa.concat_tables(tables).replace_schema_metadata({_REPLACES: footer})
    storage.write_table(table, location(folder, date, name))
    return len(tables)


def _remove_replaced(folder: str, now: datetime) -> None:
    there, replaced = storage.files(folder), set()
    for merged in [where for where in there if _is_merged(where) and now - storage.modified(where) > _GRACE]:
        names = set(_replaces(merged))
        mine = [where for where in there if where.rpartition("/")[2] in names]
        try:
            storage.read_file(merged, None if mine else ())
        except DataError:
            continue
        replaced.update(mine)
    for where in replaced:
        storage.remove(where)


def _is_merged(where: str) -> bool:
    return where.rpartition("/")[2].startswith(_MERGED)


def _replaces(where: str) -> list[str]:
    """The names of the files that a merged file replaces; none where its footer can't be read."""
    try:
        metadata = storage.read_schema(where).metadata or {}
    except DataError:
        return []
    found: list[str] = json.loads(metadata.get(_REPLACES, b"[]"))
    return found


def _sound(where: str, columns: Sequence[str] | None, timestamp: str | None) -> pa.Table:
    """One file. Raises DataError where it is damaged, or is of a date that it can't be of."""
    date = date_of(where)
    if not f"{YEARS[0]}-01-01" <= date <= f"{YEARS[1]}-12-31":
        raise DataError(f"{where} is of {date}; allowed: the years {YEARS[0]} to {YEARS[1]}")
    table = storage.read_file(where, columns).replace_schema_metadata(None)
    if timestamp in table.column_names and pa.types.is_timestamp(table.schema.field(timestamp).type):
        days = np.unique(table[timestamp].drop_null().to_numpy().astype("datetime64[D]")).astype(str)
        if wrong := [day for day in days if day != date]:
            raise DataError(f"{where} holds events of {wrong[0]}, which is not its date")
    return table


def _date(folder: str) -> str:
    return str(ds.get_partition_keys(_LAYOUT.parse(folder.rpartition("/")[2] + "/")).get("date", ""))


def _sorted(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """By key, or by all columns where there is none: the order of a source's rows must not matter."""
    return rows.sort_by([(name, "ascending") for name in key or rows.column_names])
