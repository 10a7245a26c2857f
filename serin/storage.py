"""Parquet tables under a local path or an s3:// URI: the one way in which both sides read and write tables.

The endpoint and the credentials of S3 are those that AWS's own variables name (AWS_ENDPOINT_URL, ...).
A write is atomic on both: a rename in a local folder, a single put on S3.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from serin import atomic
from serin.errors import UnavailableError


def filesystem(location: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URI, and the path in it.

    Raises UnavailableError for a URI that can't be opened.
    """
    if "://" not in location:
        return fs.LocalFileSystem(), str(Path(location).absolute())
    try:
        system, path = fs.FileSystem.from_uri(location)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnavailableError(f"{location} can't be opened: {error}") from None
    return system, path


def exists(location: str) -> bool:
    """Whether a file or folder is there."""
    system, path = filesystem(location)
    return bool(system.get_file_info(path).type != fs.FileType.NotFound)


def files(folder: str) -> list[str]:
    """Locations of all Parquet files below `folder`, sorted; empty where there is no such folder."""
    system, path = filesystem(folder)
    found = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    scheme = folder.split("://")[0] + "://" if "://" in folder else ""
    return sorted(scheme + info.path for info in found if _is_table(info))


def _is_table(info: fs.FileInfo) -> bool:
    return bool(info.is_file and info.extension == "parquet" and not info.base_name.startswith("."))


def read_table(location: str, columns: list[str] | None = None, where: ds.Expression | None = None) -> pa.Table:
    """A file, or all Parquet files below a folder as one table; columns that a file lacks are null there.

    Raises UnavailableError where nothing is stored.
    """
    found = [location] if location.endswith(".parquet") else files(location)
    if not found or not exists(found[0]):
        raise UnavailableError(f"nothing is stored at {location}")
    system, _ = filesystem(location)
    paths = [filesystem(name)[1] for name in found]
    schema = pa.unify_schemas([pq.read_schema(path, filesystem=system) for path in paths], promote_options="permissive")
    dataset = ds.dataset(paths, schema=schema, format="parquet", filesystem=system)
    return dataset.to_table(columns=columns, filter=where)


def write_table(table: pa.Table, location: str) -> None:
    """Write one Parquet file in place of what is at `location`. Raises UnavailableError: nothing was written."""
    system, path = filesystem(location)
    with named(location, "written"):
        if not isinstance(system, fs.LocalFileSystem):
            pq.write_table(table, path, filesystem=system)
            return
        with atomic.replaced(Path(path)) as temporary:
            pq.write_table(table, temporary)


def read_text(location: str) -> str:
    """A small text. Raises UnavailableError where it can't be read."""
    system, path = filesystem(location)
    with named(location, "read"), system.open_input_file(path) as file:
        return str(file.read().decode())


def write_text(text: str, location: str) -> None:
    """Write a small text in place of what is at `location`. Raises UnavailableError: nothing was written."""
    system, path = filesystem(location)
    with named(location, "written"):
        if isinstance(system, fs.LocalFileSystem):
            atomic.write_text(Path(path), text)
            return
        with system.open_output_stream(path) as file:
            file.write(text.encode())


@contextmanager
def named(location: str, done: str) -> Iterator[None]:
    """Turn the error of a disk or of S3 into one that names the place and the cause.

    Raises UnavailableError.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        nothing = "; nothing was half-written" if done == "written" else ""
        raise UnavailableError(f"{location} can't be {done}: {cause}{nothing}") from None
