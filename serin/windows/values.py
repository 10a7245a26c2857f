"""The window features of one event, from its entity's tail."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serin.use_case import WindowView
from serin.windows.tail import EventSchema, Tail


@dataclass(frozen=True)
class OwnEvent:
    """The event that the features are of: its time in microseconds since 1970, its id (None where its key is not
    known: it comes after all others of its time then) and the values of its columns."""

    time: int
    id: bytes | None
    values: Mapping[str, Any]


def window_values(view: WindowView, tail: Tail, schema: EventSchema, own: OwnEvent) -> list[float]:
    """The view's features in order, NaN where missing. An event of the tail with the id of `own` does not count twice:
    what `own` says of it holds."""
    raise NotImplementedError
