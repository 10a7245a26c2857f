"""V2 tensors of protobuf messages, as lists of plain values and back.

A value stays what was sent: a cast would hide a number that does not fit its datatype. KServe's own classes do the
same work at several times the cost.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from predictors.edge.answers import Output
from predictors.requests.schema import Tensor
from serin.errors import RequestError

# V2 datatype: the field of InferTensorContents that holds it (half precision has none), and its bytes in raw contents.
_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_RAW = {
    "BOOL": np.dtype("u1"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_LENGTH = struct.Struct("<I")


def tensors(request: Any) -> list[Tensor]:
    """The inputs of a ModelInferRequest, whose contents are typed, or raw for all of them.

    Raises RequestError where the contents can't be read; whether they are allowed is not asked here. An input of an
    unknown datatype has no values.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError(f"the request has {len(request.inputs)} inputs and {len(raw)} raw contents; allowed: as many")
    return [
        Tensor(
            item.name,
            item.datatype,
            list(item.shape),
            _of_raw(item, raw[place]) if raw else _typed(item),
            parameters(item.parameters) if item.parameters else {},
        )
        for place, item in enumerate(request.inputs)
    ]


def parameters(given: Any) -> dict[str, Any]:
    """Protobuf's parameters as plain values; None for one without any."""
    return {
        name: getattr(value, kind) if (kind := value.WhichOneof("parameter_choice")) else None
        for name, value in given.items()
    }


def response(model: str, version: str, request_id: str, outputs: Sequence[Output], *, raw: bool) -> Any:
    """A ModelInferResponse whose contents are typed or raw."""
    answer = pb.ModelInferResponse(model_name=model, model_version=version, id=request_id)
    for output in outputs:
        item = answer.outputs.add(name=output.name, datatype=output.datatype, shape=[len(output.data)])
        values = _encoded(output.data) if output.datatype == "BYTES" else output.data
        if raw:
            answer.raw_output_contents.append(_to_raw(output.datatype, values))
        else:
            getattr(item.contents, _FIELDS[output.datatype]).extend(values)
    return answer


def _typed(item: Any) -> list[Any]:
    field = _FIELDS.get(item.datatype)
    return list(getattr(item.contents, field)) if field else []


def _of_raw(item: Any, raw: bytes) -> list[Any]:
    if item.HasField("contents"):
        raise RequestError(f"column {item.name}: found contents beside raw contents; allowed: either")
    if item.datatype == "BYTES":
        return _texts(item.name, raw)
    kind = _RAW.get(item.datatype)
    if kind is None:
        return []
    if len(raw) % kind.itemsize:
        told = f"{kind.itemsize} for each value of {item.datatype}"
        raise RequestError(f"column {item.name}: its raw contents have {len(raw)} bytes; allowed: {told}")
    values: list[Any] = np.frombuffer(raw, kind).tolist()
    if item.datatype != "BOOL":
        return values
    if odd := next((value for value in values if value > 1), 0):
        raise RequestError(f"column {item.name}: found {odd} in its raw contents of BOOL; allowed: 0 and 1")
    return [value == 1 for value in values]


def _texts(name: str, raw: bytes) -> list[bytes]:
    found, place, end = [], 0, len(raw)
    while place < end:
        start = place + _LENGTH.size
        if start > end or start + (length := _LENGTH.unpack_from(raw, place)[0]) > end:
            told = "each value after its length, in 4 bytes (little endian)"
            raise RequestError(f"column {name}: its raw contents end within value {len(found)}; allowed: {told}")
        place = start + length
        found.append(raw[start:place])
    return found


def _encoded(values: Sequence[str]) -> list[bytes]:
    return [value.encode(errors="backslashreplace") for value in values]


def _to_raw(datatype: str, values: Sequence[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(part for value in values for part in (_LENGTH.pack(len(value)), value))
    return np.asarray(values, _RAW[datatype]).tobytes()


