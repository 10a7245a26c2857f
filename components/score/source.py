"""A table to score, as it streams in: Parquet or separated text, a file or a folder of them, on a disk or on S3.

No more than a batch of it is in memory. Values of a text file become those of their columns as ingest reads them.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from pyarrow import fs

from serin.artifact import RequestColumn
from serin.columns import TYPES, problem
from serin.errors import DataError, UnavailableError, first_line
from serin.storage import exists, filesystem
from serin.tables import parts_of
from serin.use_case import UseCase
from serin.values import PLAIN, Notation, convert, notation_of

# So few that a batch of 30 columns stays in the processor's cache, and so many that the steps of each column cost
# little beside its values.
BATCH_ROWS = 16_384
_BLOCK = 8 << 20  # bytes of text that are parsed at a time
_SAMPLE = 1 << 16
_SEPARATORS = ",;\t|"
_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_TEXT = (".csv", ".tsv", ".txt")
_REFUSALS = (pa.ArrowException, OSError, ValueError)


@dataclass(frozen=True)
class Lines:
    """Up to BATCH_ROWS rows: the columns that are wanted, what is wrong with values that are none of their column's
    type, by column and place, and the lines of a text that are no rows, each with the reason."""

    columns: Mapping[str, pa.Array]
    rows: int
    wrong: Mapping[str, Mapping[int, str]]
    bad: Sequence[str] = ()


class Source:
    """A table at a path or URI. `names` are its columns, as the use case calls them."""

    def __init__(self, location: str, case: UseCase) -> None:
        """Raises UnavailableError where it is out of reach, DataError where it is no table that is read, or its files
        have different columns."""
        self._case = case
        self._files = _files(location)
        found = [_names(file) for file in self._files]
        for file, names in zip(self._files[1:], found[1:], strict=True):
            if odd := set(names) ^ set(found[0]):
                raise DataError(
                    f"{file} and {self._files[0]} differ on {', '.join(sorted(odd))}; allowed: the same columns"
                )
        rename = case.data.rename
        self._theirs = {rename.get(name, name): name for name in found[0]}
        if len(self._theirs) < len(found[0]):
            raise DataError(f"{location} has more than one column of the same name: {', '.join(found[0])}")

    @property
    def names(self) -> list[str]:
        """Its columns, in order."""
        return list(self._theirs)

    def batches(self, wanted: Sequence[RequestColumn]) -> Iterator[Lines]:
        """All rows in order, with the columns `wanted`. Raises DataError where a file is damaged."""
        for file in self._files:
            yield from self._text(file, wanted) if _is_text(file) else self._parquet(file, wanted)

    def _parquet(self, file: str, wanted: Sequence[RequestColumn]) -> Iterator[Lines]:
        theirs = [self._theirs[column.name] for column in wanted]
        system, path = filesystem(file)
        with _readable(file), pq.ParquetFile(path, filesystem=system, page_checksum_verification=True) as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS, columns=theirs):
                arrays = {column.name: batch.column(self._theirs[column.name]) for column in wanted}
                yield Lines(arrays, batch.num_rows, {})

    def _text(self, file: str, wanted: Sequence[RequestColumn]) -> Iterator[Lines]:
        bad: list[str] = []

        def keep(row: Any) -> str:
            bad.append(f"{row.actual_columns} fields, expected {row.expected_columns}: {row.text[:200]}")
            return "skip"

        theirs = [self._theirs[column.name] for column in wanted]
        with _readable(file), _opened(file) as stream:
            reader = pacsv.open_csv(
                stream,
                pacsv.ReadOptions(use_threads=False, block_size=_BLOCK),
                pacsv.ParseOptions(delimiter=_separator(file), newlines_in_values=True, invalid_row_handler=keep),
                pacsv.ConvertOptions(
                    include_columns=theirs, column_types=dict.fromkeys(theirs, pa.string()), strings_can_be_null=False
                ),
            )
            for block in reader:
                for start in range(0, block.num_rows, BATCH_ROWS):
                    batch = block.slice(start, BATCH_ROWS)
                    columns, wrong = {}, {}
                    for column in wanted:
                        texts = batch.column(self._theirs[column.name])
                        columns[column.name], wrong[column.name] = _values(texts, column, self._notation(column.name))
                    yield Lines(columns, batch.num_rows, wrong, tuple(bad))
                    bad.clear()
            if bad:
                yield Lines({}, 0, {}, tuple(bad))

    def _notation(self, name: str) -> Notation:
        return notation_of(self._case, name) if name in self._case.data.columns else PLAIN


def _values(texts: pa.Array, column: RequestColumn, notation: Notation) -> tuple[pa.Array, dict[int, str]]:
    """Texts as values of the column's type, null where they are none; and what is wrong with those."""
    if column.type == "number" and notation == PLAIN:
        try:
            return pc.if_else(pc.equal(texts, ""), None, texts).cast(pa.float64()), {}
        except pa.ArrowInvalid:
            pass  # Blanks, words, marks: one by one.
    converted, misfits = convert(texts.to_pandas().astype(object), column.type, notation)
    wrong = {int(place): problem(column.misfit, texts[int(place)].as_py()) for place in np.flatnonzero(misfits)}
    return pa.array(converted, TYPES[column.type].arrow, from_pandas=True), wrong


