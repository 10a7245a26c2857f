"""Values and column types: what a column of text, numbers or times means as one of the five types.

Ingest converts with it and `serin new` infers with it, so what is inferred is what will be accepted.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.columns import MAX_EXACT, MAX_NUMBER, TYPES, YEARS, TypeName
from serin.use_case import Label, TimeUnit, UseCase

NULL_WORDS = ("na", "n/a", "nan", "null", "none")
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
_WHOLE = r"[+-]?\d{1,19}(?:\.0*)?"
# What an integer is written as: any other text (007, +7) does not come back the same from the number.
_CANONICAL = r"0|-?[1-9]\d{0,18}"
_NO_FRACTION = re.compile(r"\.0+$")
# Whatever it is: pandas gives the offset of one that it refuses (+05:30:15) to the next time that has none.
_OFFSET = r"\d[Tt ].*[Zz+-]"
_LARGEST = np.iinfo(np.int64).max
_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_YEARS_END = int(datetime(YEARS[1] + 1, 1, 1, tzinfo=UTC).timestamp())
# Marks that people use for the same thing: blanks that do not break a line, a typographic apostrophe.
_ALIKE = {" ": " \u00a0\u202f\u2009", "'": "'\u2019"}

Converted = tuple["pd.Series[Any]", NDArray[np.bool_]]


@dataclass(frozen=True)
class Notation:
    """How values are written: words for a missing one, the marks of numbers, the unit of times that are numbers.

    `exact` is asked of keys: only texts that come back the same from an integer are integers.
    """

    nulls: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str = ""
    percent: bool = False
    unit: TimeUnit | None = None
    exact: bool = False

    @property
    def has_marks(self) -> bool:
        """Whether numbers are written otherwise than Python writes them."""
        return (self.decimal, self.thousands, self.percent) != (".", "", False)


PLAIN = Notation()


def notation_of(case: UseCase, name: str) -> Notation:
    """How `case` says that the values of its column `name` are written."""
    data, column = case.data, case.data.columns[name]
    return Notation(
        nulls=data.nulls if column.nulls is None else column.nulls,
        decimal=column.decimal or data.decimal,
        thousands=data.thousands if column.thousands is None else column.thousands,
        percent=column.percent,
        unit=column.unit,
        exact=name in (*case.entities.values(), *case.data.key),
    )


def typed(values: "pd.Series[Any]", case: UseCase, name: str) -> Converted:
    """The source's values of the column `name` as `case` declares it, and which of them don't fit.

    See `convert`; a label in words comes back as 0 and 1.
    """
    notation = notation_of(case, name)
    if name == case.label.column and case.label.positive is not None:
        return outcomes(values, case.label, notation)
    return convert(values, case.data.columns[name].type, notation)


def convert(values: "pd.Series[Any]", to: TypeName, notation: Notation = PLAIN) -> Converted:
    """`values` as the type `to`, and which of them don't fit; those come back null.

    The result has n values of Int64, float64, object (str), boolean or datetime64[us, UTC]. Blank texts are nulls,
    words such as `NaN` and `null` too in every type but text; a time without an offset is UTC.
    """
    values = as_objects(values.reset_index(drop=True))
    values = _without_nulls(values, to, notation)
    given = values.notna().to_numpy()
    if to == "text":
        converted = _texts(values)
    elif not given.any():
        converted = _nothing(values)
    else:
        parse = {"integer": _integers, "number": _numbers, "boolean": _booleans, "timestamp": _times}[to]
        converted = parse(_words(values, to, notation) if values.dtype == object else values, notation)
    converted = converted.astype(TYPES[to].pandas)  # type: ignore[call-overload]
    return converted, given & converted.isna().to_numpy()


def outcomes(values: "pd.Series[Any]", label: Label, notation: Notation = PLAIN) -> Converted:
    """A label in words as 0 and 1 (Int64), and which words are neither of `label`'s."""
    words = values.reset_index(drop=True).map(outcome_word, na_action="ignore").astype(object)
    positive, negative = outcome_word(label.positive), [outcome_word(word) for word in label.negative]
    missing = {"", *NULL_WORDS, *(word.casefold() for word in notation.nulls)} - {positive, *negative}
    words = words.mask(words.isin(missing))
    given = words.notna().to_numpy()
    is_positive = (words == positive).to_numpy()
    is_negative = words.isin(negative).to_numpy() if negative else given & ~is_positive
    found = pd.Series(np.where(is_positive, 1, 0), dtype="Int64").mask(~(is_positive | is_negative))
    return found, given & ~(is_positive | is_negative)


