"""What one value of a request column may be."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from serin.artifact import RequestColumn
from serin.errors import SerinError
from serin.times import parse_time

MAX_TEXT = 1024
# Models compute in 32 bits: a larger number would reach them as infinity.
MAX_NUMBER = 3.4028234663852886e38
YEARS = (1970, 2199)

_ALLOWED = {
    "integer": "an integer of 64 bits",
    "number": "a finite number",
    "text": f"a text of at most {MAX_TEXT} characters",
    "boolean": "true or false",
    "timestamp": f"an ISO 8601 time from {YEARS[0]} to {YEARS[1]}, as in 2018-06-01T12:00:00Z",
}


def read(column: RequestColumn, value: Any) -> Any:
    """`value` as int, float, str, bool or aware UTC datetime; None where null or NaN is allowed.

    An integral float is an integer, for JSON has one kind of number. Raises ValueError; `allowed` tells what would do,
    and the error's text, mostly empty, what is wrong with a value that looks as if it would.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        if column.nullable:
            return None
        raise ValueError
    result = _READERS[column.type](value)
    if column.min is not None and result < column.min:
        raise ValueError
    if column.max is not None and result > column.max:
        raise ValueError
    return result


def allowed(column: RequestColumn) -> str:
    """What `read` accepts, in words."""
    parts = [_ALLOWED[column.type]]
    if column.min is not None:
        parts.append(f"of at least {column.min:g}")
    if column.max is not None:
        parts.append(f"{'and' if column.min is not None else 'of'} at most {column.max:g}")
    return " ".join(parts) + (" or null" if column.nullable else "")


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold the text; JSON's escapes can spell surrogates that stand alone, which it can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) == math.inf:
        raise ValueError
    if not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise ValueError("which is infinite in 32 bits")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError
    if not is_utf8(value):
        raise ValueError("which is not UTF-8")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _timestamp(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError
    try:
        moment = parse_time(value)
    except (SerinError, OverflowError):
        raise ValueError from None
    if not YEARS[0] <= moment.year <= YEARS[1]:
        raise ValueError
    return moment


_READERS: dict[str, Callable[[Any], Any]] = {
    "integer": _integer,
    "number": _number,
    "text": _text,
    "boolean": _boolean,
    "timestamp": _timestamp,
}
