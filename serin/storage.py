"""Parquet tables, texts and bytes under a local path or an s3:// URI: the one way in which both sides read and write.

The endpoint and the credentials of S3 are those that AWS's own variables name (AWS_ENDPOINT_URL, ...).
A write is atomic on both: a rename in a local folder, a single put on S3.

A place that can't be reached is an UnavailableError, a file whose bytes are no sound Parquet a DataError: what is out
of reach may be whole, and what is damaged stays so.
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from serin import atomic
from serin.errors import DataError, UnavailableError, first_line

# Errors of one file on a disk; on S3 every error may be the connection's.
_OF_THE_FILE = {errno.EACCES, errno.EIO, errno.EPERM}


def filesystem(location: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URI, and the path in it.

    Raises UnavailableError for a URI that can't be opened.
    """
    if "://" not in location:
        return fs.LocalFileSystem(), str(Path(location).absolute())
    try:
        system, path = fs.FileSystem.from_uri(location)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnavailableError(f"{location} can't be opened: {first_line(error)}") from None
    return system, path


def absolute(location: str) -> str:
    """A location as every process of this machine understands it; "" for none."""
    return location if not location or "://" in location else filesystem(location)[1]


def exists(location: str) -> bool:
    """Whether a file or folder is there. Raises UnavailableError where that can't be told."""
    system, path = filesystem(location)
    with named(location, "looked at"):
        return bool(system.get_file_info(path).type != fs.FileType.NotFound)


def modified(location: str) -> datetime:
    """When a file was last written. Raises UnavailableError where that can't be told."""
    system, path = filesystem(location)
    with named(location, "looked at"):
        time: datetime = system.get_file_info(path).mtime
        return time


def files(folder: str) -> list[str]:
    """Locations of all Parquet files below `folder`, sorted; empty where there is no such folder.

    Raises UnavailableError where it can't be listed.
    """
    return [where for where, info in _listed(folder, recursive=True) if _is_table(info)]


def folders(folder: str) -> list[str]:
    """Locations of the folders in `folder`, sorted; empty where there is none.

    Raises UnavailableError where it can't be listed.
    """
    return [where for where, info in _listed(folder, recursive=False) if info.type == fs.FileType.Directory]


def _listed(folder: str, *, recursive: bool) -> list[tuple[str, fs.FileInfo]]:
    system, path = filesystem(folder)
    with named(folder, "listed"):
        found = system.get_file_info(fs.FileSelector(path, recursive=recursive, allow_not_found=True))
    scheme = folder.split("://")[0] + "://" if "://" in folder else ""
    return sorted(((scheme + info.path, info) for info in found), key=lambda pair: pair[0])


def _is_table(info: fs.FileInfo) -> bool:
    return bool(info.is_file and info.extension == "parquet" and not info.base_name.startswith("."))


def joined(tables: Sequence[pa.Table], location: str) -> pa.Table:
    """Tables as one; columns that one lacks are null there. Raises DataError for types that don't go together."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"the files of {location} don't go together: {first_line(error)}") from None


def read_file(location: str, columns: Sequence[str] | None = None) -> pa.Table:
    """One Parquet file: all of it, or those of `columns` that it has.

    Raises UnavailableError where it can't be reached, and DataError where it is damaged: its bytes can be had and are
    no sound Parquet (cut short, a page whose checksum is wrong), or the disk won't give this one file.
    """
    system, path = filesystem(location)
    try:
        return _decoded(path, columns, system)
    except (OSError, pa.ArrowException):
        # Whether the file is damaged or out of reach, its bytes tell.
        whole = _bytes(location)
    try:
        return _decoded(pa.BufferReader(whole), columns)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{location} is damaged: {first_line(error)}") from None


def read_schema(location: str) -> pa.Schema:
    """The schema in a Parquet file's footer, with its metadata. Raises as `read_file` does."""
    system, path = filesystem(location)
    try:
        return pq.read_schema(path, filesystem=system)
    except (OSError, pa.ArrowException):
        return read_file(location).schema


def count(location: str) -> int:
    """The number of rows, of a Parquet file's footer. Raises as `read_file` does."""
    system, path = filesystem(location)
    try:
        return int(pq.read_metadata(path, filesystem=system).num_rows)
    except (OSError, pa.ArrowException):
        return int(read_file(location).num_rows)


