"""Values and column types: what a column of text, numbers or times means as one of the five types.

Ingest converts with it and `serin new` infers with it, so what is inferred is what will be accepted.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.columns import TypeName

_NULL_WORDS = ("na", "n/a", "nan", "null", "none")
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
_WHOLE = r"[+-]?\d{1,19}(?:\.0*)?"
_OFFSET = r"\d[T ].*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"
_LARGEST = np.iinfo(np.int64).max
# Pandas types that hold a value of each type and nulls besides, until the bad rows are out.
_WORKING_TYPES: dict[TypeName, Any] = {
    "integer": "Int64",
    "number": "float64",
    "text": "object",
    "boolean": "boolean",
    "timestamp": "datetime64[us, UTC]",
}
EXPECTED: dict[TypeName, str] = {
    "integer": "a whole number (64 bits)",
    "number": "a finite number",
    "text": "text",
    "boolean": "true or false",
    "timestamp": "an ISO 8601 time (2018-06-01T12:00)",
}


def convert(values: "pd.Series[Any]", to: TypeName) -> tuple["pd.Series[Any]", NDArray[np.bool_]]:
    """`values` as the type `to`, and which of them don't fit; those come back null.

    The result has n values of Int64, float64, object (str), boolean or datetime64[us, UTC]. Words such as
    `NaN` and `null` are nulls in every type but text; a time without an offset is UTC.
    """
    values = values.reset_index(drop=True)
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    given = values.notna().to_numpy()
    if to == "text":
        converted = _texts(values)
    else:
        words = _words(values) if values.dtype == object else None
        if words is not None:
            given = words.notna().to_numpy()
        plain = values if words is None else words
        parse = {"integer": _integers, "number": _numbers, "boolean": _booleans, "timestamp": _times}[to]
        converted = parse(plain) if given.any() else _nothing(plain)
    converted = converted.astype(_WORKING_TYPES[to])
    return converted, given & converted.isna().to_numpy()


def _words(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Objects as stripped text, so that a column of mixed origin is read in one way; null words become null."""
    text = values.where(values.isna(), values.map(_as_text).str.strip())
    return text.mask(text.str.lower().isin(_NULL_WORDS))


def _as_text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _texts(values: "pd.Series[Any]") -> "pd.Series[Any]":
    scalars = values.map(lambda value: isinstance(value, bytes | list | dict | tuple | np.ndarray))
    text = values.where(values.isna(), values.map(_as_text))
    return text.astype(object).mask(values.isna() | scalars, None)


def _numbers(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if not _is_text(values) and not pd.api.types.is_numeric_dtype(values):
        return _nothing(values)
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    if _is_text(values):
        # pandas reads text fast but not always to the nearest float; Python does.
        numbers[numbers.notna()] = values[numbers.notna()].to_numpy(object).astype("float64")
    # A model's inputs are 32 bits wide; a number that is infinite there is none.
    return numbers.where(numbers.abs() <= np.finfo(np.float32).max)


def _integers(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if _is_text(values):
        return _integers_of_text(values)
    if not pd.api.types.is_numeric_dtype(values):
        return _nothing(values)
    if pd.api.types.is_float_dtype(values):
        # Beyond 2^53 a float no longer tells neighbouring integers apart.
        fits = np.isfinite(values) & (values == values.round()) & (values.abs() <= 2**53)
        return values.where(fits).astype("Int64")
    if values.dtype == np.uint64:
        return values.where(values <= _LARGEST).astype("Int64")
    return values.astype("Int64")


def _integers_of_text(values: "pd.Series[Any]") -> "pd.Series[Any]":
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


def _booleans(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if _is_text(values):
        return values.str.lower().map(_TRUTH)
    if pd.api.types.is_bool_dtype(values):
        return values
    if not pd.api.types.is_numeric_dtype(values):
        return _nothing(values)
    return values.map({1: True, 0: False})


def _times(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_datetime64_any_dtype(values):
        return pd.to_datetime(values, utc=True)
    if not _is_text(values):
        return _nothing(values)
    # Apart, for pandas gives a time without an offset the offset of the one before it.
    with_offset = values.str.contains(_OFFSET, na=False).astype(bool)
    both = [
        pd.to_datetime(part, format="ISO8601", utc=True, errors="coerce")
        for part in (values[with_offset], values[~with_offset])
        if len(part)
    ]
    return pd.concat(both).reindex(values.index) if both else _nothing(values)


def _is_text(values: "pd.Series[Any]") -> bool:
    return values.dtype == object or pd.api.types.is_string_dtype(values)


def _nothing(values: "pd.Series[Any]") -> "pd.Series[Any]":
    return pd.Series(np.nan, index=values.index, dtype=object)
