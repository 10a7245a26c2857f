"""The one table of column types: Serin's type beside those of Arrow, pandas, DuckDB, Feast and V2 requests.

What a use case declares of a column, ingest, features, the predictor and the prediction log all read here. So do the
rules of a column's values: ingest and the predictor refuse the same values with the same words.
"""

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

TypeName = Literal["integer", "number", "text", "boolean", "timestamp"]

MAX_TEXT = 1024  # characters
# A model's inputs are 32 bits wide: a larger number would reach it as infinity.
MAX_NUMBER = 3.4028234663852886e38
YEARS = (1970, 2199)
# Beyond it a float no longer tells neighbouring integers apart: two keys would become one.
MAX_EXACT = 2**53 - 1

MISSING = "missing"
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_WHOLE = tuple(f"{sign}INT{bits}" for bits in (64, 32, 16, 8) for sign in ("", "U"))


@dataclass(frozen=True)
class ColumnType:
    """What a type is called elsewhere, and in words.

    `numpy` holds values without nulls (times in UTC), `pandas` with them; `feast` is a name in feast.types, `entity`
    one in feast.ValueType (None where a column of this type can't be a key); `v2` are the datatypes that a V2
    request may use, the usual one first.
    """

    arrow: pa.DataType
    numpy: str
    pandas: str
    duckdb: str
    feast: str
    entity: str | None
    v2: tuple[str, ...]
    expected: str


TYPES: Mapping[TypeName, ColumnType] = {
    "integer": ColumnType(
        pa.int64(), "int64", "Int64", "bigint", "Int64", "INT64", _WHOLE, "a whole number (64 bits)"
    ),
    "number": ColumnType(
        pa.float64(), "float64", "float64", "double", "Float64", None, ("FP64", "FP32", "FP16", *_WHOLE),
        "a finite number (32 bits)",
    ),
    "text": ColumnType(
        pa.string(), "object", "object", "varchar", "String", "STRING", ("BYTES",),
        f"text of at most {MAX_TEXT} characters (UTF-8, no NUL)",
    ),
    "boolean": ColumnType(pa.bool_(), "bool", "boolean", "boolean", "Bool", None, ("BOOL",), "true or false"),
    "timestamp": ColumnType(
        pa.timestamp("us", tz="UTC"), "datetime64[us]", "datetime64[us, UTC]", "timestamptz", "UnixTimestamp", None,
        ("BYTES",), f"an ISO 8601 time (2018-06-01T12:00) from {YEARS[0]} to {YEARS[1]}",
    ),
}  # fmt: skip


# A rule in words, and what says whether a value breaks it, or which of an array's values do.
Rule = tuple[str, Callable[[Any], Any]]


class Column(BaseModel):
    """The values that a column may hold: a type, and rules beyond it."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    type: TypeName
    min: FiniteFloat | None = None
    max: FiniteFloat | None = None
    allowed: Annotated[tuple[int | str, ...], Field(min_length=1)] | None = None
    nullable: bool = False

    @model_validator(mode="after")
    def _rules_fit_the_type(self) -> Self:
        numeric = self.type in ("integer", "number")
        if not numeric and (self.min, self.max) != (None, None):
            raise ValueError(f"a column of type {self.type} has no min and max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:.15g} is above max {self.max:.15g}")
        if self.allowed is None or self.type == "text":
            return self
        if odd := [value for value in self.allowed if not numeric or not isinstance(value, int)]:
            raise ValueError(f"a column of type {self.type} can't be allowed to hold {odd[0]!r}")
        return self

    @property
    def misfit(self) -> str:
        """What is wrong with a value that is none of the type, in words."""
        return f"not {TYPES[self.type].expected}"

    def broken(self, values: NDArray[Any]) -> dict[int, str]:
        """By place, the first rule that one of n values of the type breaks, in words.

        They are as NumPy holds them (see ColumnType.numpy), and none of them is null.
        """
        found: dict[int, str] = {}
        for rule, breaks in self.rules():
            for place in np.flatnonzero(breaks(values)).tolist():
                found.setdefault(place, rule)
        return found

    def rules(self) -> tuple[Rule, ...]:
        """The rules beyond null and type. A value is of the type, a time an aware datetime; arrays see `broken`."""
        rules: list[Rule] = []
        if self.type in _BEYOND_LIMITS:
            rules.append((self.misfit, _BEYOND_LIMITS[self.type]))
        if self.min is not None:
            # Whole numbers beside a whole limit: NumPy would round large ones before it compares them with a float.
            low = math.ceil(self.min) if self.type == "integer" else self.min
            rules.append((f"below {self.min:.15g}", lambda values: values < low))
        if self.max is not None:
            high = math.floor(self.max) if self.type == "integer" else self.max
            rules.append((f"above {self.max:.15g}", lambda values: values > high))
        if self.allowed is not None:
            listed = [str(value) if self.type == "text" else value for value in self.allowed]
            rules.append((f"not one of {', '.join(map(str, listed))}", partial(_is_none_of, listed)))
        return tuple(rules)


def problem(rule: str, value: Any) -> str:
    """A broken rule and the value that breaks it, as both ingest and the predictor tell it."""
    return f"{rule} (found {shown(value)})"


def shown(value: Any) -> str:
    """A value in a message: in short, and texts in quotes."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str | bytes | int | list | tuple | dict):
        return _SHORT.repr(value)
    text = str(value)
    return text if len(text) <= _SHORT.maxother else text[: _SHORT.maxother] + "…"


def _is_none_of(listed: list[Any], values: Any) -> Any:
    return ~np.isin(values, listed) if isinstance(values, np.ndarray) else values not in listed


def _is_too_large(numbers: Any) -> Any:
    return abs(numbers) > MAX_NUMBER


def _is_no_text(texts: Any) -> Any:
    """Too long, or with the character that ends a text in an event's id (and that PostgreSQL does not take)."""
    if isinstance(texts, str):
        return len(texts) > MAX_TEXT or "\0" in texts
    return np.fromiter((len(text) > MAX_TEXT or "\0" in text for text in texts), np.bool_, len(texts))


def _is_of_another_age(times: Any) -> Any:
    if isinstance(times, datetime):
        return not YEARS[0] <= times.year <= YEARS[1]
    years = times.astype("datetime64[Y]").astype(np.int64) + 1970
    return (years < YEARS[0]) | (years > YEARS[1])


_BEYOND_LIMITS: Mapping[TypeName, Callable[[Any], Any]] = {
    "number": _is_too_large,
    "text": _is_no_text,
    "timestamp": _is_of_another_age,
}
