"""Parquet tables: which of its types are read, and as what."""

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from serin.errors import DataError, first_line
from serin.tables.base import Table

_UUID = 16  # bytes
_DAY = 86_400  # seconds
_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_REFUSALS = (pa.ArrowException, OSError, ValueError)
_FLATTEN = "write its parts as columns of their own"


class _UnreadError(Exception):
    """Why a column can't be read, and the way out."""


def read(file: Any, location: str) -> Table:
    """The table in an open Parquet file; `location` names it in messages.

    Texts may be written as bytes. UUIDs become their usual text, decimals without a fraction integers where 64 bits
    hold them; other decimals stay exact. Nested columns, and bytes that are no text, are `unread`.
    Raises DataError for a file, or a column of it, that is broken.
    """
    try:
        # INT96 counts nanoseconds of any year, which 64 bits hold from 1678 to 2262 only.
        parquet = pq.ParquetFile(file, page_checksum_verification=True, coerce_int96_timestamp_unit="us")
        names = parquet.schema_arrow.names
    except _REFUSALS as error:
        raise DataError(f"{location} is no readable Parquet file: {first_line(error)}") from None
    flat = [name for name, kind in zip(names, parquet.schema_arrow.types, strict=True) if not pa.types.is_nested(kind)]
    unread = {
        name: f"holds {re.sub(r'<.*', '', str(kind), flags=re.DOTALL)} values, which are nested; {_FLATTEN}"
        for name, kind in zip(names, parquet.schema_arrow.types, strict=True)
        if name not in flat
    }
    _check_names(names, location)
    columns, notes = {}, []
    for name, values in _columns(parquet, flat, location).items():
        try:
            plain, note = _plain(values)
            columns[name] = _series(plain)
        except _UnreadError as reason:
            unread[name] = str(reason)
            continue
        except _REFUSALS as error:
            raise DataError(
                f"{location}, column {name}: {values.type} values can't be read: {first_line(error)}"
            ) from None
        notes += [f"{name}: {note}."] if note else []
    notes += [f"{name} left out: it {reason}." for name, reason in unread.items()]
    frame = pd.DataFrame(columns, index=pd.RangeIndex(parquet.metadata.num_rows))
    return Table(frame, tuple(notes), unread=unread)


def _check_names(names: list[str], location: str) -> None:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{location} has more than one column called {', '.join(repeated)}; names must differ")


def _columns(parquet: pq.ParquetFile, names: list[str], location: str) -> Mapping[str, pa.ChunkedArray]:
    try:
        table = parquet.read(columns=names)
        return {name: table[name] for name in names}
    except _REFUSALS:
        return {name: _column(parquet, name, location) for name in names}


def _column(parquet: pq.ParquetFile, name: str, location: str) -> pa.ChunkedArray:
    """One column alone, to say which one is broken."""
    try:
        return parquet.read(columns=[name])[name]
    except _REFUSALS as error:
        raise DataError(
            f"{location}, column {name}: can't be read: {first_line(error)}; the file is damaged, write it again"
        ) from None


def _plain(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """Values of one of the plain types, and what was done to them."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _plain(values.cast(kind.value_type))
    if isinstance(kind, pa.BaseExtensionType):
        storage = pa.chunked_array([chunk.storage for chunk in values.chunks], kind.storage_type)
        return (_uuids(storage), "UUIDs, read as text") if kind == pa.uuid() else _plain(storage)
    if _is_binary(kind):
        return _texts(values)
    if pa.types.is_decimal(kind) and kind.scale <= 0:
        return _integers(values), ""
    if kind in (pa.string(), pa.large_string(), pa.string_view()) and not _is_utf8(values):
        raise _UnreadError("holds texts that are no UTF-8; write them as UTF-8")
    if pa.types.is_time(kind):
        return values.cast(pa.string()), "times of day, read as text"
    if pa.types.is_float16(kind):
        return values.cast(pa.float32()), ""
    if pa.types.is_timestamp(kind) and kind.tz and _is_beyond_calendars(values):
        return values.cast(pa.timestamp(kind.unit, "UTC")), ""
    if pa.types.is_duration(kind) or pa.types.is_interval(kind):
        raise _UnreadError(f"holds {kind} values; write them as numbers")
    return values, ""


def _is_beyond_calendars(times: pa.ChunkedArray) -> bool:
    """Whether one may be of a year that Python has no times of, or that 64 bits don't hold, in its own zone: on some of
    these pandas fails, and on those before Christ it crashes."""
    ends = pc.min_max(times.cast(pa.int64())).as_py()
    a_second = _A_SECOND[times.type.unit]
    first, last = (int(datetime(year, 1, 2, tzinfo=UTC).timestamp()) for year in (1, 9999))
    least = max(first * a_second, -(2**63) + _DAY * a_second)
    most = min(last * a_second, 2**63 - _DAY * a_second)
    return ends["min"] is not None and bool(ends["min"] < least or ends["max"] > most)


def _integers(decimals: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return decimals.cast(pa.int64())
    except pa.ArrowInvalid:  # more than 64 bits: exact as they are
        return decimals


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or kind == pa.binary_view()
    )


def _texts(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """Bytes as the text that they hold."""
    is_fixed = pa.types.is_fixed_size_binary(values.type)
    values = values.cast(pa.large_binary())
    texts = values.cast(pa.large_string(), safe=False)
    if _is_utf8(texts):
        # Short texts of a fixed size are filled up with zeros.
        texts = pc.utf8_rtrim(texts, "\0") if is_fixed else texts
        return texts, "bytes without a declared type, read as UTF-8 text"
    if pc.all(pc.equal(pc.binary_length(values), _UUID)).as_py():
        return _uuids(values), "values of 16 bytes, read as UUIDs"
    raise _UnreadError("holds bytes that are no UTF-8 text; write them as text")


def _is_utf8(texts: pa.ChunkedArray) -> bool:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _uuids(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array(
        [pa.array([None if v is None else str(uuid.UUID(bytes=v)) for v in values.to_pylist()], pa.string())]
    )


def _series(values: pa.ChunkedArray) -> "pd.Series[Any]":
    """Integers and booleans next to nulls stay what they are."""
    series: pd.Series[Any] = values.to_pandas(integer_object_nulls=True, date_as_object=False)
    return series
