"""Guess a use case from a table: what `serin new` writes down and tells its user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pandas as pd

from serin.columns import TypeName
from serin.errors import DataError
from serin.prediction_log import COLUMNS
from serin.scaffold import features
from serin.scaffold.columns import Described, describe, identifier
from serin.times import format_duration
from serin.use_case import UseCase, parse

_MAX_CATEGORIES = 100
_BALANCED = 0.05  # share of positives from which ROC AUC says enough
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Proposal:
    """A use case, and in whole sentences what was guessed and left out."""

    case: UseCase
    notes: list[str]


@dataclass(frozen=True)
class _Table:
    """A table under Serin's names, with the columns that the user named."""

    columns: dict[str, Described]
    label: str
    entities: tuple[str, ...]
    timestamp: str | None

    @property
    def named(self) -> set[str]:
        return {self.label, *self.entities, *([self.timestamp] if self.timestamp else [])}


def propose(
    frame: pd.DataFrame, *, name: str, label: str, entities: Sequence[str], timestamp: str | None = None
) -> Proposal:
    """Make a use case called `name` from a table as `source_table.read` gives it.

    With `timestamp` the rows are events: their columns come with the request, and window features are made
    for each entity. Without, the table is a snapshot: one row an entity, looked up by its key.
    Raises DataError for a column that is not there, a label that is not 0 and 1, an entity or timestamp that
    can't be one, or a table with nothing to learn from; UseCaseError for a name that is none.
    """
    _check_named(frame, [label, *entities, *([timestamp] if timestamp else [])])
    rename, notes = _renames([str(column) for column in frame.columns])
    ours = {theirs: rename.get(theirs, theirs) for theirs in frame.columns}
    table = _described(
        frame.rename(columns=rename), ours[label], [ours[e] for e in entities], timestamp and ours[timestamp]
    )
    _check_label(table)
    _check_entities(table)
    key = _key(table, notes)
    usable = _usable(table, key, notes)
    part = features.propose(name, usable, table.entities, table.timestamp, notes)
    kept = [c for c in table.columns if c in usable or c in key or c in table.named]
    document = {
        "name": name,
        "data": {
            "columns": {column: _declaration(column, table, key, notes) for column in kept},
            "key": key,
            "rename": {theirs: mine for theirs, mine in rename.items() if mine in kept},
        },
        "label": {"column": table.label},
        "gates": {"minimum": {"roc_auc": 0.6}},
        "drift": {"min_rows": 1000},
        "training": _training(table, notes),
        **part,
        **({"timestamp": table.timestamp} if table.timestamp else {}),
    }
    return Proposal(parse(document, f"the use case proposed for {name}"), notes)


def _check_named(frame: pd.DataFrame, named: Sequence[str]) -> None:
    unknown = [column for column in named if column not in frame]
    if unknown:
        raise DataError(
            f"no column {', '.join(map(repr, unknown))}; the table has {', '.join(map(str, frame.columns))}"
        )
    twice = sorted({column for column in named if named.count(column) > 1})
    if twice:
        raise DataError(f"{', '.join(twice)} can be only one of label, entity and timestamp")


