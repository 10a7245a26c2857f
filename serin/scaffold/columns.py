"""What a table's columns hold, as far as their values tell."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.columns import TypeName
from serin.scaffold import notation as notations
from serin.values import NULL_WORDS, PLAIN, Notation, as_objects, convert

_TOLERATED = 0.01  # share of values that may not fit a column's type: they will be quarantined
_TOLERATED_TIMES = 0.5  # the same of a column that its user calls the time
_WORDS = ("true", "false")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROW_NUMBERS = re.compile(r"(unnamed(_\d+)?|index|idx|row|row_?(id|no|nr|num|number|index)|(index_)?level_\d+)")
_FEWEST_ROW_NUMBERS = 20  # fewer different integers may be in a row by chance

Candidate = tuple[TypeName, Notation]


@dataclass(frozen=True)
class Described:
    """A column: its type, how it is written, and the counts that decide what it is good for.

    `misfit` marks the n values that are not of the type. `almost` says of a text column which other type most of
    its values have.
    """

    type: TypeName
    values: "pd.Series[Any]"
    misfit: NDArray[np.bool_]
    distinct: int
    notation: Notation = PLAIN
    example: str = ""
    almost: str | None = None

    @property
    def misfits(self) -> int:
        """How many values are not of the type."""
        return int(self.misfit.sum())

    @property
    def nulls(self) -> int:
        """How many values are missing."""
        return int(self.values.isna().sum()) - self.misfits

    @property
    def is_unique(self) -> bool:
        """Whether no value occurs twice, and there is one."""
        return self.values.dropna().is_unique and self.distinct > 0

    @property
    def is_row_number(self) -> bool:
        """Whether the values count the rows: one after the other, or 0 to n-1 or 1 to n in any order."""
        if self.type != "integer" or self.values.hasnans or len(self.values) < 2:
            return False
        numbers = self.values.to_numpy("int64")
        if (np.diff(numbers) == 1).all():
            return True
        first = numbers.min()
        in_order = np.array_equal(np.sort(numbers), np.arange(first, first + len(numbers)))
        return bool(len(numbers) >= _FEWEST_ROW_NUMBERS and first in (0, 1) and in_order)

    def is_index(self, name: str) -> bool:
        """Whether `name` says that the column counts rows, and its values do not say otherwise."""
        is_named_so = bool(_ROW_NUMBERS.fullmatch(snake_case(name).strip("_")))
        return is_named_so and self.type == "integer" and self.is_unique


def describe(values: "pd.Series[Any]", *, prefer: TypeName | None = None) -> Described:
    """Find the type and the notation that all values fit, or all but one in a hundred; text where there is none.

    `prefer` is taken before any other type that the values fit. Whole numbers that are written with a decimal
    point or a leading zero (12.0, 007) are not taken for integers, nor such of more than 64 bits for numbers:
    they are identifiers.
    """
    values = as_objects(values)
    texts = _texts(values)
    almost = None
    for type_, notation in _candidates(values, texts, prefer):
        converted, misfit = convert(values, type_, notation)
        given = int((converted.notna().to_numpy() | misfit).sum())
        tolerated = _TOLERATED if type_ != "timestamp" or prefer != type_ else _TOLERATED_TIMES
        if given and misfit.sum() <= tolerated * given:
            return _described(type_, notation, values, converted, misfit)
        if misfit.sum() < given / 2:
            example = str(values[misfit].iloc[0])[:40]
            almost = f"{misfit.sum():,} of {given:,} values are no {type_}, such as {example!r}: taken as text"
    notation = Notation(nulls=notations.null_words(texts, of_text=True))
    converted, misfit = convert(values, "text", notation)
    almost = notations.dates(texts) or notations.numbers(texts)[1] or almost
    return _described("text", notation, values, converted, misfit, almost)


def describe_key(values: "pd.Series[Any]") -> Described:
    """As `describe`, of a column that identifies something: two keys that differ stay two.

    An integer where each value comes back the same from it; else the text as it stands, leading zeros and all.
    """
    values = as_objects(values)
    if values.dtype != object and values.dtype != np.uint64:
        return describe(values, prefer=None if values.dtype == bool else "integer")
    converted, misfit = convert(values, "integer", Notation(exact=True))
    given = converted.notna().to_numpy() | misfit
    if given.any() and not misfit.any() and converted.nunique() == values[given].nunique():
        return _described("integer", PLAIN, values, converted, misfit)
    almost = None
    if converted.notna().any() and misfit.any():
        example = str(values[misfit].iloc[0])[:40]
        almost = f"{misfit.sum():,} of {given.sum():,} values are no plain integer, such as {example!r}: kept as text"
    converted, misfit = convert(values, "text")
    return _described("text", PLAIN, values, converted, misfit, almost)


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


def _described(
    type_: TypeName,
    notation: Notation,
    values: "pd.Series[Any]",
    converted: "pd.Series[Any]",
    misfit: NDArray[np.bool_],
    almost: str | None = None,
) -> Described:
    there = values[converted.notna().to_numpy()]
    # The longest shows the marks of a notation best.
    example = max(map(str, there.head(100)), key=len, default="") if notation != PLAIN else ""
    return Described(type_, converted, misfit, int(converted.nunique()), notation, example, almost)


def _texts(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """What of a column is text, stripped, without blanks; nothing of a column of numbers or times."""
    if values.dtype != object:
        return pd.Series(dtype=object)
    text = values.dropna().astype(str).str.strip()
    return text[text != ""]


def _candidates(values: "pd.Series[Any]", texts: "pd.Series[Any]", prefer: TypeName | None) -> Iterator[Candidate]:
    if prefer:
        yield prefer, PLAIN
        if prefer == "timestamp" and (epoch := notations.epochs(values)):
            yield prefer, epoch
    if values.dtype != object:
        yield from ((type_, PLAIN) for type_ in _of_dtype(values))
        return
    nulls = notations.null_words(texts)
    texts = texts[~texts.isin(nulls) & ~texts.str.lower().isin(NULL_WORDS)]
    if texts.empty:
        return
    if texts.str.lower().isin(_WORDS).mean() >= 1 - _TOLERATED:
        yield "boolean", Notation(nulls=nulls)
        return
    zeros_lead = texts.str.match(r"[+-]?0\d").any()
    if not zeros_lead:
        yield from ((type_, Notation(nulls=nulls)) for type_ in _plain_numbers(texts))
    yield "timestamp", Notation(nulls=nulls)
    other = notations.numbers(texts)[0]
    if other and not zeros_lead:
        marked = Notation(nulls, other.decimal, other.thousands, other.percent)
        if not texts.str.contains(other.decimal, regex=False).any() and not other.percent:
            yield "integer", marked
        yield "number", marked


def _of_dtype(values: "pd.Series[Any]") -> list[TypeName]:
    if pd.api.types.is_bool_dtype(values):
        return ["boolean"]
    if pd.api.types.is_datetime64_any_dtype(values):
        return ["timestamp"]
    return ["number"] if pd.api.types.is_float_dtype(values) else ["integer", "number"]


def _plain_numbers(texts: "pd.Series[Any]") -> list[TypeName]:
    if notations.may_be_grouped(texts):
        return []
    if texts.str.fullmatch(r"[+-]?\d{19,}").any():
        return ["integer"]
    return ["number"] if texts.str.fullmatch(r"[+-]?\d*\.\d*").any() else ["integer", "number"]
