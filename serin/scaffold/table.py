"""The table at hand: its columns under Serin's names, and those that the user named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from serin.columns import YEARS
from serin.errors import DataError
from serin.prediction_log import COLUMNS
from serin.scaffold.columns import Described, describe, describe_key, identifier
from serin.scaffold.label import describe_label
from serin.use_case import RESERVED_PREFIX


@dataclass(frozen=True)
class NamedTable:
    """A table under Serin's names, with the columns that the user named."""

    columns: dict[str, Described]
    label: str
    entities: tuple[str, ...]
    timestamp: str | None

    @property
    def named(self) -> set[str]:
        """The columns that the user named."""
        return {self.label, *self.entities, *([self.timestamp] if self.timestamp else [])}

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.columns[self.label].values)

    @property
    def times(self) -> "pd.Series[Any] | None":
        """The known event times; None for a table without any."""
        return self.columns[self.timestamp].values.dropna() if self.timestamp else None


def check_named(frame: pd.DataFrame, named: Sequence[str]) -> None:
    """Raises DataError where the table lacks a column that the user named, or one was named twice."""
    unknown = [column for column in named if column not in frame]
    if unknown:
        raise DataError(
            f"no column {', '.join(map(repr, unknown))}; the table has {', '.join(map(str, frame.columns))}"
        )
    twice = sorted({column for column in named if named.count(column) > 1})
    if twice:
        raise DataError(f"{', '.join(twice)} can be only one of label, entity and timestamp")


def renames(names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Serin's names for columns whose own are no identifiers, differ by case alone, or are Feast's, Serin's own
    or the prediction log's."""
    rename: dict[str, str] = {}
    taken = {"event_timestamp", "created_timestamp", *COLUMNS}
    for name in names:
        mine = identifier(f"column_{name}" if name.lower().startswith(RESERVED_PREFIX) else name, taken)
        taken.add(mine.lower())
        if mine != name:
            rename[name] = mine
    notes = [f"{theirs!r} is called {mine} here (data.rename)." for theirs, mine in rename.items()]
    return rename, notes


def describe_table(
    frame: pd.DataFrame, label: str, entities: Sequence[str], timestamp: str | None, positive: str | None
) -> tuple[NamedTable, Mapping[str, Any]]:
    """What the columns hold, and the part `label` of the use case. Raises DataError as `describe_label` does."""
    described, label_part = describe_label(label, frame[label], positive)
    columns = {
        str(name): described
        if name == label
        else describe_key(frame[name])
        if name in entities
        else describe(frame[name], prefer="timestamp" if name == timestamp else None)
        for name in frame
    }
    return NamedTable(columns, label, tuple(entities), timestamp), label_part


def check_entities(table: NamedTable) -> None:
    """Raises DataError for an entity or a timestamp that can't be one."""
    for entity in table.entities:
        described = table.columns[entity]
        if not described.distinct:
            raise DataError(f"entity {entity} has no value in any row")
        if described.type not in ("integer", "text"):
            raise DataError(f"entity {entity} holds {described.type} values; allowed: integer, text")
        if table.timestamp is None and not described.is_unique:
            repeated = described.values.value_counts()
            raise DataError(
                f"entity {entity} has {described.distinct:,} different values in {len(described.values):,} rows "
                f"({repeated.index[0]} occurs {repeated.iloc[0]:,} times); a table without --timestamp holds one "
                "row an entity. Name its time column with --timestamp if the rows are events"
            )
    if table.timestamp is None and len(table.entities) > 1:
        raise DataError(f"{len(table.entities)} entities named; a table without --timestamp has at most one")
    if table.timestamp and table.columns[table.timestamp].type != "timestamp":
        example = table.columns[table.timestamp].values.dropna().head(1).tolist()
        raise DataError(
            f"timestamp {table.timestamp} holds {table.columns[table.timestamp].type} values such as {example}; "
            "allowed: ISO 8601 times (2018-06-01T12:00) from "
            f"{YEARS[0]} to {YEARS[1]}, or numbers of s, ms, us or ns since 1970"
        )
