"""What the values of a request column may be: those that ingest takes, under the same words."""

import base64
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from serin.columns import MAX_EXACT, MISSING, Column, TypeName, problem
from serin.errors import SerinError
from serin.times import parse_time


class _InexactError(ValueError):
    """A float that no longer tells neighbouring whole numbers apart."""


def read(column: Column, values: Sequence[Any], *, encoded: bool = False) -> tuple[list[Any], dict[int, str]]:
    """n values as int, float, str, bool or aware UTC datetime, and what is wrong with some of them, by place.

    null and NaN are None, and so is a value that is wrong. JSON has one kind of number, so an integral float is an
    integer, as far as a float holds it exactly; nothing else becomes another type. Bytes are texts in UTF-8, with
    `encoded` in base64 besides.
    """
    typed: list[Any] = [None] * len(values)
    wrong: dict[int, str] = {}
    rules = column.rules()
    for place, value in enumerate(map(_text_of, values)):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            if not column.nullable:
                wrong[place] = MISSING
            continue
        try:
            result = _READERS[column.type](_decoded(value) if encoded else value)
        except _InexactError:
            wrong[place] = problem(f"a float beyond {MAX_EXACT}, where it may stand for several whole numbers", value)
            continue
        except ValueError:
            wrong[place] = problem(f"{column.misfit}{' in base64' if encoded else ''}", value)
            continue
        if rule := next((words for words, breaks in rules if breaks(result)), None):
            # Numbers as they were understood: -1 of JSON and -1.0 of a tensor are told alike.
            wrong[place] = problem(rule, value if isinstance(value, str) else result)
        else:
            typed[place] = result
    return typed, wrong


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold the text; JSON's escapes can spell surrogates that stand alone, which it can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text_of(value: Any) -> Any:
    """Bytes as the text that they hold; what is no UTF-8 stays bytes, which no column takes."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _decoded(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return base64.b64decode(value, validate=True).decode()


def _integer(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        if abs(value) > MAX_EXACT:
            raise _InexactError
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError
    try:
        return float(value)
    except OverflowError:
        raise ValueError from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not is_utf8(value):
        raise ValueError
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _timestamp(value: Any) -> datetime:
    try:
        return parse_time(_text(value))
    except (SerinError, OverflowError):
        raise ValueError from None


_READERS: dict[TypeName, Callable[[Any], Any]] = {
    "integer": _integer,
    "number": _number,
    "text": _text,
    "boolean": _boolean,
    "timestamp": _timestamp,
}
