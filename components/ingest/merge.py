"""What an increment changes: which of its rows are new, which correct stored ones, which are known already.

Rows are the same by `data.key`; without a key, by all of their values, and then as often as they are there: two equal
rows of one table are two events, and the same table again brings none. So it is with rows whose key has a null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serin.errors import DataError

_MOST_ROWS = 2**31


@dataclass(frozen=True)
class Merged:
    """The content of each date that may change; the counts of the increment's rows, and of stored rows deleted."""

    contents: Mapping[str, pa.Table]
    new: int
    corrected: int
    known: int
    deleted: int


def superseded(
    stored: Mapping[str, pa.Table], rows: pa.Table, key: Sequence[str]
) -> tuple[dict[str, NDArray[np.bool_]], int]:
    """Which stored rows of each date have the key of one of `rows`, and how many of `rows` have a stored key.

    `stored` needs the key's columns only; dates without such a row are left out.
    """
    codes = _codes([*stored.values(), rows], key)
    whole = np.logical_and.reduce([rows[name].is_valid().to_numpy() for name in key])
    incoming = codes.pop()[whole]
    masks = {date: np.isin(mine, incoming) for date, mine in zip(stored, codes, strict=True)}
    had = np.isin(incoming, np.concatenate([*codes, incoming[:0]]))
    return {date: mask for date, mask in masks.items() if mask.any()}, int(had.sum())


def merge_by_key(
    stored: Mapping[str, pa.Table],
    incoming: Mapping[str, pa.Table],
    masks: Mapping[str, NDArray[np.bool_]],
    had: int,
    *,
    replace_days: bool,
) -> Merged:
    """Lay rows over stored ones: a row with a stored key takes its place, on whatever date that was.

    `stored` holds every date of `incoming` and of `masks`; those and `had` are from `superseded`. With `replace_days`,
    nothing else stays of the dates of `incoming`.
    """
    contents, known, unkeyed, deleted = {}, 0, 0, 0
    for date, before in stored.items():
        kept = before.filter(pa.array(~masks.get(date, np.zeros(len(before), bool))))
        arrived = incoming.get(date)
        if arrived is None:
            contents[date] = kept
            continue
        added = _beyond(kept, arrived)
        known += len(arrived) - len(_beyond(before, arrived))
        unkeyed += len(arrived) - len(added)
        deleted += len(_beyond(arrived, kept)) if replace_days else 0
        contents[date] = arrived if replace_days else pa.concat_tables([kept, added])
    new = sum(len(part) for part in incoming.values()) - had - unkeyed
    return Merged(contents, new=new, corrected=had - (known - unkeyed), known=known, deleted=deleted)


def merge_rows(stored: Mapping[str, pa.Table], incoming: Mapping[str, pa.Table], *, replace_days: bool) -> Merged:
    """Add the rows that are not stored yet to those that are; with `replace_days`, put them in the dates' place."""
    contents, new, known, deleted = {}, 0, 0, 0
    for date, arrived in incoming.items():
        before = stored[date]
        added = _beyond(before, arrived)
        new += len(added)
        known += len(arrived) - len(added)
        deleted += len(_beyond(arrived, before)) if replace_days else 0
        contents[date] = arrived if replace_days else pa.concat_tables([before, added])
    return Merged(contents, new=new, corrected=0, known=known, deleted=deleted)


def conformed(table: pa.Table, schema: pa.Schema, where: str = "") -> pa.Table:
    """Stored rows as the use case declares them now; what an older file lacks is null in its rows.

    Raises DataError, which names `where`, for a column that was stored as another type; without `where` its values are
    null, for rows that are compared and not kept.
    """
    columns = []
    for field in schema:
        column = pa.nulls(len(table), field.type)
        if field.name in table.column_names:
            try:
                column = table[field.name].cast(field.type)
            except pa.ArrowException:
                if where:
                    raise _changed(table, field, where) from None
        columns.append(column)
    return pa.table(columns, schema=schema)


def _changed(table: pa.Table, field: pa.Field, where: str) -> DataError:
    found = table.schema.field(field.name).type
    return DataError(
        f"column {field.name} is stored as {found} in {where} and declared as {field.type} now; give it another "
        "name, or remove the stored events and ingest them again"
    )


def _beyond(there: pa.Table, rows: pa.Table) -> pa.Table:
    """Those of `rows` that `there` does not hold, an equal row counting as often as it occurs."""
    held, mine = (_occurrences(codes) for codes in _codes([there, rows], rows.column_names))
    return rows.filter(pa.array(~np.isin(mine, held)))


def _codes(tables: Sequence[pa.Table], columns: Sequence[str]) -> list[NDArray[np.int64]]:
    """One number a row, the same for rows of any of the tables that are equal in `columns`; nulls are equal."""
    both = pa.concat_tables([table.select(list(columns)) for table in tables])
    codes = np.zeros(len(both), np.int64)
    for name in columns:
        # Chunks share no dictionary until they are one.
        values = pc.dictionary_encode(both[name].combine_chunks(), null_encoding="encode")
        values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        codes = codes * len(values.dictionary) + values.indices.to_numpy().astype(np.int64)
        codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    return np.split(codes, np.cumsum([len(table) for table in tables])[:-1])


def _occurrences(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes of rows told apart by how many equal ones stand before them."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    runs = np.diff(np.r_[first, len(ordered)])
    rank = np.empty(len(codes), np.int64)
    rank[order] = np.arange(len(codes)) - np.repeat(first, runs)
    return codes + rank * _MOST_ROWS