def outcome_word(value: object) -> str:
    """A label's value as outcomes are compared: without blanks around it and whatever its case; 1.0 is 1."""
    return _NO_FRACTION.sub("", _as_text(value).strip().casefold())


def as_objects(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Categories and pandas' own texts as plain objects; any other column as it is."""
    if isinstance(values.dtype, pd.CategoricalDtype | pd.StringDtype):
        return values.astype(object)
    return values


def _without_nulls(values: "pd.Series[Any]", to: TypeName, notation: Notation) -> "pd.Series[Any]":
    """Null where a field is blank or holds a null word."""
    if values.dtype != object:
        numbers = [float(word) for word in notation.nulls if re.fullmatch(r"-?\d+(\.\d+)?", word)]
        return values.mask(values.isin(numbers)) if numbers and pd.api.types.is_numeric_dtype(values) else values
    text = values.map(lambda value: value.strip() if isinstance(value, str) else str(value), na_action="ignore")
    is_null = text.isin(["", *notation.nulls])
    if to != "text":
        is_null |= text.astype(object).str.lower().isin(NULL_WORDS)
    return values.mask(is_null, None)


def _words(values: "pd.Series[Any]", to: TypeName, notation: Notation) -> "pd.Series[Any]":
    """Objects as stripped text, so that a column of mixed origin is read in one way; numbers in plain notation."""
    text = values.map(lambda value: _as_text(value).strip(), na_action="ignore").astype(object)
    if to not in ("integer", "number") or not notation.has_marks:
        return text
    # A number that a file holds as a number is in nobody's notation.
    is_text = values.map(lambda value: isinstance(value, str)).astype(bool)
    return text.mask(is_text, _plain_numbers(text[is_text], notation))


def _plain_numbers(text: "pd.Series[Any]", notation: Notation) -> "pd.Series[Any]":
    """Texts in a notation as Python writes numbers; a text that is in another stays a misfit."""
    decimal, mark = re.escape(notation.decimal), f"[{re.escape(_ALIKE.get(notation.thousands, notation.thousands))}]"
    whole = rf"(?:\d{{1,3}}(?:{mark}\d{{3}})+|\d+)" if notation.thousands else r"\d+"
    percent = r"(?:\s*%)?" if notation.percent else ""
    fits = text.str.fullmatch(rf"[+-]?(?:{whole}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?{percent}", na=False)
    plain = text.str.replace(mark, "", regex=True) if notation.thousands else text
    plain = plain.str.replace(notation.decimal, ".", regex=False).str.replace(r"\s*%$", "", regex=True)
    return plain.where(fits.astype(bool), text.mask(text.notna(), "not in this notation"))


def _as_text(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")  # str() would write exponents
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _texts(values: "pd.Series[Any]") -> "pd.Series[Any]":
    no_scalars = values.map(lambda value: isinstance(value, bytes | list | dict | tuple | np.ndarray)).astype(bool)
    text = values.astype(object).where(values.isna(), values.map(_as_text).astype(object))
    return text.mask(values.isna() | no_scalars, None)


def _numbers(values: "pd.Series[Any]", notation: Notation) -> "pd.Series[Any]":
    if not _is_text(values) and not pd.api.types.is_numeric_dtype(values):
        return _nothing(values)
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    if _is_text(values):
        # pandas reads text fast but not always to the nearest float; Python does.
        texts = values[numbers.notna()].to_numpy(object)
        numbers[numbers.notna()] = np.array([float(text) for text in texts])
    if notation.percent:
        numbers = numbers / 100
    # A model's inputs are 32 bits wide; a number that is infinite there is none.
    return numbers.where(numbers.abs() <= MAX_NUMBER)


def _integers(values: "pd.Series[Any]", notation: Notation) -> "pd.Series[Any]":
    if _is_text(values):
        return _integers_of_text(values, exact=notation.exact)
    if not pd.api.types.is_numeric_dtype(values):
        return _nothing(values)
    if pd.api.types.is_float_dtype(values):
        fits = np.isfinite(values) & (values == values.round()) & (values.abs() <= MAX_EXACT)
        return values.where(fits).astype("Int64")
    if values.dtype == np.uint64:
        return values.where(values <= _LARGEST).astype("Int64")
    return values.astype("Int64")


def _integers_of_text(values: "pd.Series[Any]", *, exact: bool) -> "pd.Series[Any]":
    if exact:
        values = _without_common_fraction(values)
        values = values.mask(~values.str.fullmatch(_CANONICAL, na=False).astype(bool))
        if values.isna().all():
            return _nothing(values)
    parsed = pd.to_numeric(values, errors="coerce")
    if parsed.dtype == np.int64:
        return parsed
    # Through floats, large identifiers would lose digits.
    text = values.str.lower().replace({"true": "1", "false": "0"})
    fits = text.str.fullmatch(_WHOLE, na=False).astype(bool)
    numbers = [int(number.split(".")[0]) for number in text[fits]]
    whole = pd.Series(pd.NA, index=values.index, dtype="Int64")
    whole[fits] = pd.array([n if abs(n) <= _LARGEST else None for n in numbers], dtype="Int64")
    return whole


def _without_common_fraction(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """`417.0` as `417` where all values are written so: that is how the column was saved, not what its keys are."""
    found = values.dropna().str.extract(r"(\.0+)$", expand=False)
    return values.str.removesuffix(str(found.iloc[0])) if found.notna().all() and found.nunique() == 1 else values


def _booleans(values: "pd.Series[Any]", _: Notation) -> "pd.Series[Any]":
    if _is_text(values):
        return values.str.lower().map(_TRUTH)
    if pd.api.types.is_bool_dtype(values):
        return values
    if not pd.api.types.is_numeric_dtype(values):
        return _nothing(values)
    return values.map({1: True, 0: False})


def _times(values: "pd.Series[Any]", notation: Notation) -> "pd.Series[Any]":
    times = _any_times(values, notation)
    if not pd.api.types.is_datetime64_any_dtype(times):
        return times
    # 9999-12-31 stands for an open end: it is no time at which anything happened.
    return times.where(times.dt.year.between(*YEARS))


def _any_times(values: "pd.Series[Any]", notation: Notation) -> "pd.Series[Any]":
    if pd.api.types.is_datetime64_any_dtype(values):
        return pd.to_datetime(values, utc=True)
    if notation.unit:
        return _epochs(values, notation.unit)
    if not _is_text(values):
        return _nothing(values)
    # pandas knows "now" and "today", which are another time in each run.
    values = values.where(values.str.match(r"[+-]?\d", na=False))
    # Apart, for pandas gives a time without an offset the offset of the one before it.
    with_offset = values.str.contains(_OFFSET, na=False).astype(bool)
    both = [
        pd.to_datetime(part, format="ISO8601", utc=True, errors="coerce")
        for part in (values[with_offset], values[~with_offset])
        if len(part)
    ]
    return pd.concat(both).reindex(values.index) if both else _nothing(values)


def _epochs(values: "pd.Series[Any]", unit: TimeUnit) -> "pd.Series[Any]":
    """Numbers since 1970 as times; integers through no float, which would lose digits of ns."""
    whole = _integers(values, PLAIN)
    times = _since_1970(whole.dropna(), unit)
    # What a float says of a microsecond lies as often below it as above; of integers what is smaller is cut.
    rest = _numbers(values[whole.isna()], PLAIN).dropna()
    found: pd.Series[Any] = pd.concat([times, _since_1970(rest, unit).dt.round("us")]).reindex(values.index)
    return found


def _since_1970(numbers: "pd.Series[Any]", unit: TimeUnit) -> "pd.Series[Any]":
    """Times by the place of their number, without those that are in none of YEARS anyway: pandas fails on some."""
    numbers = numbers[numbers.between(0, _YEARS_END * _A_SECOND[unit])]
    times = pd.to_datetime(numbers.to_numpy(), unit=unit, utc=True, errors="coerce")
    return pd.Series(times, numbers.index).astype("datetime64[ns, UTC]")


def _is_text(values: "pd.Series[Any]") -> bool:
    return values.dtype == object or pd.api.types.is_string_dtype(values)


def _nothing(values: "pd.Series[Any]") -> "pd.Series[Any]":
    return pd.Series(np.nan, index=values.index, dtype=object)
