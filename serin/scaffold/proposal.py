"""Guess a use case from a table: what `serin new` writes down and tells its user."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from serin.columns import TYPES
from serin.errors import DataError
from serin.scaffold import features, leaks, notation, training
from serin.scaffold.columns import Described
from serin.scaffold.table import NamedTable, check_entities, check_named, describe_table, renames
from serin.schema import MAX_CATEGORIES
from serin.use_case import UseCase, parse

_BAD_SHARE = 0.05  # of rows that ingest may set aside
_MOST_BAD = 0.5


@dataclass(frozen=True)
class Proposal:
    """A use case, in whole sentences what was guessed and left out, and what its user should look at first."""

    case: UseCase
    notes: list[str]
    warnings: list[str]


def propose(
    frame: pd.DataFrame,
    *,
    name: str,
    label: str,
    entities: Sequence[str] = (),
    timestamp: str | None = None,
    positive: str | None = None,
    unread_rows: int = 0,
) -> Proposal:
    """Make a use case called `name` from a table as `serin.tables.read` gives it.

    With `timestamp` the rows are events: their columns come with the request, and window features are made
    for each entity. Without, the table is a snapshot: one row an entity, looked up by its key. Without `entities`
    each row stands for itself, and a request carries all of it. `positive` is the outcome to predict of a label in
    words; `unread_rows` are rows that could not be read: ingest will count them as bad.
    Raises DataError for a column that is not there, a label that has not two outcomes, an entity or timestamp that
    can't be one, a table with nothing to learn from, or of which most rows are bad; UseCaseError for a name that is
    none.
    """
    check_named(frame, [label, *entities, *([timestamp] if timestamp else [])])
    rename, notes = renames([str(column) for column in frame.columns])
    ours = {theirs: rename.get(theirs, theirs) for theirs in frame.columns}
    table, label_part = describe_table(
        frame.rename(columns=rename), ours[label], [ours[e] for e in entities], timestamp and ours[timestamp], positive
    )
    check_entities(table)
    notes += [f"{name}: {table.columns[name].almost}." for name in table.entities if table.columns[name].almost]
    warnings = list(_warnings_of_time(table))
    key = _key(table, notes)
    usable = _usable(table, key, notes, warnings)
    kept = [c for c in table.columns if c in usable or c in key or c in table.named]
    part = features.propose(name, usable, table.entities, table.timestamp, kept, notes)
    document = {
        "name": name,
        "data": {
            "columns": {column: _declaration(column, table, key, notes) for column in kept},
            "key": key,
            "rename": {theirs: mine for theirs, mine in rename.items() if mine in kept},
            **_bad_share(table, kept, key, unread_rows, notes),
        },
        "label": label_part,
        "gates": {"minimum": {"roc_auc": 0.6}, "max_loss": 0.01},
        "drift": training.drift(table.rows, table.times, notes),
        "training": training.training(table.columns[table.label].values, table.times, notes),
        "schedules": training.schedules(part["features"]),
        **part,
        **({"timestamp": table.timestamp} if table.timestamp else {}),
    }
    case = parse(document, f"the use case proposed for {name}")
    if table.times is not None:
        notes += training.periods(case, table.columns[table.label].values, table.times)
    return Proposal(case, notes, warnings)


def _warnings_of_time(table: NamedTable) -> Iterator[str]:
    if table.timestamp:
        return
    if times := [name for name, column in table.columns.items() if column.type == "timestamp"]:
        yield (
            f"{', '.join(times)}: times, but no --timestamp. If rows are events, name their time: a random split "
            "lets a model learn from rows that are later than those it is tested on."
        )
    elif parts := leaks.parts_of_dates({n: c for n, c in table.columns.items() if n not in table.named}):
        yield (
            f"{', '.join(parts)}: parts of a date, but no time column. If rows are events, a random split flatters "
            "the model: write the date into a column (2018-06-01) and name it with --timestamp."
        )


def _key(table: NamedTable, notes: list[str]) -> list[str]:
    """The columns that tell rows apart: the entity of a snapshot; of events an identifier of their own.

    Of rows that stand for themselves there is none.
    """
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
    notes.append("Nothing identifies a row, so there is no key (data.key), and no event can be pushed.")
    return []


def _is_identifier(name: str, column: Described) -> bool:
    # A table's own index starts anew in the next table, whose rows would be taken for corrections of these.
    if column.is_index(name):
        return False
    is_named_so = name.lower().endswith("id") and column.type in ("integer", "text")
    return column.is_unique and not column.values.hasnans and (is_named_so or column.is_row_number)


def _usable(table: NamedTable, key: Sequence[str], notes: list[str], warnings: list[str]) -> dict[str, Described]:
    """The columns that a model may learn from; a note on each of the others, a warning of each that may be a leak."""
    usable = {}
    label = table.columns[table.label].values
    for column, described in table.columns.items():
        if column in key or column in table.named:
            continue
        if described.almost:
            notes.append(f"{column}: {described.almost}.")
        if reason := _useless(column, described, table):
            notes.append(f"{column}: {reason}, left out; add it to data.columns and features if you know better.")
        elif (area := leaks.tells(_as_seen(described, table), label) or 0) >= leaks.SUSPECT:
            ones, known = int(label.sum()), int(label.notna().sum())
            warnings.append(
                f"{column} alone tells the label (area under the ROC curve {area:.4f}, out of fold, {ones:,} ones in "
                f"{known:,} rows): it is probably known only afterwards. Left out; add it to data.columns and features "
                "if it is known when a prediction is asked for."
            )
        else:
            usable[column] = described
    if not usable and table.timestamp is None:
        raise DataError(f"the table has no column to learn from besides {', '.join(sorted(table.named))}")
    return usable


def _useless(name: str, column: Described, table: NamedTable) -> str | None:
    if column.distinct < 2:
        return "the same value in every row" if column.distinct else "no values"
    if column.is_row_number or column.is_index(name):
        return "counts the rows"
    if column.type == "text" and column.distinct > MAX_CATEGORIES:
        return f"{column.distinct:,} different texts in {len(column.values):,} rows"
    return _useless_time(column, table) if column.type == "timestamp" else None


def _useless_time(column: Described, table: NamedTable) -> str | None:
    """A time is told to the model as how long before the event it was."""
    if table.timestamp is None:
        return "a time, in a table without --timestamp"
    if later := int((column.values > table.columns[table.timestamp].values).sum()):
        return f"later than {table.timestamp} in {later:,} rows, where nobody knew it yet"
    return None


def _as_seen(column: Described, table: NamedTable) -> Described:
    """A column as the model gets it: of a time, how long before the event it was."""
    if column.type != "timestamp" or table.timestamp is None:
        return column
    before = table.columns[table.timestamp].values - column.values
    return replace(column, type="number", values=before.dt.total_seconds())


def _declaration(column: str, table: NamedTable, key: Sequence[str], notes: list[str]) -> Mapping[str, Any]:
    described = table.columns[column]
    rules: dict[str, Any] = {"type": described.type, **dict(notation.declared(described.notation))}
    notes += [f"{column}: {text}." for text in notation.in_words(described.notation, described.type, described.example)]
    if column == table.label:
        rules["allowed"] = [0, 1]
        if described.nulls:
            notes.append(f"{column} is unknown in {described.nulls:,} rows; they are not trained on.")
    if described.misfits:
        expected = TYPES[described.type].expected
        notes.append(f"{column}: {described.misfits:,} values are not {expected}; such rows are quarantined.")
    if described.nulls and column in _required(table, key):
        notes.append(f"{column} is empty in {described.nulls:,} rows; such rows are quarantined.")
    elif described.nulls:
        rules["nullable"] = True
    return rules


def _required(table: NamedTable, key: Sequence[str]) -> set[str]:
    return {*key, *table.named} - {table.label}


def _bad_share(
    table: NamedTable, kept: Sequence[str], key: Sequence[str], unread_rows: int, notes: list[str]
) -> dict[str, float]:
    """`max_bad_share` where the usual one would refuse this very table.

    Raises DataError where most rows are bad.
    """
    is_bad = np.zeros(table.rows, dtype=bool)
    for name in kept:
        column = table.columns[name]
        is_bad |= column.values.isna().to_numpy() if name in _required(table, key) else column.misfit
    bad, rows = int(is_bad.sum()) + unread_rows, table.rows + unread_rows
    if bad <= _BAD_SHARE * rows:
        return {}
    found = f"{bad:,} of {rows:,} rows can't be used ({bad / rows:.1%}): {_culprits(table, kept, key, unread_rows)}"
    if bad > _MOST_BAD * rows:
        raise DataError(f"{found}; a table of which most rows are set aside teaches nothing")
    share = math.ceil(100 * bad / rows) / 100
    notes.append(f"{found}; they are quarantined, and max_bad_share is {share:.2f} so that training goes on.")
    return {"max_bad_share": share}


def _culprits(table: NamedTable, kept: Sequence[str], key: Sequence[str], unread_rows: int) -> str:
    counts = {name: table.columns[name].misfits for name in kept}
    for name in _required(table, key):
        counts[name] += table.columns[name].nulls
    texts = [f"{name} is empty or does not fit in {count:,}" for name, count in counts.items() if count]
    return ", ".join(texts + ([f"{unread_rows:,} can't be read"] if unread_rows else []))
