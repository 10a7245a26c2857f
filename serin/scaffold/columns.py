"""What a table's columns hold, as far as their values tell."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from serin.columns import TypeName
from serin.values import convert

_TOLERATED = 0.01  # share of values that may not fit a column's type: they will be quarantined
_WORDS = ("true", "false")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Described:
    """A column: its type, and the counts that decide what it is good for.

    `almost` says of a text column which other type most of its values have.
    """

    type: TypeName
    values: "pd.Series[Any]"
    misfits: int
    nulls: int
    distinct: int
    almost: str | None = None

    @property
    def is_unique(self) -> bool:
        """Whether no value occurs twice, and there is one."""
        return self.values.dropna().is_unique and self.distinct > 0

    @property
    def is_row_number(self) -> bool:
        """Whether the values count the rows: 0, 1, 2, ... or from another start."""
        if self.type != "integer" or self.values.hasnans or len(self.values) < 2:
            return False
        return bool((np.diff(self.values.to_numpy("int64")) == 1).all())


def describe(values: "pd.Series[Any]", *, prefer: TypeName | None = None) -> Described:
    """Find the type that all values fit, or all but one in a hundred; text where there is none.

    `prefer` is taken before any other type that the values fit. Whole numbers that are written with a decimal
    point or a leading zero (12.0, 007) are not taken for integers, nor such of more than 64 bits for numbers:
    they are identifiers.
    """
    almost = None
    for candidate in [*([prefer] if prefer else []), *_candidates(values)]:
        converted, misfit = convert(values, candidate)
        given = int((converted.notna().to_numpy() | misfit).sum())
        if given and misfit.sum() <= _TOLERATED * given:
            return _described(candidate, converted, int(misfit.sum()))
        if misfit.sum() < given / 2:
            example = str(values[misfit].iloc[0])[:40]
            almost = f"{misfit.sum():,} of {given:,} values are no {candidate}, such as {example!r}: taken as text"
    converted, misfit = convert(values, "text")
    return _described("text", converted, int(misfit.sum()), almost)


def identifier(name: str, taken: set[str]) -> str:
    """`name` as letters, digits and underscores, unlike all names in `taken` whatever their case."""
    clean = name if _IDENTIFIER.fullmatch(name) else re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:60]
    if not _IDENTIFIER.fullmatch(clean):
        clean = f"column_{clean}".rstrip("_")
    unique, number = clean, 2
    while unique.lower() in taken:  # SQL engines ignore the case of a name
        unique, number = f"{clean}_{number}", number + 1
    return unique


def snake_case(name: str) -> str:
    """`CustomerId` and `CUSTOMER_ID` as `customer_id`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _described(type_: TypeName, converted: "pd.Series[Any]", misfits: int, almost: str | None = None) -> Described:
    nulls = int(converted.isna().sum()) - misfits
    return Described(type_, converted, misfits, nulls, int(converted.nunique()), almost)


def _candidates(values: "pd.Series[Any]") -> list[TypeName]:
    if pd.api.types.is_bool_dtype(values):
        return ["boolean"]
    if pd.api.types.is_datetime64_any_dtype(values):
        return ["timestamp"]
    if pd.api.types.is_float_dtype(values):
        return ["number"]
    if pd.api.types.is_integer_dtype(values):
        return ["integer", "number"]
    text = values.dropna().astype(str).str.strip()
    if text.empty:
        return []
    if text.str.lower().isin(_WORDS).mean() >= 1 - _TOLERATED:
        return ["boolean"]
    if text.str.fullmatch(r"[+-]?\d{19,}").any():
        return ["integer"]
    if text.str.match(r"[+-]?0\d").any():
        return ["timestamp"]
    if text.str.fullmatch(r"[+-]?\d*\.\d*").any():
        return ["number", "timestamp"]
    return ["integer", "number", "timestamp"]
