"""The online store, whichever it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from serin.online.plan import LogPlan, TablePlan


@dataclass(frozen=True)
class LogMeta:
    """What the packed tails of an event log hold: all events in [start, end) (microseconds since 1970), with the
    columns that `schema` names, of some entities those before `EventSchema.raw_since(start)` merged to its hops.

    `pushed` is the time of the latest event that was pushed, None where none was.
    """

    start: int
    end: int
    schema: str  # EventSchema as JSON: what the tails were packed with
    pushed: int | None = None


@dataclass(frozen=True)
class EntityEvents:
    """What a log has of one entity: its packed tail, None where it has none, and what was pushed since, by event id.

    `labels` are those that were pushed by themselves, by event id: they count in place of the event's own.
    """

    tail: bytes | None
    pushed: Mapping[bytes, bytes]
    labels: Mapping[bytes, bytes]


@dataclass(frozen=True)
class Row:
    """An entity's row of a feature view: values in the order of the plan's features (None: missing), and its time in
    microseconds since 1970."""

    values: tuple[Any, ...]
    time: int


@dataclass(frozen=True)
class Found:
    """What one read found. `rows`: of each table plan, n rows in the order of the keys, None where there is none.
    `events`: of each log, n entities' events; `meta`: of each log, None where it was never filled."""

    rows: Sequence[Sequence[Row | None]]
    events: Sequence[Sequence[EntityEvents]]
    meta: Sequence[LogMeta | None]


@dataclass(frozen=True)
class PushedEvent:
    """An event to push: its id, its entity's key, its time (microseconds since 1970), and its columns as JSON."""

    id: bytes
    entity: Any
    time: int
    row: bytes


class OnlineStore(Protocol):
    """Every method raises UnavailableError where the store does not answer."""

    async def read(
        self,
        tables: Sequence[tuple[TablePlan, Sequence[Any]]],
        logs: Sequence[tuple[LogPlan, Sequence[Any]]],
    ) -> Found:
        """All rows and all views in one round trip. A key that is None has nothing."""

    def write_rows(self, table: TablePlan, rows: pa.Table) -> None:
        """Write one row an entity (key, features, event_timestamp) in Feast's format. Can be run twice.

        A row whose features are all null deletes the entity's. NaN is null. Rows of other entities stay.
        Raises DataError for rows that don't fit the plan.
        """

    def publish(self, log: LogPlan, tails: Iterable[tuple[Any, bytes]], meta: LogMeta) -> int:
        """Put the tails in place of those that are there, at once: whoever reads meanwhile sees the ones or the others.

        An entity that is not among them has none any more. What was pushed stays (see `forget`). Returns how many
        entities there are. A run that is killed changes nothing.
        """

    def forget(self, log: LogPlan, known: Mapping[Any, Mapping[bytes, bytes]]) -> int:
        """Remove pushed events (by entity and id) that the tails hold by now, each only where it still is the row given
        here: what was corrected meanwhile stays. Returns how many went."""

    def forget_labels(self, log: LogPlan, known: Mapping[Any, Mapping[bytes, bytes]]) -> int:
        """The same for labels that were pushed by themselves and that the events of the tails have by now."""

    def pushed(self, log: LogPlan) -> Mapping[Any, EntityEvents]:
        """All that was pushed, by entity (tails left out)."""

    def push(self, log: LogPlan, events: Sequence[PushedEvent]) -> int:
        """Add events; one with an id that is there takes its place. Returns how many are new. Any number may push at
        once, and nothing is lost."""

    def push_labels(self, log: LogPlan, labels: Sequence[PushedEvent]) -> int:
        """Say the label of events; `row` is the label as JSON."""

    def meta(self, log: LogPlan) -> LogMeta | None:
        """What the log holds; None where it was never filled."""

    def close(self) -> None:
        """Let go of all connections."""
