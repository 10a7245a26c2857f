"""Frames: how a spool file is written, so that what was cut short, or is no longer what was written, can be told.

A frame is a header (mark, bytes, rows, CRC-32) and a message of Arrow's IPC stream format; the first of a file is the
schema, every other one a record batch.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from serin.errors import DataError

_HEADER = struct.Struct("<4sIII")
_MARK = b"SLOG"


@dataclass(frozen=True)
class Content:
    """The sound rows of a spool file; of what is not sound the bytes, and the rows as far as the headers tell them."""

    rows: pa.Table
    lost_bytes: int
    lost_rows: int


def frame(message: pa.Buffer, rows: int) -> bytes:
    """One message as a frame."""
    counts = struct.pack("<II", message.size, rows)
    return b"".join((_HEADER.pack(_MARK, message.size, rows, _checksum(counts, message)), message))


def content(data: bytes) -> Content:
    """What a spool file holds. Raises DataError where not even its schema is sound."""
    messages, lost_bytes, lost_rows = [], 0, 0
    for message, rows, length in _frames(memoryview(data)):
        if message is None:
            lost_bytes += length
            lost_rows += rows
        messages.append(message)
    if not messages or messages[0] is None:
        raise DataError("it has no sound schema")
    # Each for itself, as it lies in `data`: a copy of megabytes would hold the interpreter for milliseconds.
    first, *rest = [pa.py_buffer(message) for message in messages if message is not None]
    try:
        schema = pa.ipc.read_schema(first)
        batches = [pa.ipc.read_record_batch(message, schema) for message in rest]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"its frames are sound, but no messages of Arrow's: {error}") from None
    return Content(pa.Table.from_batches(batches, schema), lost_bytes, lost_rows)


def _frames(data: memoryview) -> Iterator[tuple[memoryview | None, int, int]]:
    """Each frame's message, None where it is not sound, its rows and its bytes."""
    at = 0
    while at < len(data):
        rest = len(data) - at
        if rest < _HEADER.size:
            yield None, 0, rest
            return
        mark, length, rows, checksum = _HEADER.unpack_from(data, at)
        if mark != _MARK:
            # Where the next frame begins is lost with this one.
            yield None, 0, rest
            return
        whole = _HEADER.size + length
        message = data[at + _HEADER.size : at + whole]
        sound = whole <= rest and checksum == _checksum(data[at + 4 : at + 12], message)
        yield message if sound else None, rows, min(whole, rest)
        at += whole


def _checksum(counts: bytes | memoryview, message: pa.Buffer | memoryview) -> int:
    return zlib.crc32(message, zlib.crc32(counts))
