"""Prediction requests as checked columns: V1 rows and V2 tensors become the same rows.

A request comes in one of two shapes, told apart by the columns that it gives:
keyed rows carry entity keys and request columns, and the predictor fetches the rest from the online store;
raw rows carry every store feature themselves (null where unknown), and no key is needed.
Either may carry the columns of the event's own key (`data.key`), by which it is known to be one that was pushed.

Beside its rows a request may carry the parameters of `rows.Options`, at the top of a V1 body and of a V2 request.
Every refusal is a RequestError with the same words for V1, V2 and gRPC.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.requests.fields import ABSENT, Field, Given, by_column, checked, nullable, unknown
from predictors.requests.rows import Options, Rows
from predictors.requests.values import is_utf8
from serin.artifact import Manifest, RequestColumn
from serin.columns import TYPES, shown
from serin.errors import RequestError
from serin.schema import CALENDAR

MAX_ROWS = 4096
MAX_ID = 256


@dataclass(frozen=True)
class Tensor:
    """One named V2 input; `data` is flat, or one list a row; an array is of numbers in their datatype."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | NDArray[Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)


class RequestSchema:
    """What requests for one model may hold: `keyed` and `raw` are the columns of rows of either shape, `features` those
    whose presence makes a row raw (without any, all rows are), `timestamp` the column of the event time."""

    keyed: Mapping[str, Field]
    raw: Mapping[str, Field]

    def __init__(self, manifest: Manifest) -> None:
        self.timestamp = manifest.timestamp
        self.features = manifest.store_features
        self._features = frozenset(manifest.store_features)
        common = {column.name: Field(column, not column.nullable) for column in manifest.request}
        if manifest.timestamp:
            time = RequestColumn(name=manifest.timestamp, type="timestamp", nullable=True)
            common[time.name] = Field(time, required=False)
        keys = {column.name: Field(nullable(column, False), required=True) for column in manifest.entities}
        event = {column.name: Field(nullable(column, True), required=False) for column in manifest.event_key}
        common |= {name: field for name, field in event.items() if name not in common | keys}
        self.keyed = {**keys, **common}
        optional = {name: Field(nullable(field.column, True), required=False) for name, field in keys.items()}
        self.raw = {**optional, **common, **_calendar_fields(manifest), **_feature_fields(manifest)}

    @classmethod
    def of_columns(cls, columns: Sequence[RequestColumn]) -> "RequestSchema":
        """Requests that hold these columns and no others: of a kind of model without a manifest.

        One that may be null may also be left out.
        """
        schema = cls.__new__(cls)
        schema.timestamp, schema.features, schema._features = None, (), frozenset()
        schema.keyed = schema.raw = {column.name: Field(column, not column.nullable) for column in columns}
        return schema

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """Name and usual V2 datatype of the columns of a keyed request."""
        return [(name, TYPES[field.column.type].v2[0]) for name, field in self.keyed.items()]

    def of_given(self, given: set[str]) -> tuple[Mapping[str, Field], bool]:
        """What rows that give these columns may hold, in order, and whether such rows are raw."""
        fields = self._fields(given)
        return fields, fields is self.raw

    def from_v1(self, body: Any, now: datetime) -> Rows:
        """Rows of a V1 body `{"instances": [{column: value, ...}, ...], "parameters": {...}}`.

        A missing event time is `now`.
        """
        instances = body.get("instances") if isinstance(body, dict) else None
        if not isinstance(instances, list):
            raise RequestError('the body is not as expected; allowed: {"instances": [{column: value, ...}, ...]}')
        check_count(len(instances))
        options = options_of(body.get("parameters"))
        fields = self._fields(set().union(*(row for row in instances if isinstance(row, dict))))
        given, strange = by_column(fields, instances)
        return self._rows(fields, given, strange, options, now)

    def from_v2(self, tensors: Sequence[Tensor], now: datetime, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Rows of V2 tensors, one a column, each of shape [n] or [n, 1]; a missing event time is `now`.

        A tensor of BYTES may be base64, told by its parameter `content_type`.
        """
        if not tensors:
            raise RequestError("the request has no inputs; allowed: one tensor a column")
        options = options_of(parameters)
        count = _tensor_rows(tensors[0])
        check_count(count)
        names = [str(tensor.name) for tensor in tensors]
        fields = self._fields(set(names))
        if problem := unknown(fields, names):
            raise RequestError(problem)
        given: dict[str, Given] = {}
        for tensor in tensors:
            if tensor.name in given:
                raise RequestError(f"column {tensor.name}: found it more than once, allowed: once")
            given[tensor.name] = _tensor_values(tensor, fields[tensor.name].column, count)
        absent = Given([ABSENT] * count)
        return self._rows(fields, {name: given.get(name, absent) for name in fields}, {}, options, now)

    def _fields(self, given: set[str]) -> Mapping[str, Field]:
        return self.raw if not self._features or given & self._features else self.keyed

    def _rows(
        self,
        fields: Mapping[str, Field],
        given: Mapping[str, Given],
        strange: Mapping[int, str],
        options: Options,
        now: datetime,
    ) -> Rows:
        """`strange` are rows that hold no columns to speak of, with what is wrong."""
        columns, wrong = {}, defaultdict(list)
        for name, values in given.items():
            columns[name], problems = checked(fields[name], values)
            for row, problem in problems.items():
                wrong[row].append(f"{name}: {problem}")
        count = len(next(iter(columns.values())))
        given_times = columns.pop(self.timestamp) if self.timestamp else [None] * count
        times: list[datetime] = [now if time is None else time for time in given_times]
        rows = Rows.of_columns(columns, times, fields is self.raw, options)
        return rows.without({**{row: "; ".join(problems) for row, problems in wrong.items()}, **strange})


def check_id(request_id: str) -> str:
    """The id of a request, which its answer and the prediction log repeat. Raises RequestError for one they can't."""
    allowed_id = f"a text of at most {MAX_ID} characters"
    if len(request_id) > MAX_ID:
        raise RequestError(f"the request id has {len(request_id)} characters; allowed: {allowed_id}")
    if not is_utf8(request_id):
        raise RequestError(f"the request id: found {shown(request_id)}, which is not UTF-8, allowed: {allowed_id}")
    return request_id


def options_of(parameters: Any) -> Options:
    """What the parameters of a request ask for. Raises RequestError for those that are not allowed."""
    names = [option.name for option in fields_of(Options)]
    given = {} if parameters is None else parameters
    if not isinstance(given, Mapping):
        raise RequestError(f"parameters: found {shown(parameters)}, allowed: an object of {', '.join(names)}")
    for name, value in given.items():
        if name not in names:
            raise RequestError(f"parameter {shown(name)} is unknown; allowed: {', '.join(names)}")
        if not isinstance(value, bool):
            raise RequestError(f"parameter {name}: found {shown(value)}, allowed: true or false")
    return Options(**given)


def _calendar_fields(manifest: Manifest) -> dict[str, Field]:
    return {
        name: Field(RequestColumn(name=name, type="number", min=0, max=CALENDAR[name], nullable=True), False)
        for name in manifest.calendar
    }


def _feature_fields(manifest: Manifest) -> dict[str, Field]:
    kinds = {column.name: "text" if column.kind == "category" else "number" for column in manifest.inputs.columns}
    return {
        name: Field(RequestColumn.model_validate({"name": name, "type": kinds[name], "nullable": True}), True)
        for name in manifest.store_features
    }


def check_count(count: int) -> None:
    """Raises RequestError for a number of rows that is not allowed."""
    if not 1 <= count <= MAX_ROWS:
        raise RequestError(f"the request has {count} rows; allowed: 1 to {MAX_ROWS}")


def _tensor_rows(tensor: Tensor) -> int:
    shape = tensor.shape
    whole = isinstance(shape, list) and all(isinstance(size, int) and size >= 0 for size in shape)
    if not whole or len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise RequestError(f"column {shown(tensor.name)}: found shape {shown(shape)}, allowed: [n] or [n, 1]")
    return shape[0]


def _tensor_values(tensor: Tensor, column: RequestColumn, count: int) -> Given:
    datatypes = TYPES[column.type].v2
    if tensor.datatype not in datatypes:
        found = shown(tensor.datatype)
        raise RequestError(f"column {column.name}: found datatype {found}, allowed: {', '.join(datatypes)}")
    rows = _tensor_rows(tensor)
    if rows != count:
        raise RequestError(f"column {column.name}: found {rows} rows, allowed: {count}, as in the first column")
    data = tensor.data.tolist() if isinstance(tensor.data, np.ndarray) else tensor.data
    if not isinstance(data, list) or len(data) != count:
        found = str(len(data)) if isinstance(data, list) else shown(data)
        raise RequestError(f"column {column.name}: found {found} values, allowed: {count}, as its shape says")
    values = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]
    return Given(values, _is_base64(tensor, column))


def _is_base64(tensor: Tensor, column: RequestColumn) -> bool:
    content = tensor.parameters.get("content_type")
    allowed = " or ".join(["no content_type", *(["'base64'"] if tensor.datatype == "BYTES" else [])])
    if content not in (None, "base64") or (content and tensor.datatype != "BYTES"):
        raise RequestError(f"column {column.name}: found content_type {shown(content)}, allowed: {allowed}")
    return content is not None