def _files(location: str) -> list[str]:
    files = parts_of(location)
    if files is None:
        files = [location]
        if not exists(location):
            raise UnavailableError(f"{location} is not there; name a table, or a folder of them")
    for file in files:
        if partition := next((part for part in file.removeprefix(location).split("/")[:-1] if "=" in part), ""):
            raise DataError(
                f"{file} lies in a folder {partition}, whose value is a column: such folders are not scored"
            )
        if not (_is_text(file) or file.lower().endswith(".parquet")):
            raise DataError(
                f"{file} has an extension that is not scored; allowed: .parquet, {', '.join(_TEXT)}, and the texts "
                f"also with {', '.join(_CODECS)}"
            )
    return files


def _names(file: str) -> list[str]:
    if not _is_text(file):
        system, path = filesystem(file)
        with _readable(file):
            return list(pq.read_schema(path, filesystem=system).names)
    return next(csv.reader([_header(file)], delimiter=_separator(file)))


def _separator(file: str) -> str:
    header = _header(file)
    return max(_SEPARATORS, key=header.count)


def _header(file: str) -> str:
    with _readable(file), _opened(file) as stream:
        start = stream.read(_SAMPLE)
    try:
        lines = start.rpartition(b"\n")[0].decode("utf-8-sig") if len(start) == _SAMPLE else start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8") from None
    header = next(iter(lines.splitlines()), "")
    if not header.strip():
        raise DataError(f"{file} begins with an empty line; its first line has the names of the columns")
    return header


def _extension(file: str) -> tuple[str, str | None]:
    name = file.lower()
    codec = next((codec for ending, codec in _CODECS.items() if name.endswith(ending)), None)
    return name.rpartition(".")[0] if codec else name, codec


def _is_text(file: str) -> bool:
    return _extension(file)[0].endswith(_TEXT)


@contextmanager
def _opened(file: str) -> Iterator[Any]:
    system, path = filesystem(file)
    _, codec = _extension(file)
    with system.open_input_file(path) as stream:
        yield pa.CompressedInputStream(stream, codec) if codec else stream


@contextmanager
def _readable(file: str) -> Iterator[None]:
    try:
        yield
    except _REFUSALS as error:
        system, _ = filesystem(file)
        # A file of this machine that won't be read is damaged; on S3 it may be the connection.
        away = isinstance(error, OSError) and not isinstance(system, fs.LocalFileSystem)
        raise (UnavailableError if away else DataError)(f"{file} can't be read: {first_line(error)}") from None
