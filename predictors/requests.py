"""Prediction requests as checked columns: V1 rows and V2 tensors become the same `Rows`.

A request comes in one of two shapes, told apart by the columns that it gives:
keyed rows carry entity keys and request columns, and the predictor fetches the rest from the online store;
raw rows carry every store feature themselves (null where unknown), and no key is needed.
Every refusal is a RequestError that names row and column, what was found and what is allowed.
"""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from predictors.values import allowed, is_utf8, read
from serin.artifact import Manifest, RequestColumn
from serin.errors import RequestError

MAX_ROWS = 4096
MAX_ID = 256

_ABSENT = object()
_INTEGERS = {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
_DATATYPES = {
    "integer": _INTEGERS,
    "number": _INTEGERS | {"FP16", "FP32", "FP64"},
    "text": {"BYTES"},
    "boolean": {"BOOL"},
    "timestamp": {"BYTES"},
}
_USUAL_DATATYPE = {"integer": "INT64", "number": "FP64", "text": "BYTES", "boolean": "BOOL", "timestamp": "BYTES"}
_CALENDAR_MAX = {"hour": 23, "weekday": 6}


@dataclass(frozen=True)
class Tensor:
    """One named V2 input; `data` is flat, or one list a row."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


@dataclass(frozen=True)
class Rows:
    """A request of `count` rows by column; None is null. `times` are the event times (UTC)."""

    count: int
    columns: Mapping[str, list[Any]]
    times: list[datetime]
    raw: bool


@dataclass(frozen=True)
class _Field:
    column: RequestColumn
    required: bool


class RequestSchema:
    """What requests for one model may hold."""

    def __init__(self, manifest: Manifest) -> None:
        self._timestamp = manifest.timestamp
        self._features = frozenset(manifest.store_features)
        common = {column.name: _Field(column, not column.nullable) for column in manifest.request}
        if manifest.timestamp:
            time = RequestColumn(name=manifest.timestamp, type="timestamp", nullable=True)
            common[time.name] = _Field(time, required=False)
        keys = {column.name: _Field(_nullable(column, False), required=True) for column in manifest.entities}
        self._keyed = {**keys, **common}
        optional = {name: _Field(_nullable(field.column, True), required=False) for name, field in keys.items()}
        self._raw = {**optional, **common, **_calendar_fields(manifest), **_feature_fields(manifest)}

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """Name and usual V2 datatype of the columns of a keyed request."""
        return [(name, _USUAL_DATATYPE[field.column.type]) for name, field in self._keyed.items()]

    def from_v1(self, body: Any, now: datetime) -> Rows:
        """Rows of a V1 body `{"instances": [{column: value, ...}, ...]}`; a missing event time is `now`."""
        instances = body.get("instances") if isinstance(body, dict) else None
        if not isinstance(instances, list):
            raise RequestError('the body is not as expected; allowed: {"instances": [{column: value, ...}, ...]}')
        _check_count(len(instances))
        for row, instance in enumerate(instances):
            if not isinstance(instance, dict):
                raise RequestError(f"row {row}: found {_show(instance)}, allowed: an object of column: value")
        fields = self._fields(set().union(*instances))
        for row, instance in enumerate(instances):
            _check_known(fields, instance, f"row {row}, ")
        columns = {name: [instance.get(name, _ABSENT) for instance in instances] for name in fields}
        return self._rows(fields, columns, len(instances), now)

    def from_v2(self, tensors: Sequence[Tensor], now: datetime) -> Rows:
        """Rows of V2 tensors, one a column, each of shape [n] or [n, 1]; a missing event time is `now`."""
        if not tensors:
            raise RequestError("the request has no inputs; allowed: one tensor a column")
        count = _tensor_rows(tensors[0])
        _check_count(count)
        names = [str(tensor.name) for tensor in tensors]
        fields = self._fields(set(names))
        _check_known(fields, names, "")
        columns = {name: [_ABSENT] * count for name in fields}
        for tensor in tensors:
            if columns[tensor.name][0] is not _ABSENT:
                raise RequestError(f"column {tensor.name}: found it more than once, allowed: once")
            columns[tensor.name] = _tensor_values(tensor, fields[tensor.name].column, count)
        return self._rows(fields, columns, count, now)

    def _fields(self, given: set[str]) -> Mapping[str, _Field]:
        return self._raw if not self._features or given & self._features else self._keyed

    def _rows(self, fields: Mapping[str, _Field], columns: Mapping[str, list[Any]], count: int, now: datetime) -> Rows:
        checked = {name: _check_column(fields[name], values) for name, values in columns.items()}
        times = checked.pop(self._timestamp) if self._timestamp else [None] * count
        return Rows(count, checked, [now if time is None else time for time in times], fields is self._raw)


def check_id(request_id: str) -> str:
    """The id of a request, which its answer and the prediction log repeat. Raises RequestError for one they can't."""
    allowed_id = f"a text of at most {MAX_ID} characters"
    if len(request_id) > MAX_ID:
        raise RequestError(f"the request id has {len(request_id)} characters; allowed: {allowed_id}")
    if not is_utf8(request_id):
        raise RequestError(f"the request id: found {_show(request_id)}, which is not UTF-8, allowed: {allowed_id}")
    return request_id


def _nullable(column: RequestColumn, nullable: bool) -> RequestColumn:
    return column.model_copy(update={"nullable": nullable})


def _calendar_fields(manifest: Manifest) -> dict[str, _Field]:
    return {
        name: _Field(RequestColumn(name=name, type="number", min=0, max=_CALENDAR_MAX[name], nullable=True), False)
        for name in manifest.calendar
    }


def _feature_fields(manifest: Manifest) -> dict[str, _Field]:
    kinds = {column.name: "text" if column.kind == "category" else "number" for column in manifest.inputs.columns}
    return {
        name: _Field(RequestColumn.model_validate({"name": name, "type": kinds[name], "nullable": True}), True)
        for name in manifest.store_features
    }


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_ROWS:
        raise RequestError(f"the request has {count} rows; allowed: 1 to {MAX_ROWS}")


def _check_known(fields: Mapping[str, _Field], names: Iterable[str], where: str) -> None:
    for name in names:
        if name not in fields:
            raise RequestError(f"{where}column {_show(name)} is unknown; allowed: {', '.join(fields)}")


def _check_column(field: _Field, values: list[Any]) -> list[Any]:
    checked = []
    for row, value in enumerate(values):
        if value is _ABSENT and field.required:
            _refuse(field.column, row, "nothing")
        try:
            checked.append(None if value is _ABSENT else read(field.column, value))
        except ValueError as error:
            _refuse(field.column, row, ", ".join(filter(None, (_show(value), str(error)))))
    return checked


def _refuse(column: RequestColumn, row: int, found: str) -> NoReturn:
    raise RequestError(f"row {row}, column {column.name}: found {found}, allowed: {allowed(column)}")


def _tensor_rows(tensor: Tensor) -> int:
    shape = tensor.shape
    whole = isinstance(shape, list) and all(isinstance(size, int) and size >= 0 for size in shape)
    if not whole or len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise RequestError(f"column {_show(tensor.name)}: found shape {_show(shape)}, allowed: [n] or [n, 1]")
    return shape[0]


def _tensor_values(tensor: Tensor, column: RequestColumn, count: int) -> list[Any]:
    if tensor.datatype not in _DATATYPES[column.type]:
        choices = ", ".join(sorted(_DATATYPES[column.type]))
        raise RequestError(f"column {column.name}: found datatype {_show(tensor.datatype)}, allowed: {choices}")
    rows = _tensor_rows(tensor)
    if rows != count:
        raise RequestError(f"column {column.name}: found {rows} rows, allowed: {count}, as in the first column")
    if not isinstance(tensor.data, list) or len(tensor.data) != count:
        found = len(tensor.data) if isinstance(tensor.data, list) else _show(tensor.data)
        raise RequestError(f"column {column.name}: found {found} values, allowed: {count}, as its shape says")
    values = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in tensor.data]
    return [_decoded(value, column, row) for row, value in enumerate(values)]


def _decoded(value: Any, column: RequestColumn, row: int) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        _refuse(column, row, f"{_show(value)}, which is not UTF-8")


def _show(value: Any) -> str:
    return reprlib.repr(value)
