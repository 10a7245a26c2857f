"""A user's own table: a CSV or Parquet file, or a folder of them, on a disk or on S3, compressed or not."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
from pyarrow import fs

from serin.errors import DataError, UnavailableError, first_line
from serin.storage import filesystem
from serin.tables import columnar, delimited
from serin.tables.base import Table, counted

__all__ = ["EXTENSIONS", "Table", "digest", "parts_of", "read"]

TEXT = (".csv", ".tsv", ".txt")
EXTENSIONS = (*TEXT, ".parquet")
_COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bz2"), (b"\x28\xb5\x2f\xfd", "zstd"))
_PARQUET = b"PAR1"
_ARCHIVE = b"PK\x03\x04"
_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_CHUNK = 1 << 20  # bytes


def read(location: str, needed: Iterable[str] = ()) -> Table:
    """The table at a path or s3:// URI, with at least one row.

    Values of a text file stay text, an empty field is null; ingest gives them their types. Integers of a Parquet file
    stay integers next to nulls. A folder is read as one table: its files in order, and the values of `key=value`
    folders (Hive partitions) as text columns. `needed` are columns that the caller can't do without.
    Raises UnavailableError for a file that is missing or out of reach, and DataError for one that has another
    extension, can't be read as what it says it is, repeats a column's name, holds no row, or whose values of a
    needed column can't be read.
    """
    parts = parts_of(location)
    table = _read_file(location) if parts is None else _joined(location, parts)
    for name in needed:
        if name in table.unread:
            raise DataError(f"{location}, column {name}: {table.unread[name]}")
    if table.frame.empty:
        raise DataError(f"{location} holds no row; its columns are {', '.join(map(str, table.frame.columns))}")
    return table


def digest(location: str) -> str:
    """The SHA-256 of the file's bytes, or of a folder's files, in hex.

    Raises what `read` raises for a file it can't open.
    """
    parts = parts_of(location)
    sha = hashlib.sha256()
    for part in [location] if parts is None else parts:
        if parts is not None:
            sha.update(part.removeprefix(location).encode() + b"\0")
        with _opened(part) as file:
            while chunk := file.read(_CHUNK):
                sha.update(chunk)
    return sha.hexdigest()


def parts_of(location: str) -> list[str] | None:
    """The files of a folder, without Spark's marks and hidden ones; None for what is no folder."""
    system, path = filesystem(location)
    try:
        if system.get_file_info(path).type != fs.FileType.Directory:
            return None
        found = system.get_file_info(fs.FileSelector(path, recursive=True))
    except OSError as error:
        raise UnavailableError(f"{location} is out of reach: {first_line(error)}") from None
    inside = sorted(info.path.removeprefix(path).lstrip("/") for info in found if info.is_file and info.size)
    parts = [name for name in inside if not any(part[0] in "_." for part in name.split("/"))]
    if not parts:
        raise UnavailableError(f"{location} is a folder without a table; allowed: {', '.join(EXTENSIONS)} files")
    return [f"{location.rstrip('/')}/{name}" for name in parts]


def _joined(location: str, parts: list[str]) -> Table:
    frames, bad_lines, notes = [], [], []
    unread: dict[str, str] = {}
    for part in parts:
        table = _read_file(part)
        name = part.removeprefix(location).lstrip("/")
        keys = dict(folder.split("=", 1) for folder in name.split("/")[:-1] if "=" in folder)
        if repeated := keys.keys() & set(table.frame.columns):
            raise DataError(f"{part} has more than one column called {', '.join(sorted(repeated))}: its folder has one")
        values = {key: None if value == _NO_PARTITION else unquote(value) for key, value in keys.items()}
        frames.append(table.frame.assign(**values))
        bad_lines.append(table.bad_lines.assign(reason=f"{name}: " + table.bad_lines["reason"]))
        notes += [note for note in table.notes if note not in notes]
        unread |= table.unread
    frame = _stacked([part for part in frames if len(part)] or frames[:1])
    odd = sorted({str(name) for part in frames for name in frame.columns if name not in part})
    if odd:
        notes.append(f"Not every file of the folder has {', '.join(odd)}; missing there.")
    kept = frame.drop(columns=[name for name in unread if name in frame])
    notes.insert(0, f"The folder's {counted(len(parts), 'file')} read as one table.")
    return Table(kept, tuple(notes), pd.concat(bad_lines, ignore_index=True), unread)


def _stacked(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Frames under each other; a column of several types keeps every value as it is, integers among them."""
    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    columns = {}
    for name in names:
        parts = [frame[name] if name in frame else pd.Series(None, index=frame.index, dtype=object) for frame in frames]
        same = len({part.dtype for part in parts}) == 1
        columns[name] = pd.concat(parts if same else [part.astype(object) for part in parts], ignore_index=True)
    return pd.DataFrame(columns)


def _read_file(location: str) -> Table:
    with _opened(location) as file:
        start = file.read(4)
        if not start:
            raise DataError(f"{location} is empty: 0 bytes")
        file.seek(0)
        codec = next((codec for magic, codec in _MAGIC if start.startswith(magic)), None)
        if codec is None and (start == _PARQUET or _extension(location) == ".parquet"):
            return columnar.read(file, location)
        if start == _ARCHIVE:
            raise DataError(f"{location} is a zip archive or an Excel workbook; unpack it, or save the sheet as CSV")
        data = pa.CompressedInputStream(file, codec).read() if codec else file.read()
    if data[:4] == _PARQUET or _extension(location) == ".parquet":
        return columnar.read(pa.BufferReader(data), location)
    return delimited.read(data, location)


@contextmanager
def _opened(location: str) -> Iterator[BinaryIO]:
    if _extension(location) not in EXTENSIONS:
        raise DataError(
            f"{location} has an extension that Serin does not read; allowed: {', '.join(EXTENSIONS)}, "
            f"each also with {', '.join(_COMPRESSED)}, or a folder of them"
        )
    system, path = filesystem(location)
    try:
        info = system.get_file_info(path)
    except OSError as error:
        raise UnavailableError(f"{location} is out of reach: {first_line(error)}") from None
    if info.type != fs.FileType.File:
        raise UnavailableError(f"{location} is not there; name a {', '.join(EXTENSIONS)} file or a folder of them")
    if info.size == 0:
        raise DataError(f"{location} is empty: 0 bytes")
    try:
        with system.open_input_file(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{location} can't be read: {first_line(error)}") from None


def _extension(location: str) -> str:
    name = location.lower().rpartition("/")[2]
    for compressed in _COMPRESSED:
        name = name.removesuffix(compressed)
    return f".{name.rpartition('.')[2]}" if "." in name else ""
