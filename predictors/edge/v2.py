"""V2 over REST: requests in JSON, or in JSON and raw tensor contents (the binary extension), and their answers."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import orjson
from numpy.typing import NDArray

from predictors.edge import body as bodies
from predictors.edge.answers import MISSING, Output, names, outputs
from predictors.edge.contents import packed, unpacked
from predictors.identity import Identity
from predictors.requests.fast import FastDecoder
from predictors.requests.rows import Options, Rows
from predictors.requests.schema import RequestSchema, Tensor, options_of
from predictors.scoring.kind import Answered, Kind
from serin.columns import shown
from serin.errors import RequestError

BINARY_HEADER = b"inference-header-content-length"
_BINARY_OUTPUT, _BINARY, _SIZE = "binary_data_output", "binary_data", "binary_data_size"
_Parameters = dict[str, str | int | float | bool]


class _Input(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: _Parameters | None = None


class _Requested(msgspec.Struct, gc=False):
    name: str
    parameters: dict[str, Any] | None = None


class _Infer(msgspec.Struct, gc=False):
    inputs: list[_Input]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Requested] | None = None


class Infer(NamedTuple):
    """A request: its own id, where it has one, what makes its rows, and which outputs it asks for in raw contents, by
    name; None for all, in JSON."""

    id: str | None
    rows: Callable[[], Rows]
    wanted: Mapping[str, bool] | None


class V2:
    """V2 of one model version."""

    def __init__(self, identity: Identity, kind: Kind, fast: FastDecoder) -> None:
        self._identity, self._fast = identity, fast
        self._schema: RequestSchema = kind.schema
        self._outputs = kind.outputs

    def request(self, body: bytes, length: bytes | None) -> Infer:
        """What a body asks for; `length` is the BINARY_HEADER, None where there is none. Raises RequestError."""
        if length is None:
            fast = self._fast.v2(body)
            if fast is not None:
                request_id, rows = fast
                return Infer(request_id, lambda: rows, None)
            return self.slow(body, None)
        size = _size(length, len(body))
        return self.slow(body[:size], memoryview(body)[size:])

    def answer(self, infer: Infer, request_id: str, answered: Answered) -> tuple[bytes, int | None]:
        """The body of an answer, and the length of its JSON where raw contents follow."""
        found = outputs(answered, self._outputs, self._identity.version)
        if infer.wanted is None:
            return orjson.dumps(self._answer(request_id, [_in_json(output) for output in found], answered)), None
        by_name = {output.name: output for output in found}
        told, raw = [], []
        for name, binary in infer.wanted.items():
            output = by_name[name]
            if not binary:
                told.append(_in_json(output))
                continue
            raw.append(packed(output.datatype, output.data))
            told.append({**_head(output), "parameters": {_SIZE: len(raw[-1])}})
        text = orjson.dumps(self._answer(request_id, told, answered))
        return b"".join([text, *raw]), len(text) if raw else None

    def _answer(self, request_id: str, told: list[dict[str, Any]], answered: Answered) -> dict[str, Any]:
        identity = self._identity
        found: dict[str, Any] = {
            "id": request_id,
            "model_name": identity.model,
            "model_version": identity.version,
            "outputs": told,
        }
        if missing := sum(answered.missing):
            found["parameters"] = {MISSING: missing}
        return found

    def slow(self, text: bytes, raw: memoryview | None) -> Infer:
        """What the JSON of a body asks for, with the raw contents that follow it; every word of it is understood, or
        refused with RequestError."""
        try:
            request = msgspec.convert(bodies.parsed(text), _Infer)
        except (msgspec.ValidationError, RecursionError) as error:
            raise RequestError(f"the body is no inference request: {error}") from None
        parameters = dict(request.parameters or {})
        all_binary = _flag(parameters.pop(_BINARY_OUTPUT, False), f"parameter {_BINARY_OUTPUT}")
        tensors = _tensors(request.inputs, raw)
        wanted = self._wanted(request.outputs, all_binary, options_of(parameters))

        def rows() -> Rows:
            found = None if parameters else self._fast.tensors(tensors)
            if found is not None:
                return found
            return self._schema.from_v2(tensors, datetime.now(UTC), parameters)

        return Infer(request.id, rows, wanted)

    def _wanted(
        self, requested: Sequence[_Requested] | None, all_binary: bool, options: Options
    ) -> Mapping[str, bool] | None:
        """A requested output's own word on how it is sent goes before the request's."""
        allowed = names(self._outputs, options)
        if not requested:
            return dict.fromkeys(allowed, True) if all_binary else None
        wanted = {}
        for output in requested:
            if output.name not in allowed:
                raise RequestError(f"output {shown(output.name)} is unknown; allowed: {', '.join(allowed)}")
            given = (output.parameters or {}).get(_BINARY)
            wanted[output.name] = all_binary if given is None else _flag(given, f"output {output.name}: {_BINARY}")
        return wanted


def _size(length: bytes, body: int) -> int:
    text = length.decode("latin-1").strip()
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(body)) or int(text) > body:
        name = BINARY_HEADER.decode()
        raise RequestError(f"{name}: found {shown(text)}, allowed: the length of the JSON at most, of {body} bytes")
    return int(text)


def _tensors(inputs: Sequence[_Input], raw: memoryview | None) -> list[Tensor]:
    tensors, place = [], 0
    for item in inputs:
        datatype, parameters = item.datatype.upper(), dict(item.parameters or {})
        data: list[Any] | NDArray[Any] | None = item.data
        size = parameters.pop(_SIZE, None) if raw is not None else None
        if raw is not None and size is not None:
            if data is not None:
                raise RequestError(f"column {shown(item.name)}: found data beside {_SIZE}, allowed: either")
            if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(raw) - place:
                told = f"what is left of the body after its JSON and other tensors, {len(raw) - place} bytes, at most"
                raise RequestError(f"column {shown(item.name)}: found {_SIZE} {shown(size)}, allowed: {told}")
            data = unpacked(item.name, datatype, raw[place : place + size])
            place += size
        elif data is None:
            raise RequestError(f"column {shown(item.name)}: found no data, allowed: a list of values")
        elif datatype == "FP16":
            raise RequestError(f"column {shown(item.name)}: found FP16 in JSON, allowed: as raw contents only")
        tensors.append(Tensor(item.name, datatype, item.shape, data, parameters))
    if raw is not None and place < len(raw):
        raise RequestError(f"{len(raw) - place} bytes follow the last tensor; allowed: none")
    return tensors


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise RequestError(f"{what}: found {shown(value)}, allowed: true or false")
    return value


def _head(output: Output) -> dict[str, Any]:
    return {"name": output.name, "datatype": output.datatype, "shape": [len(output.data)]}


def _in_json(output: Output) -> dict[str, Any]:
    return {**_head(output), "data": output.data}