def _renames(names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Serin's names for columns whose own are no identifiers, differ by case alone, or are Feast's
    or the prediction log's."""
    rename: dict[str, str] = {}
    taken = {"event_timestamp", "created_timestamp", *COLUMNS}
    for name in names:
        mine = identifier(name, taken)
        taken.add(mine.lower())
        if mine != name:
            rename[name] = mine
    notes = [f"{theirs!r} is called {mine} here (data.rename)." for theirs, mine in rename.items()]
    return rename, notes


def _described(frame: pd.DataFrame, label: str, entities: Sequence[str], timestamp: str | None) -> _Table:
    prefer: dict[str, TypeName] = dict.fromkeys((label, *entities), "integer")
    if timestamp:
        prefer[timestamp] = "timestamp"
    columns = {str(name): describe(frame[name], prefer=prefer.get(str(name))) for name in frame}
    return _Table(columns, label, tuple(entities), timestamp)


def _check_label(table: _Table) -> None:
    described = table.columns[table.label]
    counts = described.values.value_counts()
    if described.type == "integer" and set(counts.index) == {0, 1}:
        return
    listed = ", ".join(f"{value!s} ({count:,})" for value, count in counts.head(5).items()) or "nothing"
    more = f" and {len(counts) - 5:,} more" if len(counts) > 5 else ""
    advice = (
        "write 1 for the outcome to predict and 0 for the other"
        if len(counts) == 2
        else "one class alone teaches nothing"
        if len(counts) < 2
        else "a label has two values"
    )
    raise DataError(f"the label {table.label} must be 0 or 1 (or true and false); it holds {listed}{more}: {advice}")


def _check_entities(table: _Table) -> None:
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
    if not table.entities or (table.timestamp is None and len(table.entities) > 1):
        raise DataError(f"{len(table.entities)} entities named; a table without --timestamp has exactly one")
    if table.timestamp and table.columns[table.timestamp].type != "timestamp":
        example = table.columns[table.timestamp].values.dropna().head(1).tolist()
        raise DataError(
            f"timestamp {table.timestamp} holds {table.columns[table.timestamp].type} values such as {example}; "
            "allowed: ISO 8601 times (2018-06-01T12:00)"
        )


def _key(table: _Table, notes: list[str]) -> list[str]:
    """The columns that tell rows apart: the entity of a snapshot; of events an identifier of their own."""
    if table.timestamp is None:
        return [*table.entities]
    for column, described in table.columns.items():
        if column not in table.named and _is_identifier(column, described):
            notes.append(f"{column} is different in every row and taken as the key (data.key).")
            return [column]
    key = [table.timestamp, *table.entities]
    if not pd.DataFrame({column: table.columns[column].values for column in key}).duplicated().any():
        notes.append(f"No column identifies a row; the key is {', '.join(key)} (data.key).")
        return key
    notes.append("Nothing identifies a row, so there is no key: ingesting a date again replaces that date.")
    return []


def _is_identifier(name: str, column: Described) -> bool:
    is_named_so = name.lower().endswith("id") and column.type in ("integer", "text")
    return column.is_unique and not column.values.hasnans and (is_named_so or column.is_row_number)


def _usable(table: _Table, key: Sequence[str], notes: list[str]) -> dict[str, Described]:
    """The columns that a model may learn from; a note on each of the others."""
    usable = {}
    label = table.columns[table.label].values
    for column, described in table.columns.items():
        if column in key or column in table.named:
            continue
        if described.almost:
            notes.append(f"{column}: {described.almost}.")
        reason = _useless(described) or _tells(described, label)
        if reason:
            notes.append(f"{column}: {reason}, left out; add it to data.columns and features if you know better.")
            continue
        usable[column] = described
    if not usable and table.timestamp is None:
        raise DataError(f"the table has no column to learn from besides {', '.join(sorted(table.named))}")
    return usable


def _useless(column: Described) -> str | None:
    if column.distinct < 2:
        return "the same value in every row" if column.distinct else "no values"
    if column.is_row_number:
        return "counts the rows"
    if column.type == "text" and column.distinct > _MAX_CATEGORIES:
        return f"{column.distinct:,} different texts in {len(column.values):,} rows"
    if column.type == "timestamp":
        return "a second time column"
    return None


def _tells(column: Described, label: "pd.Series[Any]") -> str | None:
    """Whether the column's values tell the label, but for one in a hundred of the rarer class: a leak."""
    if column.distinct > _MAX_CATEGORIES:
        return None
    known = label.notna()
    counts = pd.crosstab(column.values[known].astype(str), label[known].astype(int))
    wrong, rarer = counts.min(axis=1).sum(), counts.sum().min()
    return "tells the label all by itself, so it is known only afterwards" if wrong < 0.01 * rarer else None


def _declaration(column: str, table: _Table, key: Sequence[str], notes: list[str]) -> Mapping[str, Any]:
    described = table.columns[column]
    rules: dict[str, Any] = {"type": described.type}
    if column == table.label:
        rules["allowed"] = [0, 1]
        if described.nulls:
            notes.append(f"{column} is unknown in {described.nulls:,} rows; they are not trained on.")
    if described.misfits:
        notes.append(f"{column}: {described.misfits:,} values are no {described.type}; such rows are quarantined.")
    required = column in key or column in table.named - {table.label}
    if described.nulls and required:
        notes.append(f"{column} is empty in {described.nulls:,} rows; such rows are quarantined.")
    elif described.nulls:
        rules["nullable"] = True
    return rules


def _training(table: _Table, notes: list[str]) -> Mapping[str, Any]:
    values = table.columns[table.label].values.dropna()
    share = float(values.mean())
    metric = "roc_auc" if share >= _BALANCED else "average_precision"
    notes.append(f"{values.sum():,} of {len(values):,} labels are 1 ({share:.2%}): estimators compete by {metric}.")
    training: dict[str, Any] = {
        "estimators": {
            "logistic_regression": {"C": 1.0},
            "xgboost": {"n_estimators": 200, "max_depth": 4, "learning_rate": 0.05},
        },
        "primary_metric": metric,
    }
    if table.timestamp:
        times = table.columns[table.timestamp].values
        days = (times.max() - times.min()).days
        period = min(_WEEK, timedelta(days=max(1, days // 5)))
        training |= {"test": format_duration(period), "validation": format_duration(period)}
        notes.append(
            f"The rows span {days:,} days; the last {format_duration(period)} are held back for the test, "
            "as many before them for validation."
        )
        notes.append("Labels count as known at once (label.delay: 0d); set it if yours arrive later, e.g. 7d.")
    return training
