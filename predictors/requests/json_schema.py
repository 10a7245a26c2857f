"""What a request may hold, as JSON Schema: for the page of the API, and for who generates clients or requests."""

from collections.abc import Mapping
from typing import Any

from predictors.requests.fields import Field
from predictors.requests.schema import MAX_ROWS
from serin.columns import MAX_NUMBER, MAX_TEXT, TYPES, YEARS, Column

# The parameters of a request (see Options), in words.
OPTIONS: Mapping[str, str] = {
    "partial": "Refuse the rows that break a rule one by one, and answer the others",
    "explain_unknown": "Name each row's values of categories that training did not know",
}


def value(column: Column) -> dict[str, Any]:
    """A value of the column."""
    found = _typed(column)
    if column.allowed is not None:
        found["enum"] = [str(value) if column.type == "text" else value for value in column.allowed]
    if column.nullable:
        found["type"] = [found["type"], "null"]
        if "enum" in found:
            found["enum"].append(None)
    return found


def row(fields: Mapping[str, Field]) -> dict[str, Any]:
    """An object of column: value."""
    return {
        "type": "object",
        "properties": {name: value(field.column) for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.required],
        "additionalProperties": False,
    }


def tensor(name: str, field: Field) -> dict[str, Any]:
    """A V2 input with the values of a column, one a row."""
    of = field.column
    datatypes = [datatype for datatype in TYPES[of.type].v2 if datatype != "FP16"]
    properties = {
        "name": {"const": name},
        "datatype": {"enum": datatypes},
        "shape": {
            "type": "array",
            "prefixItems": [{"type": "integer", "minimum": 1, "maximum": MAX_ROWS}, {"const": 1}],
            "minItems": 1,
            "maxItems": 2,
            "description": "[n] or [n, 1]",
        },
        "data": {"type": "array", "minItems": 1, "maxItems": MAX_ROWS, "items": value(of)},
    }
    return {"type": "object", "properties": properties, "required": list(properties), "title": name}


def parameters() -> dict[str, Any]:
    """What a request may ask for besides its rows."""
    properties = {name: {"type": "boolean", "default": False, "description": text} for name, text in OPTIONS.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _typed(column: Column) -> dict[str, Any]:
    if column.type == "number":
        low, high = column.min, column.max
        bounds = -MAX_NUMBER if low is None else low, MAX_NUMBER if high is None else high
        return {"type": "number", "minimum": max(bounds[0], -MAX_NUMBER), "maximum": min(bounds[1], MAX_NUMBER)}
    if column.type == "integer":
        limits = {"minimum": column.min, "maximum": column.max}
        return {"type": "integer", "format": "int64"} | {name: of for name, of in limits.items() if of is not None}
    if column.type == "boolean":
        return {"type": "boolean"}
    if column.type == "timestamp":
        told = f"ISO 8601, from {YEARS[0]} to {YEARS[1]}; without an offset it is UTC"
        return {"type": "string", "format": "date-time", "description": told}
    return {"type": "string", "maxLength": MAX_TEXT, "description": "without NUL"}
