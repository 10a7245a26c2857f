"""The columns that a caller gives, checked one by one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from predictors.requests.values import read
from serin.artifact import RequestColumn
from serin.columns import MISSING, shown

ABSENT = object()
_MAX_NAMES = 50  # columns that a message names


@dataclass(frozen=True)
class Field:
    """A column that may be given; a required one has to be, be it null."""

    column: RequestColumn
    required: bool


@dataclass(frozen=True)
class Given:
    """The values of a column by row, ABSENT where a row has none; `encoded` texts are in base64."""

    values: list[Any]
    encoded: bool = False


def nullable(column: RequestColumn, may_be_null: bool) -> RequestColumn:
    """The column, but for whether it may be null."""
    return column.model_copy(update={"nullable": may_be_null})


def by_column(fields: Mapping[str, Field], rows: list[Any]) -> tuple[dict[str, Given], dict[int, str]]:
    """Rows, each an object of column: value, by column; and what is wrong with those that are none, by place."""
    objects = [row if isinstance(row, dict) else {} for row in rows]
    given = {name: Given([row.get(name, ABSENT) for row in objects]) for name in fields}
    return given, {place: text for place, row in enumerate(rows) if (text := _strange(fields, row))}


def checked(field: Field, given: Given) -> tuple[list[Any], dict[int, str]]:
    """The values in their types, None where there is none, and what is wrong with some, by place."""
    absent = [row for row, value in enumerate(given.values) if value is ABSENT]
    values = [None if value is ABSENT else value for value in given.values] if absent else given.values
    typed, wrong = read(field.column, values, encoded=given.encoded)
    if field.required:
        told = f"{MISSING}; null is allowed" if field.column.nullable else MISSING
        wrong.update(dict.fromkeys(absent, told))
    return typed, wrong


def unknown(fields: Mapping[str, Field], names: Iterable[str]) -> str:
    """What is wrong with names that are no column's; nothing where all are."""
    found = [shown(name) for name in islice((name for name in names if name not in fields), _MAX_NAMES)]
    if not found:
        return ""
    allowed = ", ".join(islice(fields, _MAX_NAMES)) + (", …" if len(fields) > _MAX_NAMES else "")
    return f"column {', '.join(found)} is unknown; allowed: {allowed}"


def _strange(fields: Mapping[str, Field], row: Any) -> str:
    if not isinstance(row, dict):
        return f"found {shown(row)}, allowed: an object of column: value"
    return unknown(fields, row)
