"""V2 tensors of protobuf messages, as plain values or arrays and back: what KServe's own classes do at several times
the cost.
"""

from collections.abc import Sequence
from typing import Any

from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from numpy.typing import NDArray

from predictors.edge.answers import MISSING, Output
from predictors.edge.contents import packed, unpacked
from predictors.edge.errors import utf8
from predictors.requests.schema import Tensor
from serin.errors import RequestError

# V2 datatype: the field of InferTensorContents that holds it. Half precision has none.
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


def tensors(request: Any) -> list[Tensor]:
    """The inputs of a ModelInferRequest, whose contents are typed, or raw for all of them.

    Raises RequestError where the contents can't be read; whether they are allowed is not asked here. An input of an
    unknown datatype has no values.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError(
            f"the request has {len(request.inputs)} inputs and {len(raw)} raw contents; allowed: as many"
        )
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


def response(
    model: str, version: str, request_id: str, outputs: Sequence[Output], *, missing: int = 0, raw: bool
) -> Any:
    """A ModelInferResponse whose contents are typed or raw. `missing` is a parameter of it where that is not 0."""
    answer = pb.ModelInferResponse(model_name=model, model_version=version, id=request_id)
    if missing:
        answer.parameters[MISSING].int64_param = missing
    for output in outputs:
        item = answer.outputs.add(name=output.name, datatype=output.datatype, shape=[len(output.data)])
        if raw:
            answer.raw_output_contents.append(packed(output.datatype, output.data))
            continue
        is_text = output.datatype == "BYTES"
        values = [utf8(value).encode() for value in output.data] if is_text else output.data
        getattr(item.contents, _FIELDS[output.datatype]).extend(values)
    return answer


def _typed(item: Any) -> list[Any]:
    field = _FIELDS.get(item.datatype)
    return list(getattr(item.contents, field)) if field else []


def _of_raw(item: Any, raw: bytes) -> list[Any] | NDArray[Any]:
    if item.HasField("contents"):
        raise RequestError(f"column {item.name}: found contents beside raw contents; allowed: either")
    return unpacked(item.name, item.datatype, raw)
