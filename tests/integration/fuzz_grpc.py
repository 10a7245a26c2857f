"""gRPC calls of a fuzz test: inference requests with a few things about them changed at random, and other methods."""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from hypothesis import strategies as st

from tests.integration.fuzz_requests import COMPLETE, NAME, NUMBERS, TEXTS, mostly
from tests.predictor_process import row

_SERVICE = "/inference.GRPCInferenceService/"
_CONTENTS = ("fp64_contents", "int64_contents", "bytes_contents")
_REFUSED = {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}
# Codes by kind of call. What is no message at all, gRPC itself refuses.
ALLOWED = {
    "infer": _REFUSED,
    "bytes": _REFUSED | {"INTERNAL"},
    "other": _REFUSED,
    "unknown": {"UNIMPLEMENTED"},
}


@dataclass(frozen=True)
class Call:
    """A method, the bytes of its message, and metadata."""

    kind: str
    method: str
    message: bytes
    metadata: tuple[tuple[str, str | bytes], ...] = ()


class Client:
    """Sends calls as they are."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def call(self, call: Call) -> tuple[str, str]:
        """The code's name and the details of one call."""
        ask: Any = self._channel.unary_unary(_SERVICE + call.method)
        try:
            ask(call.message, timeout=30, metadata=call.metadata)
        except grpc.RpcError as error:
            refused: Any = error
            return refused.code().name, refused.details() or ""
        return "OK", ""


@contextlib.contextmanager
def client(address: str) -> Iterator[Client]:
    """A client of HOST:PORT."""
    with grpc.insecure_channel(address) as channel:
        yield Client(channel)


def good() -> Call:
    """A request that is answered."""
    message = _message(NAME)
    for name, value in row().items():
        _add(message, name, value)
    return Call("infer", "ModelInfer", message.SerializeToString())


def calls() -> st.SearchStrategy[Call]:
    """Calls of all kinds, mostly of ModelInfer."""
    infer = _infer()
    return mostly(infer, st.builds(_garbled, infer, st.integers(0, 10**6), st.binary(max_size=4)), _other())


@st.composite
def _infer(draw: Any) -> Call:
    message = _message(draw(st.sampled_from([NAME] * 9 + ["other", "", "𝔘"])))
    message.model_version = draw(st.sampled_from([""] * 6 + ["12", "13", "x" * 300]))
    message.id = draw(st.sampled_from([*["", "abc"] * 5, "é\x00", "x" * 300]))
    raw = draw(st.booleans())
    values = draw(st.sampled_from([row(), COMPLETE]))
    missing = draw(mostly(st.none(), st.sampled_from(list(values))))
    for name, value in values.items():
        if name != missing:
            _add(message, name, value, raw=raw)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        _change(draw, message)
    metadata = draw(st.lists(st.sampled_from(_METADATA), max_size=2, unique_by=lambda each: each[0]))
    return Call("infer", "ModelInfer", message.SerializeToString(), tuple(metadata))


