"""The columns of a request as types of msgspec, which decodes JSON and checks the values in one go."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import or_
from types import GenericAlias
from typing import Annotated, Any, Literal

import msgspec

from predictors.requests.fields import Field
from predictors.requests.values import is_utf8
from serin.columns import MAX_NUMBER, MAX_TEXT, TYPES, Column

_INT64 = (-(2**63), 2**63 - 1)
# KServe takes no tensor of these in JSON.
_NO_JSON = frozenset({"FP16"})


def columns(fields: Mapping[str, Field]) -> list[Any]:
    """The type of each column's values; none at all where one can't be told to msgspec."""
    types = [_type_of(field.column) for field in fields.values()]
    return types if all(of is not None for of in types) and all(map(_is_plain, fields)) else []


def body_v1(fields: Mapping[str, Field], types: Sequence[Any], attributes: Sequence[str]) -> Any:
    """The type of a V1 body without parameters; a row has its columns' values as `attributes`."""
    parts: list[Any] = []
    for attribute, field, of in zip(attributes, fields.values(), types, strict=True):
        parts.append((attribute, of) if field.required else (attribute, of, None))
    row = msgspec.defstruct(
        "Row",
        parts,
        rename=dict(zip(attributes, fields, strict=True)),
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )
    return msgspec.defstruct("Predict", [("instances", _list(row))], forbid_unknown_fields=True, gc=False)


def body_v2(fields: Mapping[str, Field], types: Sequence[Any]) -> tuple[Any, dict[type, int]]:
    """The type of a V2 body, and the places of the columns by the types of their tensors: those are told apart by their
    names, so the data of each are of its column's type."""
    places: dict[type, int] = {}
    for place, (field, of) in enumerate(zip(fields.values(), types, strict=True)):
        column = field.column
        datatypes = tuple(name for name in TYPES[column.type].v2 if name not in _NO_JSON)
        parts: list[Any] = [("datatype", _literal(datatypes)), ("shape", list[int]), ("data", _list(of))]
        tensor = msgspec.defstruct(
            f"Tensor{place}", parts, tag_field="name", tag=column.name, forbid_unknown_fields=True, gc=False
        )
        places[tensor] = place
    of_all: list[Any] = [
        ("inputs", _list(reduce(or_, places))),
        ("id", str | None, None),
        ("model_name", str | None, None),
    ]
    return msgspec.defstruct("Infer", of_all, forbid_unknown_fields=True, kw_only=True, gc=False), places


def tensors(types: Sequence[Any], attributes: Sequence[str]) -> Any:
    """The type of all columns, each a list of its values. It is a struct's, for msgspec looks at that of a tuple each
    time."""
    found = list(zip(attributes, map(_list, types), strict=True))
    return msgspec.defstruct("Columns", found, array_like=True, gc=False)


def bounds(column: Column) -> tuple[float, float]:
    """The least and the greatest number that a column may hold."""
    low = -MAX_NUMBER if column.min is None else max(-MAX_NUMBER, column.min)
    high = MAX_NUMBER if column.max is None else min(MAX_NUMBER, column.max)
    return low, high


def key(name: str) -> bytes:
    """The name as JSON spells it. Raises UnicodeEncodeError for one that it can't."""
    return msgspec.json.encode(name)


def _type_of(column: Column) -> Any:
    """What msgspec calls the values of the column, None where it has no word for them."""
    if column.allowed is not None:
        return _listed(column)
    if column.type == "number":
        low, high = bounds(column)
        of: Any = Annotated[float, msgspec.Meta(ge=low, le=high)]
    elif column.type == "integer":
        bottom, top = _INT64
        bottom = bottom if column.min is None else max(bottom, math.ceil(column.min))
        top = top if column.max is None else min(top, math.floor(column.max))
        if not _INT64[0] <= bottom <= top <= _INT64[1]:
            return None
        of = Annotated[int, msgspec.Meta(ge=bottom, le=top)]
    elif column.type == "boolean":
        of = bool
    else:
        of = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
    return of | None if column.nullable else of


def _listed(column: Column) -> Any:
    if column.type not in ("integer", "text"):
        return None
    convert: Callable[[Any], Any] = str if column.type == "text" else int
    rules = column.rules()
    values = tuple({convert(value) for value in column.allowed or ()})
    values = tuple(value for value in values if not any(breaks(value) for _, breaks in rules))
    if not values or (column.type == "integer" and not all(_INT64[0] <= value <= _INT64[1] for value in values)):
        return None
    of = _literal(values)
    return of | None if column.nullable else of


def _is_plain(name: str) -> bool:
    """Whether JSON spells the name without escapes, which msgspec can't take as a field's name."""
    return is_utf8(name) and key(name) == f'"{name}"'.encode()


def _list(of: Any) -> Any:
    return GenericAlias(list, of)


def _literal(values: tuple[Any, ...]) -> Any:
    return Literal.__getitem__(values)
