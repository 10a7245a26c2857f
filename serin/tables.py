"""A user's own table: one CSV or Parquet file on a disk or on S3."""

import csv
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from serin.errors import DataError, UnavailableError
from serin.storage import filesystem

EXTENSIONS = (".csv", ".parquet")
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_LONGEST_HEADER = 1_000_000  # bytes
_CHUNK = 1 << 20  # bytes


def read(location: str) -> pd.DataFrame:
    """The table at a path or s3:// URI, with at least one row.

    Values of a CSV file stay text, an empty field is null; ingest gives them their types. Integers of a
    Parquet file stay integers next to nulls.
    Raises UnavailableError for a file that is missing or out of reach, and DataError for one that has another
    extension, can't be read as what it says it is, repeats a column's name, or holds no row.
    """
    with _opened(location) as file:
        frame = _read_csv(file, location) if location.lower().endswith(".csv") else _read_parquet(file, location)
    if frame.empty:
        raise DataError(f"{location} holds no row; its columns are {_listed(frame.columns)}")
    return frame


def digest(location: str) -> str:
    """The SHA-256 of the file's bytes, in hex. Raises what `read` raises for a file it can't open."""
    sha = hashlib.sha256()
    with _opened(location) as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


@contextmanager
def _opened(location: str) -> Iterator[BinaryIO]:
    if not location.lower().endswith(EXTENSIONS):
        raise DataError(f"{location} has an extension that Serin does not read; allowed: {', '.join(EXTENSIONS)}")
    system, path = filesystem(location)
    try:
        info = system.get_file_info(path)
    except OSError as error:
        raise UnavailableError(f"{location} is out of reach: {error}") from None
    if info.type != fs.FileType.File:
        found = "a folder, not a file" if info.type == fs.FileType.Directory else "not there"
        raise UnavailableError(f"{location} is {found}; name one {' or '.join(EXTENSIONS)} file")
    if info.size == 0:
        raise DataError(f"{location} is empty: 0 bytes")
    try:
        with system.open_input_file(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{location} can't be read: {_first_line(error)}") from None


def _read_csv(file: BinaryIO, location: str) -> pd.DataFrame:
    names = _header(file, location)
    _check_names(names, location)
    file.seek(0)
    try:
        frame = pd.read_csv(file, dtype=str, encoding="utf-8-sig", keep_default_na=False, na_values=[""])
    except UnicodeDecodeError as error:
        raise DataError(f"{location} is no UTF-8 text: {error}") from None
    except pd.errors.ParserError as error:
        raise DataError(f"{location} is no comma-separated table: {_first_line(error)}") from None
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas takes what is too much for row names and would shift all columns.
        raise DataError(f"{location} has more values in its rows than names in its first line: {len(names)} names")
    return frame


def _header(file: BinaryIO, location: str) -> list[str]:
    """The names in a CSV file's first line, after checking that the file is comma-separated text."""
    start = file.read(_LONGEST_HEADER)
    if b"\0" in start:
        raise DataError(f"{location} is no text: it holds NUL bytes; a Parquet file must be called .parquet")
    # The last character may be cut in two; the rest of the file is decoded strictly.
    text = start.decode("utf-8-sig", errors="ignore")
    names = next(csv.reader(io.StringIO(text)), [])
    for separator, plural in _OTHER_SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            raise DataError(
                f"{location} is separated by {plural}: its first line is {names[0][:80]!r}; allowed: commas"
            )
    if not any(name.strip() for name in names):
        raise DataError(f"{location} has no column names in its first line")
    return names


def _read_parquet(file: BinaryIO, location: str) -> pd.DataFrame:
    try:
        parquet = pq.ParquetFile(file)
        _check_names(parquet.schema_arrow.names, location)
        frame: pd.DataFrame = parquet.read().to_pandas(
            ignore_metadata=True, integer_object_nulls=True, date_as_object=False
        )
        return frame
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{location} is no readable Parquet file: {_first_line(error)}") from None


def _check_names(names: list[str], location: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"{location} has more than one column called {_listed(repeated)}; names must differ")


def _listed(names: object) -> str:
    return ", ".join(map(str, names))  # type: ignore[call-overload]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
