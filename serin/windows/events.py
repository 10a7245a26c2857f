"""What is kept online of each event: which columns, by which id, and in which codes."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from serin.columns import TypeName
from serin.errors import DataError
from serin.times import EPOCH, micros
from serin.windows.aggregations import MISSING
from serin.windows.hops import States

SIGN = 1 << 63
MAGNITUDE = SIGN - 1
# Where ids are ordered, null comes last, as it does in a query. No UTF-8 begins with this byte.
NULL_TEXT, NULL_NUMBER = b"\xff\0", b"\xff" * 8


class EventSchema(BaseModel):
    """What is kept online of each event: the columns that the windows of an entity take, and what orders ties.

    `numbers` are kept as float64 (NaN: missing), `codes` as int64 that tell values apart (see `code`); a column may be
    among both. `key` is `data.key` with its types: the order of ties, and what a pushed event is known by. `since` is
    how far back the windows reach, in microseconds.

    `hops` are the states that windows with a hop take of whole hops, by the hop in microseconds. With them events need
    be there one by one only as far back as `raw`: what windows without a hop reach, and the delays of the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    timestamp: str
    key: dict[str, TypeName]
    numbers: tuple[str, ...] = ()
    codes: dict[str, TypeName] = {}
    since: int
    raw: int | None = None
    hops: dict[int, States] = {}

    def raw_since(self, start: int) -> int:
        """From when on a log that begins at `start` (microseconds since 1970) has events one by one."""
        return start if self.raw is None else start + self.since - self.raw

    @property
    def key_in_order(self) -> tuple[tuple[str, TypeName], ...]:
        """The key's columns with their types; in another order they make other ids."""
        return tuple(self.key.items())


def event_id(schema: EventSchema, row: Mapping[str, Any]) -> bytes:
    """The event's key as bytes: an integer as 8 bytes, big-endian with the sign's bit flipped; a text as UTF-8 and a 0
    byte; several one after the other. The order of the bytes is the order of the keys, column by column."""
    return b"".join(_key_bytes(row.get(name), kind) for name, kind in schema.key.items())


def event_key(schema: EventSchema, event: bytes) -> dict[str, Any]:
    """The key that `event_id` made an id of; None where it is null. Raises DataError for an id of another key."""
    found: dict[str, Any] = {}
    rest = event
    try:
        for name, kind in schema.key.items():
            length = rest.index(b"\0") + 1 if kind == "text" else 8
            found[name], rest = _of_bytes(rest[:length], kind), rest[length:]
    except (ValueError, OverflowError):
        found = {}
    if not found or rest or event_id(schema, found) != event:
        raise DataError(f"an event's id is {event.hex()}, which is none of the key {', '.join(schema.key)}")
    return found


def code(value: Any, kind: TypeName) -> int:
    """What tells values of a column apart: an integer itself, true 1 and false 0, the bits of a float64, the first 8
    bytes of a text's BLAKE2b, the microseconds of a time; MISSING for None and NaN."""
    if value is None or value != value:
        return MISSING
    if kind == "text":
        return int.from_bytes(hashlib.blake2b(value.encode()).digest()[:8], "little", signed=True)
    if kind == "number":
        return int(np.array(value + 0.0, np.float64).view(np.int64))  # -0.0 is 0.0
    return micros(value) if isinstance(value, datetime) else int(value)


def row_bytes(row: Mapping[str, Any]) -> bytes:
    """A pushed event's columns as JSON: equal rows are equal bytes. Times are microseconds since 1970."""
    plain = {name: micros(value) if isinstance(value, datetime) else value for name, value in row.items()}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def label_bytes(value: Any) -> bytes:
    """A pushed label as JSON: equal labels are equal bytes."""
    return json.dumps(value).encode()


def _key_bytes(value: Any, kind: TypeName) -> bytes:
    if kind == "text":
        return NULL_TEXT if value is None else value.encode() + b"\0"
    if value is None:
        return NULL_NUMBER
    return (_ascending(code(value, kind), kind) + SIGN).to_bytes(8, "big")


def _ascending(code_of_it: int, kind: TypeName) -> int:
    """A code as a number that is in order; the bits of negative floats run the other way."""
    return code_of_it ^ MAGNITUDE if kind == "number" and code_of_it < 0 else code_of_it


def _of_bytes(part: bytes, kind: TypeName) -> Any:
    if part in (NULL_TEXT, NULL_NUMBER):
        return None
    if kind == "text":
        return part[:-1].decode()
    number = int.from_bytes(part, "big") - SIGN
    if kind == "number":
        return float(np.array(_ascending(number, kind), np.int64).view(np.float64))
    if kind == "timestamp":
        return EPOCH + timedelta(microseconds=number)
    return bool(number) if kind == "boolean" else number