_METADATA: list[tuple[str, str | bytes]] = [
    ("x-request-id", "abc"), ("x-request-id", ""), ("x-request-id", "x" * 400), ("x-request-id", "a b"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("traceparent", "zz"),
    ("x-request-id-bin", b"\xff\x00"), ("content-language", "x"),
]  # fmt: skip


def _change(draw: Any, message: Any) -> None:
    """One thing about the message, at random."""
    what = draw(
        st.sampled_from(["shape", "datatype", "contents", "raw", "name", "parameter", "output", "both", "request"])
    )
    item = message.inputs[draw(st.integers(0, 11)) % len(message.inputs)] if message.inputs else message.inputs.add()
    if what == "shape":
        del item.shape[:]
        item.shape.extend(draw(st.lists(st.sampled_from([0, 1, 2, -1, 4097, 2**31, 2**62]), max_size=3)))
    elif what == "datatype":
        kinds = ["BOOL", "UINT8", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES", "", "x"]
        item.datatype = draw(st.sampled_from(kinds))
    elif what == "name":
        item.name = draw(st.text(max_size=5))
    elif what == "contents":
        _refill(draw, item)
    elif what == "raw":
        _change_raw(draw, message)
    elif what == "both":
        item.contents.fp64_contents.append(1.0)
        message.raw_input_contents.append(draw(st.binary(max_size=9)))
    elif what == "output":
        output = message.outputs.add(name=draw(st.sampled_from(["score", "decision", "x", ""])))
        output.parameters["binary_data"].bool_param = draw(st.booleans())
    else:
        holder = message.parameters if what == "request" else item.parameters
        name = draw(st.sampled_from(["partial", "explain_unknown", "binary_data_size", "content_type", "x"]))
        _set_parameter(draw, holder[name])


def _set_parameter(draw: Any, parameter: Any) -> None:
    kind = draw(st.sampled_from(["bool_param", "int64_param", "string_param", "none"]))
    if kind == "bool_param":
        parameter.bool_param = draw(st.booleans())
    elif kind == "int64_param":
        parameter.int64_param = draw(st.integers(-(2**63), 2**63 - 1))
    elif kind == "string_param":
        parameter.string_param = draw(st.sampled_from(["base64", "", "true", "x" * 500]))


def _refill(draw: Any, item: Any) -> None:
    field = draw(st.sampled_from([*_CONTENTS, "bool_contents", "int_contents", "uint64_contents", "fp32_contents"]))
    if draw(st.booleans()):
        item.contents.Clear()
    count = draw(st.integers(0, 3))
    values = {
        "bytes_contents": st.one_of(
            st.binary(max_size=4), st.builds(lambda text: text.encode(errors="replace"), TEXTS)
        ),
        "bool_contents": st.booleans(),
        "int_contents": st.integers(-(2**31), 2**31 - 1),
        "uint64_contents": st.integers(0, 2**64 - 1),
        "int64_contents": st.integers(-(2**63), 2**63 - 1),
        "fp32_contents": st.floats(width=32),
        "fp64_contents": st.builds(_as_float, NUMBERS),
    }[field]
    getattr(item.contents, field).extend(draw(values) for _ in range(count))


def _as_float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def _change_raw(draw: Any, message: Any) -> None:
    contents = message.raw_input_contents
    if not contents or not draw(st.integers(0, 3)):
        contents.append(draw(st.binary(max_size=9)))
        return
    place = draw(st.integers(0, 11)) % len(contents)
    what = draw(st.sampled_from(["drop", "cut", "more", "other"]))
    if what == "drop":
        del contents[place]
    elif what == "cut":
        contents[place] = contents[place][: -draw(st.integers(1, 8))]
    elif what == "more":
        contents[place] = contents[place] + draw(st.binary(min_size=1, max_size=8))
    else:
        lengths = st.sampled_from([0, 1, 5, 2**31, 2**32 - 1])
        contents[place] = struct.pack("<I", draw(lengths)) + draw(st.binary(max_size=6))


def _other() -> st.SearchStrategy[Call]:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages

    names = st.sampled_from([NAME, "other", "", "x" * 1000])
    unknown = st.builds(
        lambda method, message: Call("unknown", method, message),
        st.sampled_from(["Nope", "modelInfer", "x" * 500]),
        st.binary(max_size=9),
    )
    of_model = st.builds(
        lambda method, name, version: Call(
            "other", method, getattr(messages, f"{method}Request")(name=name, version=version).SerializeToString()
        ),
        st.sampled_from(["ModelReady", "ModelMetadata"]),
        names,
        st.sampled_from(["", "12", "13"]),
    )
    of_repository = st.builds(
        lambda method, name: Call(
            "other", method, getattr(messages, f"{method}Request")(model_name=name).SerializeToString()
        ),
        st.sampled_from(["RepositoryModelLoad", "RepositoryModelUnload"]),
        names,
    )
    plain = st.builds(
        lambda method: Call("other", method, b""), st.sampled_from(["ServerLive", "ServerReady", "ServerMetadata"])
    )
    return st.one_of(unknown, of_model, of_repository, plain)


def _garbled(call: Call, place: int, more: bytes) -> Call:
    place %= len(call.message) + 1
    kept = call.message[place + 2 :]
    return Call("bytes", call.method, call.message[:place] + more + kept, call.metadata)


def _message(name: str) -> Any:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages

    return messages.ModelInferRequest(model_name=name)


def _add(message: Any, name: str, value: Any, *, raw: bool = False) -> None:
    kind, place = {int: ("INT64", 1), float: ("FP64", 0), str: ("BYTES", 2)}[type(value)]
    item = message.inputs.add(name=name, datatype=kind, shape=[1])
    sent = value.encode() if isinstance(value, str) else value
    if not raw:
        getattr(item.contents, _CONTENTS[place]).append(sent)
    elif isinstance(sent, bytes):
        message.raw_input_contents.append(struct.pack("<I", len(sent)) + sent)
    else:
        message.raw_input_contents.append(struct.pack("<q" if isinstance(sent, int) else "<d", sent))
