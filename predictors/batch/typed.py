"""A column of a table as a request column's values: what is surely right is taken as an array, the rest value by value.

Whatever is not surely right goes through `predictors.requests.values.read`, which every request goes through, so a
table's values are refused as a request's are, and with the same words.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from predictors.requests.values import read
from serin.artifact import RequestColumn
from serin.columns import MAX_EXACT, TYPES, YEARS, TypeName

Wrong = dict[int, str]
_A_SECOND = {"day": 1 / 86_400, "s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_YEARS_END = int(datetime(YEARS[1] + 1, 1, 1, tzinfo=UTC).timestamp())
# Values of the type's Arrow type (nulls where there are none), and which of them surely are what the table holds: True
# where all are.
_Taken = tuple[pa.Array, NDArray[np.bool_] | Literal[True]]


def typed(column: RequestColumn, values: pa.Array) -> tuple[pa.Array, Wrong]:
    """n values as the column's type, and what is wrong with some, by place; those come back null.

    The type is TYPES[column.type].arrow, texts are dictionary-encoded. A number that is missing is null or NaN.
    """
    if _is_text(values.type):
        return _by_distinct(column, values)
    taken = _TAKERS[column.type](values)
    if taken is None:
        return _value_by_value(column, values)
    found, sure = taken
    numbers = _numpy(found, column.type)
    if sure is True and _keep_the_rules(column, found, numbers):
        return found, {}
    missing = _missing(found)
    good = np.full(len(found), True) & sure
    for breaks in _rules(column):
        good &= ~breaks(numbers) | missing
    if not column.nullable:
        good &= ~missing
    places = np.flatnonzero(~good)
    if not len(places):
        return found, {}
    rest, wrong = _value_by_value(column, values.take(pa.array(places)))
    return _put(found, places, rest), {int(places[place]): text for place, text in wrong.items()}


def cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """As values of another type, whatever that loses. What is of the type already does not go through Arrow, where this
    thread would have to wait for the one that reads ahead."""
    return values if values.type == kind else values.cast(kind, safe=False)


def _keep_the_rules(column: RequestColumn, found: pa.Array, numbers: NDArray[Any]) -> bool:
    """Whether all values surely do, seen by the least and the greatest: all rules but `allowed` are limits."""
    if column.allowed is not None or not len(numbers) or (found.null_count and not column.nullable):
        return False
    ends = np.array([numbers.min(), numbers.max()])
    if np.isnan(ends[0]):
        if not column.nullable:
            return False
        ends = np.array([np.fmin.reduce(numbers), np.fmax.reduce(numbers)])
    return not any(breaks(ends).any() for breaks in _rules(column))


def _rules(column: RequestColumn) -> list[Callable[[NDArray[Any]], Any]]:
    """What says which values of an array are not surely right."""
    return [breaks for _, breaks in column.rules()]


def _value_by_value(column: RequestColumn, values: pa.Array) -> tuple[pa.Array, Wrong]:
    found, wrong = read(column, _plain(values))
    array = pa.array(found, TYPES[column.type].arrow)
    return (array.dictionary_encode() if column.type == "text" else array), wrong


def _by_distinct(column: RequestColumn, values: pa.Array) -> tuple[pa.Array, Wrong]:
    """Texts, each of them looked at once; those of a time are parsed."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    found, bad = read(column, [*encoded.dictionary.to_pylist(), None])
    distinct = pa.array(found, TYPES[column.type].arrow)
    # A missing value has a place of its own, the last.
    indices = pc.fill_null(encoded.indices, len(found) - 1).cast(pa.int32())
    wrong: Wrong = {}
    if bad:
        places = np.flatnonzero(np.isin(indices.to_numpy(), list(bad)))
        of = indices.to_numpy()
        wrong = {int(place): bad[int(of[place])] for place in places}
    result = distinct.take(indices)
    return (result.dictionary_encode() if column.type == "text" else result), wrong