def _decoded(source: str | pa.BufferReader, columns: Sequence[str] | None, system: fs.FileSystem = None) -> pa.Table:
    with pq.ParquetFile(source, filesystem=system, pre_buffer=True, page_checksum_verification=True) as file:
        there = file.schema_arrow.names
        return file.read(there if columns is None else [name for name in columns if name in there])


def _bytes(location: str) -> bytes:
    system, path = filesystem(location)
    try:
        with system.open_input_file(path) as file:
            return bytes(file.read())
    except OSError as error:
        if isinstance(system, fs.LocalFileSystem) and error.errno in _OF_THE_FILE:
            raise DataError(f"{location} is damaged: {first_line(error)}") from None
        raise UnavailableError(f"{location} can't be read: {first_line(error)}") from None


def write_table(table: pa.Table, location: str, system: fs.FileSystem | None = None, *, quick: bool = False) -> None:
    """Write one Parquet file in place of what is at `location`; `system` is the file system of its folder where one has
    it (`impatient`). Raises UnavailableError: nothing was written.

    A `quick` file has no dictionaries of its numbers, which take half of the time to write: it is a little larger where
    they repeat.
    """
    others = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
    dictionaries = others if quick else True
    if system is None:
        system, path = filesystem(location)
    else:
        path = location.rpartition("://")[2]
    with named(location, "written"):
        if isinstance(system, fs.LocalFileSystem):
            with atomic.replaced(Path(path)) as temporary:
                pq.write_table(table, temporary, write_page_checksum=True, use_dictionary=dictionaries)
            return
        # Whole before the put: what fails half-way must not end as an object that is cut short.
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, write_page_checksum=True, use_dictionary=dictionaries)
        with system.open_output_stream(path) as file:
            file.write(buffer.getvalue())


def impatient(location: str) -> fs.FileSystem:
    """The file system of a path or URI for one who tries again by himself. Arrow tries for minutes where S3 does not
    answer; this one asks once, and tells within 10 seconds.

    To be kept for many files: to make it holds the interpreter for as long as a hundred requests take. Raises
    UnavailableError for a URI that can't be opened.
    """
    system, _ = filesystem(location)
    if not isinstance(system, fs.S3FileSystem):
        return system
    # Of a URI Arrow takes neither timeouts nor a retry strategy.
    _, (options,) = system.__reduce__()
    options |= {"connect_timeout": 2, "request_timeout": 3, "allow_delayed_open": True}
    return fs.S3FileSystem(**options, retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1))


def read_text(location: str) -> str:
    """A small text. Raises UnavailableError where it can't be read."""
    return read_bytes(location).decode()


def write_text(text: str, location: str) -> None:
    """Write a small text in place of what is at `location`. Raises UnavailableError: nothing was written."""
    write_bytes(text.encode(), location)


def read_bytes(location: str) -> bytes:
    """All of one file. Raises UnavailableError where it can't be read."""
    system, path = filesystem(location)
    with named(location, "read"), system.open_input_file(path) as file:
        return bytes(file.read())


def write_bytes(content: bytes, location: str) -> None:
    """Write one file in place of what is at `location`. Raises UnavailableError: nothing was written."""
    system, path = filesystem(location)
    with named(location, "written"):
        if isinstance(system, fs.LocalFileSystem):
            with atomic.replaced(Path(path)) as temporary:
                temporary.write_bytes(content)
            return
        with system.open_output_stream(path) as file:
            file.write(content)


def move(location: str, target: str) -> None:
    """Move one file; on S3 that is a copy and a removal. Raises UnavailableError: it is where it was."""
    system, path = filesystem(location)
    _, to = filesystem(target)
    with named(location, "moved"):
        system.create_dir(to.rpartition("/")[0], recursive=True)
        system.move(path, to)


def remove(location: str) -> None:
    """Remove a file, or a folder with all that is in it; one that is not there is no error.

    Raises UnavailableError where it can't be removed.
    """
    system, path = filesystem(location)
    with named(location, "removed"):
        kind = system.get_file_info(path).type
        if kind == fs.FileType.Directory:
            system.delete_dir(path)
        elif kind != fs.FileType.NotFound:
            system.delete_file(path)


@contextmanager
def named(location: str, done: str) -> Iterator[None]:
    """Turn the error of a disk or of S3 into one that names the place and the cause.

    Raises UnavailableError.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        nothing = "; nothing was half-written" if done == "written" else ""
        raise UnavailableError(f"{location} can't be {done}: {first_line(error)}{nothing}") from None
