"""The latest events of one entity, as the online store keeps them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from serin.columns import TypeName


class EventSchema(BaseModel):
    """What is kept online of each event: the columns that the windows of an entity take, and what orders ties.

    `numbers` are kept as float64 (NaN: missing), `codes` as int64 that tell values apart (see `code`); a column may be
    among both. `key` is `data.key` with its types: the order of ties, and what a pushed event is known by. `since` is
    how far back the windows reach, in microseconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    timestamp: str
    key: dict[str, TypeName]
    numbers: tuple[str, ...] = ()
    codes: dict[str, TypeName] = {}
    since: int


@dataclass(frozen=True)
class Tail:
    """n events of one entity in the order of time, ties in that of their ids. `times` are microseconds since 1970.

    An id is the event's key as bytes whose order is the key's (see `event_id`).
    """

    times: NDArray[np.int64]
    ids: Sequence[bytes]
    numbers: Mapping[str, NDArray[np.float64]]
    codes: Mapping[str, NDArray[np.int64]]


def event_id(schema: EventSchema, row: Mapping[str, Any]) -> bytes:
    """The event's key as bytes: an integer as 8 bytes, big-endian with the sign's bit flipped; a text as UTF-8 and a 0
    byte; several one after the other. The order of the bytes is the order of the keys, column by column."""
    raise NotImplementedError


def code(value: Any, kind: TypeName) -> int:
    """What tells values of a column apart: an integer itself, true 1 and false 0, the bits of a float64, the first 8
    bytes of a text's BLAKE2b; MISSING for None and NaN."""
    raise NotImplementedError


def pack(events: pa.Table, entity: str, schema: EventSchema) -> Iterator[tuple[Any, bytes]]:
    """The tail of each entity in `events`, packed, with the entity's key; entities in order."""
    raise NotImplementedError


def unpack(packed: bytes | None, schema: EventSchema) -> Tail:
    """A packed tail; None is the tail of an entity that has none."""
    raise NotImplementedError


def with_pushed(tail: Tail, pushed: Sequence[Mapping[str, Any]], schema: EventSchema) -> Tail:
    """The tail with events that were pushed since; each takes the place of one with its id."""
    raise NotImplementedError