def _numbers(values: pa.Array) -> _Taken | None:
    if not _is_numeric(values.type):
        return None
    return cast(values, pa.float64()), True


def _integers(values: pa.Array) -> _Taken | None:
    if pa.types.is_integer(values.type):
        found = cast(values, pa.int64())
        if values.type != pa.uint64():
            return found, True
        return found, pc.fill_null(pc.greater_equal(found, 0), True).to_numpy(zero_copy_only=False)
    if not _is_numeric(values.type):
        return None
    floats = cast(values, pa.float64()).to_numpy(zero_copy_only=False)
    missing = np.isnan(floats)
    sure = missing | ((np.floor(floats) == floats) & (np.abs(floats) <= MAX_EXACT))
    whole = np.where(sure & ~missing, floats, 0).astype(np.int64)
    return pa.array(whole, mask=missing | ~sure), sure


def _booleans(values: pa.Array) -> _Taken | None:
    return (values, True) if pa.types.is_boolean(values.type) else None


def _times(values: pa.Array) -> _Taken | None:
    if not (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
        return None
    # One without a zone is in UTC; nanoseconds are cut to what is kept everywhere.
    moments = values.cast(pa.timestamp("us", tz=getattr(values.type, "tz", None)), safe=False)
    found = moments.cast(pa.int64()).cast(TYPES["timestamp"].arrow)
    # Others may have become a time of these years: 64 bits of microseconds hold fewer years than those of seconds.
    end = int(_YEARS_END * _A_SECOND[_unit(values.type)])
    count = pc.fill_null(_counted(values), 0).to_numpy(zero_copy_only=False)
    sure = (count >= 0) & (count < end)
    return found, True if sure.all() else sure


def _unit(kind: pa.DataType) -> str:
    return "day" if pa.types.is_date32(kind) else "ms" if pa.types.is_date64(kind) else str(kind.unit)


def _counted(values: pa.Array) -> pa.Array:
    """Times as numbers of their unit since 1970."""
    return values.cast(pa.int32()).cast(pa.int64()) if pa.types.is_date32(values.type) else values.cast(pa.int64())


def _plain(values: pa.Array) -> list[Any]:
    """The values as Python has them; of times that it has none for, in words."""
    try:
        plain: list[Any] = values.to_pylist()
    except (OverflowError, ValueError):
        unit = _unit(values.type)
        return [None if n is None else f"{n} {unit} since 1970" for n in _counted(values).to_pylist()]
    return plain


_TAKERS: Mapping[TypeName, Callable[[pa.Array], _Taken | None]] = {
    "number": _numbers,
    "integer": _integers,
    "text": lambda _: None,
    "boolean": _booleans,
    "timestamp": _times,
}


def _numpy(found: pa.Array, kind: TypeName) -> NDArray[Any]:
    """As rules look at values; what stands for a missing one breaks none that the caller would believe."""
    if kind == "timestamp":
        return _filled(found.cast(pa.int64())).astype("datetime64[us]")
    if kind == "number":
        numbers: NDArray[Any] = found.to_numpy(zero_copy_only=False)
        return numbers
    return _filled(found)


def _filled(found: pa.Array) -> NDArray[Any]:
    if found.null_count:
        found = pc.fill_null(found, pa.scalar(0).cast(found.type))
    values: NDArray[Any] = found.to_numpy(zero_copy_only=False)
    return values


def _missing(found: pa.Array) -> NDArray[np.bool_]:
    if pa.types.is_floating(found.type):
        missing: NDArray[np.bool_] = np.isnan(found.to_numpy(zero_copy_only=False))
    else:
        missing = found.is_null().to_numpy(zero_copy_only=False)
    return missing


def _put(found: pa.Array, places: NDArray[np.int64], rest: pa.Array) -> pa.Array:
    mask = np.zeros(len(found), bool)
    mask[places] = True
    return pc.replace_with_mask(found, pa.array(mask), rest)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    )
