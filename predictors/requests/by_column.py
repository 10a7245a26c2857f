"""The records of rows that came by column."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, final, overload

import numpy as np
from numpy.typing import NDArray

Record = tuple[Any, ...]
# Plain values, None for null; or float64, NaN for null.
Values = Sequence[Any] | NDArray[np.float64]


@final
class ByColumn(Sequence[Record]):
    """Records as a row has them, but made only once somebody looks at one: of thousands of rows of numbers nobody does,
    and to make the values of each would take as long as to score them."""

    def __init__(self, columns: Sequence[Values], count: int) -> None:
        """`columns` have `count` values each, in the order of a record."""
        self.columns, self._count = tuple(columns), count

    @classmethod
    def joined(cls, parts: "Sequence[ByColumn]") -> "ByColumn":
        """The records of all parts, which have the same columns."""
        columns = [_joined(columns) for columns in zip(*(part.columns for part in parts), strict=True)]
        return cls(columns, sum(map(len, parts)))

    def values(self, place: int) -> Sequence[Any]:
        """The plain values of one column, None for null."""
        column = self.columns[place]
        return _plain(column) if isinstance(column, np.ndarray) else column

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        return self._records[place]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @cached_property
    def _records(self) -> list[Record]:
        if not self.columns:
            return [()] * self._count
        return list(zip(*(self.values(place) for place in range(len(self.columns))), strict=True))


def values_at(records: Sequence[Record], place: int) -> Sequence[Any]:
    """The plain values of records at one place."""
    if type(records) is ByColumn:
        return records.values(place)
    return [record[place] for record in records]


def _plain(column: NDArray[np.float64]) -> list[float | None]:
    values: list[float | None] = column.tolist()
    return [None if value != value else value for value in values] if np.isnan(column).any() else values


def _joined(parts: Sequence[Values]) -> Values:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return list(chain.from_iterable(_plain(part) if isinstance(part, np.ndarray) else part for part in parts))
