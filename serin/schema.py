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

        A number that is missing and a category that training never saw become NaN.
        Raises KeyError for a column that `data` lacks, and ValueError for a value that is no number.
        """
        encoded = [_encode(column, data[column.name]) for column in self.columns]
        return np.stack(encoded, axis=1) if encoded else np.empty((0, 0), np.float32)


def _encode(column: InputColumn, values: Sequence[Any] | NDArray[Any]) -> NDArray[np.float32]:
    if column.kind == "number":
        if not isinstance(values, np.ndarray) or values.dtype == object:
            values = [np.nan if value is None else value for value in values]
        return np.asarray(values, dtype=np.float64).astype(np.float32)
    codes = {category: float(code) for code, category in enumerate(column.categories)}
    # A missing value (None, or NaN, which is not itself) is no category called "None" or "nan".
    return np.array(
        [np.nan if value is None or value != value else codes.get(str(value), np.nan) for value in values],
        dtype=np.float32,
    )


def calendar(name: str, times: Sequence[datetime] | NDArray[np.datetime64]) -> NDArray[np.float64]:
    """A calendar feature of n event times (UTC): `hour` 0 to 23, `weekday` 0 (Monday) to 6."""
    if not isinstance(times, np.ndarray):
        times = np.array([_naive_utc(moment) for moment in times], dtype="datetime64[s]")
    seconds = times.astype("datetime64[s]").astype(np.int64)
    if name == "hour":
        return (seconds // 3600 % 24).astype(np.float64)
    if name == "weekday":
        return ((seconds // 86400 + 3) % 7).astype(np.float64)  # 1970-01-01 was a Thursday
    raise ValueError(f"{name!r} is no calendar feature; allowed: hour, weekday")


def _naive_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
