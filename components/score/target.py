"""Files that are written batch by batch and are there in full or not at all: on a disk by a rename, on S3 by a copy."""

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from pyarrow import fs

from serin import atomic, storage
from serin.errors import DataError, UnavailableError

Write = Callable[[pa.Table], None]
FORMATS = (".parquet", ".csv")
_GROUP_ROWS = 1 << 17  # of a Parquet file: readers take a row group at a time


def check_target(location: str, source: str) -> None:
    """Raises DataError for a name that says of no format that is written, and where scores or refused rows would take
    the place of `source`, or be in it and be taken for rows the next time."""
    of = storage.filesystem(source)[1].rstrip("/")
    for place in (location, beside(location)):
        there = storage.filesystem(place)[1]
        if there == of or there.startswith(f"{of}/"):
            raise DataError(f"{place} would be written, and is the table to score, or in it; name another place")
    if not location.lower().endswith(FORMATS):
        raise DataError(f"{location}: scores are written as {' or '.join(FORMATS)}; name a file that ends so")


def beside(location: str) -> str:
    """Where the refused rows of what is written to `location` are."""
    return f"{location.rpartition('.')[0]}.refused.parquet"


@contextmanager
def written(location: str, schema: pa.Schema) -> Iterator[Write]:
    """What writes tables of `schema`; they are at `location` when the block ends without an error.

    Raises UnavailableError where that can't be written: it is as it was then.
    """
    system, path = storage.filesystem(location)
    if isinstance(system, fs.LocalFileSystem):
        with atomic.replaced(Path(path)) as temporary, _writer(temporary, location, schema) as write:
            yield write
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table"
        with _writer(file, location, schema) as write:
            yield write
        _upload(file, location)


@contextmanager
def _writer(file: Path, location: str, schema: pa.Schema) -> Iterator[Write]:
    if location.lower().endswith(".csv"):
        with pacsv.CSVWriter(str(file), schema) as texts:
            yield texts.write_table
    else:
        # No two scores are the same, and no two numbers of rows: a dictionary of them only costs time.
        texts_of = [field.name for field in schema if pa.types.is_string(field.type)]
        with (
            pq.ParquetWriter(str(file), schema, write_page_checksum=True, use_dictionary=texts_of) as parquet,
            _gathered(parquet.write_table) as write,
        ):
            yield write


@contextmanager
def _gathered(write: Write) -> Iterator[Write]:
    """What hands tables on as one, once they have _GROUP_ROWS rows, and the last of them when the block ends."""
    waiting: list[pa.Table] = []

    def gather(table: pa.Table) -> None:
        waiting.append(table)
        if sum(map(len, waiting)) >= _GROUP_ROWS:
            hand_on()

    def hand_on() -> None:
        write(pa.concat_tables(waiting))
        waiting.clear()

    yield gather
    if waiting:
        hand_on()


def _upload(file: Path, location: str) -> None:
    """An upload that is cut short may end as an object: it has a name of its own until it is whole."""
    system, path = storage.filesystem(location)
    temporary = f"{path}.{uuid.uuid4().hex}.tmp"
    with storage.named(location, "written"):
        try:
            with file.open("rb") as content, system.open_output_stream(temporary) as stream:
                shutil.copyfileobj(content, stream, 1 << 20)
            system.move(temporary, path)
        except BaseException:
            with suppress(OSError, pa.ArrowException, UnavailableError):
                system.delete_file(temporary)
            raise
