"""Records to the matrix that a model is given, many rows at once and with as few steps as possible.

`serin.schema.InputSchema.encode` and `serin.derived` say what it holds: they are what training uses. This comes to the
same from rows as they are served, where a call for each column of each request would cost more than the model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.requests.by_column import ByColumn, Record, values_at
from serin.artifact import Manifest
from serin.derived import derived
from serin.schema import InputColumn, as_single, calendar
from serin.times import micros
from serin.use_case import DerivedFeature

_NAN = float("nan")
# If the squares of some numbers come to no more, single precision holds each of them, and none is NaN.
_MOST_SQUARED = float(np.finfo(np.float32).max) ** 2


@dataclass(frozen=True)
class Inputs:
    """The inputs of n rows: `matrix` is float64 of shape (n, inputs), of a category its code, NaN where missing,
    unknown or too large for `single`, the same in float32, which the model is given. `nothing` are the rows that are
    all NaN. `texts` has the categories' values by column, as texts, None where missing. `unknown` has of each row the
    values that training did not know, by column; it is empty where there are none."""

    matrix: NDArray[np.float64]
    single: NDArray[np.float32]
    nothing: Sequence[int]
    texts: Mapping[str, list[str | None]]
    unknown: Sequence[Mapping[str, str]]

    @classmethod
    def of(
        cls,
        matrix: NDArray[np.float64],
        texts: Mapping[str, list[str | None]] = MappingProxyType({}),
        unknown: Sequence[Mapping[str, str]] = (),
    ) -> "Inputs":
        """Those that `matrix` has, of which some may be too large."""
        if np.vdot(matrix, matrix) <= _MOST_SQUARED:
            return cls(matrix, matrix.astype(np.float32, order="C"), (), texts, unknown)
        single = as_single(matrix)
        missing = np.isnan(single)
        nothing = np.flatnonzero(missing.all(axis=1)).tolist()
        return cls(np.where(missing, _NAN, matrix), single, nothing, texts, unknown)


class InputReader:
    """Reads the inputs of records that hold the columns `names`, in that order; one that is named twice counts as where
    it is last."""

    def __init__(self, manifest: Manifest, names: tuple[str, ...]) -> None:
        """Raises KeyError for an input that is neither among them nor computed."""
        place_of = {name: place for place, name in enumerate(names)}
        computed = {*manifest.calendar, *(feature.name for feature in manifest.derived)}
        columns = list(enumerate(manifest.inputs.columns))
        numbers = [(at, column) for at, column in columns if column.kind == "number" and column.name not in computed]
        self._width = len(columns)
        self._given = [place_of[column.name] for _, column in numbers]
        self._numbers = _getter(self._given)
        self._number_places = _places([at for at, _ in numbers])
        self._all_numbers = len(numbers) == self._width
        self._categories = [
            _Category(at, column.name, place_of[column.name], _codes(column))
            for at, column in columns
            if column.kind == "category"
        ]
        at_of = {column.name: at for at, column in columns if column.kind == "number"}
        self._calendar = [(name, at_of.get(name), place_of.get(name)) for name in manifest.calendar]
        self._derived = [(feature, at_of.get(feature.name)) for feature in manifest.derived]
        self._timestamp = manifest.timestamp
        self._at_of, self._place_of = at_of, place_of

    def read(self, records: Sequence[Record], times: Sequence[datetime]) -> Inputs:
        """The inputs of n records of events at n times (UTC). Raises ValueError or TypeError for a value that is no
        number where there has to be one."""
        given = self._given_numbers(records)
        if self._all_numbers:
            return Inputs.of(given)
        matrix = np.empty((len(records), self._width))
        matrix[:, self._number_places] = given
        texts, unknown = self._read_categories(records, matrix)
        if self._calendar or self._derived:
            self._compute(records, times, matrix)
        return Inputs.of(matrix, texts, unknown)

    def _given_numbers(self, records: Sequence[Record]) -> NDArray[np.float64]:
        """The inputs that are numbers of the request, shape (n, numbers)."""
        if type(records) is not ByColumn:
            return np.array([self._numbers(record) for record in records], np.float64)
        by_column = np.empty((len(self._given), len(records)))
        for at, place in enumerate(self._given):
            by_column[at] = np.asarray(records.columns[place], np.float64)
        return by_column.T

    def _read_categories(
        self, records: Sequence[Record], matrix: NDArray[np.float64]
    ) -> tuple[dict[str, list[str | None]], Sequence[dict[str, str]]]:
        texts: dict[str, list[str | None]] = {}
        unknown: list[dict[str, str]] = []
        for category in self._categories:
            values = [_text(value) for value in values_at(records, category.place)]
            codes = [_NAN if value is None else category.codes.get(value, _NAN) for value in values]
            matrix[:, category.at] = codes
            texts[category.name] = values
            for row, (value, code) in enumerate(zip(values, codes, strict=True)):
                if value is not None and code != code:
                    unknown = unknown or [{} for _ in records]
                    unknown[row][category.name] = value
        return texts, unknown

    def _compute(self, records: Sequence[Record], times: Sequence[datetime], matrix: NDArray[np.float64]) -> None:
        """Fill in what is computed, in the order in which it is declared: one may be made of another."""
        moments = np.array([micros(time) for time in times], "datetime64[us]")
        computed: dict[str, NDArray[Any]] = {self._timestamp: moments} if self._timestamp else {}
        for name, at, place in self._calendar:
            values = calendar(name, moments)
            if place is not None:
                # A raw row may carry its own.
                own = values_at(records, place)
                values = np.array([value if mine is None else mine for value, mine in zip(values, own, strict=True)])
            computed[name] = values
            if at is not None:
                matrix[:, at] = values
        for feature, at in self._derived:
            columns = {name: self._column(name, computed, records, matrix) for name in _sources(feature)}
            computed[feature.name] = values = derived(feature, columns)
            if at is not None:
                matrix[:, at] = values

    def _column(
        self,
        name: str,
        computed: Mapping[str, NDArray[Any]],
        records: Sequence[Record],
        matrix: NDArray[np.float64],
    ) -> Sequence[Any] | NDArray[Any]:
        if name in computed:
            return computed[name]
        if name in self._at_of:
            return matrix[:, self._at_of[name]]
        return values_at(records, self._place_of[name])


@dataclass(frozen=True)
class _Category:
    """An input of texts: where it is in the matrix and in a record, and its codes."""

    at: int
    name: str
    place: int
    codes: Mapping[str, float]


def _codes(column: InputColumn) -> dict[str, float]:
    return {category: float(code) for code, category in enumerate(column.categories)}


def _text(value: Any) -> str | None:
    """A category as text; a missing one (None, or NaN, which is not itself) is none called "None" or "nan"."""
    return value if type(value) is str else None if value is None or value != value else str(value)


def _getter(places: Sequence[int]) -> Callable[[Record], Record]:
    if not places:
        return lambda _: ()
    if len(places) == 1:
        (place,) = places
        return lambda record: (record[place],)
    return itemgetter(*places)


def _places(places: Sequence[int]) -> "slice | list[int]":
    """Places in a matrix, as the slice that they are where they are one: it is quicker to write to."""
    if places and list(places) == list(range(places[0], places[-1] + 1)):
        return slice(places[0], places[-1] + 1)
    return list(places)


def _sources(feature: DerivedFeature) -> tuple[str, str]:
    return feature.ratio or feature.elapsed or ("", "")
