"""The window features of many events at once: one query of DuckDB, out of core."""

from dataclasses import dataclass

import pyarrow as pa

from serin.use_case import WindowView


@dataclass(frozen=True)
class Columns:
    """The columns of events that every window needs: the entity's, the timestamp, and `data.key` for the order of ties."""

    entity: str
    timestamp: str
    key: tuple[str, ...]


def window_features(
    events: pa.Table, view: WindowView, columns: Columns, asked: pa.Table | None = None, *, memory: str = "2GB"
) -> pa.Table:
    """The features of each of `events`, each as known at its own time, or of each row of `asked`.

    Rows of `asked` have the columns of `events` that the windows take (own values), and are no events to any but
    themselves; one whose key is an event's is that event. Without key columns in `asked` a row comes after all events of
    its time. Returns one double column a feature, rows in the order given, null where a feature is missing.
    """
    raise NotImplementedError
