"""The model's input: which columns in which order, and how a row becomes a vector.

Training and serving encode rows with this one function, so a value means the same to both.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

# More categories than this are no category but free text; what goes beyond counts as unknown.
MAX_CATEGORIES = 100

# The calendar features and the highest value of each; the lowest is 0.
CALENDAR: Mapping[str, int] = {"hour": 23, "weekday": 6, "night": 1, "weekend": 1}
_LAST_NIGHT_HOUR = 6
_SATURDAY = 5


class InputColumn(BaseModel):
    """One input of the model. A category's code is its place in `categories`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["number", "category"] = "number"
    categories: tuple[str, ...] = ()


class InputSchema(BaseModel):
    """The model's inputs in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[InputColumn, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(column.name for column in self.columns)

    def encode(self, data: Mapping[str, Sequence[Any] | NDArray[Any]]) -> NDArray[np.float32]:
        """Rows given by column (each of length n) as a float32 matrix of shape (n, columns).

        A number that is missing, or too large for single precision, and a category that training never saw become NaN.
        Raises KeyError for a column that `data` lacks, and ValueError for a value that is no number.
        """
        encoded = [_encode(column, data[column.name]) for column in self.columns]
        return np.stack(encoded, axis=1) if encoded else np.empty((0, 0), np.float32)


def as_numbers(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.float64]:
    """n numbers, NaN where there is None. Raises ValueError for a value that is no number."""
    if not isinstance(values, np.ndarray) or values.dtype == object:
        values = [np.nan if value is None else value for value in values]
    return np.asarray(values, dtype=np.float64)


def as_times(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.datetime64]:
    """n times in UTC, in microseconds, NaT where there is None. A datetime without a zone is UTC."""
    if not isinstance(values, np.ndarray) or values.dtype == object:
        values = np.array([_naive_utc(moment) for moment in values], dtype="datetime64[us]")
    return values.astype("datetime64[us]")


def as_single(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The numbers as models take them, in C's order, NaN where they are too large for that: a sum or a ratio of numbers
    that are not may be, and models either refuse an infinite number or make of it what they like."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32, order="C")
    single[np.isinf(single)] = np.nan
    return single


def _encode(column: InputColumn, values: Sequence[Any] | NDArray[Any]) -> NDArray[np.float32]:
    if column.kind == "number":
        return as_single(as_numbers(values))
    codes = {category: float(code) for code, category in enumerate(column.categories)}
    # A missing value (None, or NaN, which is not itself) is no category called "None" or "nan".
    return np.array(
        [np.nan if value is None or value != value else codes.get(str(value), np.nan) for value in values],
        dtype=np.float32,
    )


def calendar(name: str, times: Sequence[datetime] | NDArray[np.datetime64]) -> NDArray[np.float64]:
    """A calendar feature of n event times (UTC): `hour` 0 to 23, `weekday` 0 (Monday) to 6, `night` 1 from 0:00 until
    7:00 (hours 0 to 6, as the Fraud Detection Handbook has it), `weekend` 1 on Saturday and Sunday, else 0.

    Raises ValueError for another name.
    """
    if name not in CALENDAR:
        raise ValueError(f"{name!r} is no calendar feature; allowed: {', '.join(CALENDAR)}")
    days, seconds = np.divmod(as_times(times).astype("datetime64[s]").astype(np.int64), 86400)
    if name in ("hour", "night"):
        hour = seconds // 3600
        return (hour if name == "hour" else hour <= _LAST_NIGHT_HOUR).astype(np.float64)
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
    return (weekday if name == "weekday" else weekday >= _SATURDAY).astype(np.float64)


def _naive_utc(moment: datetime | None) -> datetime | None:
    """The moment in UTC without its zone; None for None and for what is no time (pandas' NaT is not itself)."""
    if moment is None or moment != moment:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
