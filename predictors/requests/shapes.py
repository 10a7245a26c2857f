"""Rows with the same columns, from what msgspec decoded of a body and from tensors of plain values."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from predictors.requests import typed
from predictors.requests.by_column import ByColumn
from predictors.requests.fields import Field
from predictors.requests.rows import Rows
from predictors.requests.schema import RequestSchema, Tensor, check_count
from serin.columns import TYPES, YEARS
from serin.errors import SerinError
from serin.times import parse_time


class Shape:
    """Decoders for rows with the same columns, which have their places in the order of the fields."""

    def __init__(self, fields: Mapping[str, Field], types: Sequence[Any], timestamp: str | None, raw: bool) -> None:
        attributes = [f"c{place}" for place in range(len(fields))]
        names = list(fields)
        self._required = [place for place, field in enumerate(fields.values()) if field.required]
        self._size = len(names)
        self._time = names.index(timestamp) if timestamp else None
        kept = [place for place in range(len(names)) if place != self._time]
        self._raw = raw
        # One place would give no tuple.
        self._pick = itemgetter(*kept) if len(kept) > 1 else lambda columns: tuple(columns[place] for place in kept)
        self.names = tuple(names[place] for place in kept)
        self._places = {name: place for place, name in enumerate(names)}
        self._datatypes = [frozenset(TYPES[field.column.type].v2) for field in fields.values()]
        self._plain = [_PLAIN[field.column.type] for field in fields.values()]
        self._declared = [field.column for field in fields.values()]
        self._columns = typed.tensors(types, attributes)
        self._values = _values([attributes[place] for place in kept])
        self._event_time = attrgetter(attributes[self._time]) if self._time is not None else None
        checks = [(at, _CHECKS.get(fields[name].column.type)) for at, name in enumerate(self.names)]
        self._checks = [(at, check) for at, check in checks if check]
        self.v1 = msgspec.json.Decoder(typed.body_v1(fields, types, attributes))
        body, self._of_tensor = typed.body_v2(fields, types)
        self.v2 = msgspec.json.Decoder(body)

    @classmethod
    def of(cls, schema: RequestSchema, fields: Mapping[str, Field], raw: bool) -> "Shape | None":
        """The shape of rows with the fields; None where their rules can't be told to a decoder."""
        types = typed.columns(fields)
        return cls(fields, types, schema.timestamp, raw) if types else None

    def of_objects(self, instances: Sequence[Any]) -> Rows:
        """Rows of decoded objects. Raises ValueError for what the decoder could not check, RequestError for their
        number."""
        check_count(len(instances))
        records = list(map(self._values, instances))
        given = map(self._event_time, instances) if self._event_time else None
        return self._rows(records, None if given is None else list(given), len(instances))

    def of_tensors(self, inputs: Sequence[Any]) -> Rows | None:
        """Rows of decoded tensors, None where something is amiss. Raises as `of_objects`."""
        columns: list[Sequence[Any] | None] = [None] * self._size
        count = inputs[0].shape[0] if inputs and inputs[0].shape else -1
        flat, upright, places = [count], [count, 1], self._of_tensor
        for tensor in inputs:
            place, shape, data = places[type(tensor)], tensor.shape, tensor.data
            if columns[place] is not None or len(data) != count or (shape != flat and shape != upright):
                return None
            columns[place] = data
        filled = self._filled(columns, count) if count >= 0 else None
        return None if filled is None else self._of_columns(filled, count)

    def of_values(self, tensors: Sequence[Tensor]) -> Rows | None:
        """Rows of tensors of plain values, texts as bytes, with NaN for null. Raises as `of_objects`, and
        AttributeError and TypeError for other values."""
        columns: list[Any] = [None] * self._size
        shape = tensors[0].shape if tensors else None
        if not shape or shape[0] < 0 or tensors[0].shape[1:] not in ([], [1]):
            return None
        count = shape[0]
        flat, upright = [count], [count, 1]
        for tensor in tensors:
            place, data = self._places[tensor.name], tensor.data
            if columns[place] is not None or len(data) != count or (tensor.shape != flat and tensor.shape != upright):
                return None
            # [1.0] equals [1] to Python, but is no shape.
            odd = tensor.parameters or type(sum(tensor.shape)) is not int
            if odd or tensor.datatype not in self._datatypes[place]:
                return None
            columns[place] = self._array(place, data) if isinstance(data, np.ndarray) else self._plain[place](data)
        filled = self._filled(self._converted(columns), count)
        return None if filled is None else self._of_columns(filled, count)

    def _filled(self, columns: Sequence[Any], count: int) -> Sequence[Any] | None:
        """The columns by place, of nulls where one is left out; None where it must not be."""
        check_count(count)
        if not any(column is None for column in columns):
            return columns
        if any(columns[place] is None for place in self._required):
            return None
        nulls = [None] * count
        return [nulls if column is None else column for column in columns]

    def _array(self, place: int, values: NDArray[Any]) -> Any:
        """A column of numbers as float64 with NaN for null, another as plain values. Raises ValueError for one that
        holds a number that is not allowed."""
        column = self._declared[place]
        if column.type != "number":
            return values.tolist()
        numbers = values.astype(np.float64)
        least, greatest = numbers.min(), numbers.max()
        if least != least:
            if not column.nullable:
                raise ValueError
            # Still NaN where all values are, which breaks no rule.
            least, greatest = np.fmin.reduce(numbers), np.fmax.reduce(numbers)
        low, high = typed.bounds(column)
        if least < low or greatest > high:
            raise ValueError
        return numbers

    def _converted(self, columns: Sequence[Any]) -> Sequence[Any]:
        """Plain values of the columns' types; arrays, and columns that are left out, stay what they are. Raises as
        msgspec does."""
        lists = [isinstance(column, list) for column in columns]
        given = [column if is_list else [] for column, is_list in zip(columns, lists, strict=True)]
        found = astuple(msgspec.convert(given, self._columns))
        return [new if is_list else old for new, old, is_list in zip(found, columns, lists, strict=True)]

    def _of_columns(self, columns: Sequence[Any], count: int) -> Rows:
        times = None if self._time is None else columns[self._time]
        kept = self._pick(columns)
        if any(isinstance(column, np.ndarray) for column in kept):
            return self._rows(ByColumn(kept, count), times, count)
        records = list(zip(*kept, strict=True)) if kept else [()] * count
        return self._rows(records, times, count)

    def _rows(self, records: Sequence[tuple[Any, ...]], given: Sequence[str | None] | None, count: int) -> Rows:
        if self._checks:
            records = [self._checked(record) for record in records]
        if given is None:
            times = [datetime.now(UTC)] * count
        elif None in given:
            now = datetime.now(UTC)
            times = [now if time is None else _time_of(time) for time in given]
        else:
            times = [_time_of(time) for time in given if time is not None]
        return Rows.plain(self.names, records, times, self._raw)

    def _checked(self, record: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(record)
        for place, check in self._checks:
            if values[place] is not None:
                values[place] = check(values[place])
        return tuple(values)


def _values(attributes: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """What gives the named attributes as a tuple, of however many."""
    if not attributes:
        return lambda _: ()
    get = attrgetter(*attributes)
    return get if len(attributes) > 1 else lambda row: (get(row),)


def _time_of(text: str) -> datetime:
    try:
        time = parse_time(text)
    except SerinError:
        raise ValueError from None
    if not YEARS[0] <= time.year <= YEARS[1]:
        raise ValueError
    return time


def _without_nan(values: Sequence[Any]) -> Sequence[Any]:
    """Numbers, None where there is NaN."""
    return [None if value != value else value for value in values] if math.isnan(sum(values)) else values


def _texts(values: Sequence[Any]) -> Sequence[Any]:
    if b"\0" in b"".join(values):
        raise ValueError
    return [value.decode() for value in values]


def _same(values: Sequence[Any]) -> Sequence[Any]:
    return values


# Values of raw or typed contents as those of JSON.
_PLAIN: Mapping[str, Callable[[Sequence[Any]], Sequence[Any]]] = {
    "number": _without_nan,
    "integer": _same,
    "boolean": _same,
    "text": _texts,
    "timestamp": _texts,
}
_CHECKS: Mapping[str, Callable[[Any], Any]] = {"timestamp": _time_of}
