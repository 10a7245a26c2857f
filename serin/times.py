"""Event times and durations. All times are UTC; the clock is read at the edge and passed in."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from serin.errors import SerinError

DAY = timedelta(days=1)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PATTERN = re.compile(r"(\d+)([smhdw])")


def parse_duration(text: str | timedelta) -> timedelta:
    """`30s`, `15m`, `6h`, `7d` or `2w` as a timedelta.

    Raises ValueError, which pydantic turns into an error that names the key.
    """
    if isinstance(text, timedelta):
        return text
    match = _PATTERN.fullmatch(str(text).strip())
    if not match:
        raise ValueError(f"{text!r} is no duration; write a whole number and a unit: 30s, 15m, 6h, 7d, 2w")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `value` (whole seconds)."""
    seconds = int(value.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: datetime) -> int:
    """An aware time in microseconds since 1970."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]


def parse_time(text: str) -> datetime:
    """A date or an ISO 8601 time as an aware UTC datetime; without an offset it is taken as UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SerinError(
            f"{text!r} is no time; write a date (2018-06-01) or an ISO 8601 time (2018-06-01T12:00)"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
