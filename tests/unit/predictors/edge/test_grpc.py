"""The gRPC edge at the wire: a server with a data plane of its own, and messages to it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import numpy as np
import pytest
from kserve.model_repository import ModelRepository
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer
from prometheus_client import CollectorRegistry

from predictors.dataplane import SMALL, DataPlane
from predictors.edge.body import MAX_BODY, MAX_HELD
from predictors.edge.errors import MAX_HEADER, fit_header
from predictors.edge.grpc import GrpcServer, Inference
from predictors.edge.kserve import FixedRepository, OneModelDataPlane
from predictors.edge.model import PredictorModel
from predictors.faults import FaultLog
from predictors.log.columns import schema as log_schema
from predictors.log.writer import PredictionLog
from predictors.metrics import Metrics
from serin.errors import ConflictError
from tests.edge import IDENTITY, Thousandth

INFER = "/inference.GRPCInferenceService/ModelInfer"
READY = "/inference.GRPCInferenceService/ModelReady"


class Service:
    """A server on a port of its own, and what it told and counted."""

    def __init__(self, folder: Path) -> None:
        self.registry = CollectorRegistry()
        self.told: list[str] = []
        metrics = Metrics(IDENTITY.model, IDENTITY.version, IDENTITY.deployment, self.registry)
        log = PredictionLog(str(folder / "log"), folder / "spool", IDENTITY, log_schema({}), metrics.dropped)
        self._loop = asyncio.Runner()
        self.faults = FaultLog(IDENTITY, self.told.append)
        kind = Thousandth()
        self.plane = DataPlane(IDENTITY, kind, log, metrics, max_threads=1, max_concurrency=8)
        model = PredictorModel(IDENTITY, kind)
        models = ModelRepository()
        models.update(model)
        servicer = InferenceServicer(OneModelDataPlane(models, model, "12"), FixedRepository(models))
        self.inference = Inference(IDENTITY, kind, self.plane, self.faults)
        self._loop.run(self._start(servicer))

    async def _start(self, servicer: Any) -> None:
        await self.plane.start()
        self._server = GrpcServer(servicer, self.inference, self.faults, "127.0.0.1", 0)
        await self._server.start()
        self.port = self._server.port

    def call(self, data: bytes, method: str = INFER, **metadata: str) -> tuple[Any, bytes, str, dict[str, str]]:
        """Code, answer, details and trailing metadata."""
        headers = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        return self._loop.run(self._call(data, method, headers))

    async def _call(self, data: bytes, method: str, headers: Any) -> tuple[Any, bytes, str, dict[str, str]]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self._server.port}") as channel:
            call = channel.unary_unary(method)(data, metadata=headers, timeout=20)
            code = await call.code()
            answer = await call if code is grpc.StatusCode.OK else b""
            return code, answer, await call.details(), dict(await call.trailing_metadata())

    def infer(self, *inputs: Any, **parts: Any) -> Any:
        """The answer to a request that is granted."""
        code, answer, details, _ = self.call(request(*inputs, **parts))
        assert code is grpc.StatusCode.OK, details
        return pb.ModelInferResponse.FromString(answer)

    def refusal(self, *inputs: Any, **parts: Any) -> tuple[str, str]:
        """Code and details of the answer to one that is not."""
        code, _, details, _ = self.call(request(*inputs, **parts))
        return code.name, details

    def count(self, status: str) -> float:
        labels = {"model": "card-fraud", "model_version": "12", "deployment": "card-fraud-v12", "status": status}
        return self.registry.get_sample_value("model_predictions_total", labels) or 0.0

    def close(self) -> None:
        self._loop.run(self._server.stop(0))
        self._loop.run(self.plane.close())
        self._loop.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(tmp_path_factory.mktemp("grpc"))
    yield running
    running.close()


def typed(name: str, datatype: str, field: str, values: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(values)], "contents": {field: values}}


def row(amount: float = 500.0, channel: bytes = b"chip") -> list[dict[str, Any]]:
    return [
        typed("CUSTOMER", "INT64", "int64_contents", [1]),
        typed("AMOUNT", "FP64", "fp64_contents", [amount]),
        typed("CHANNEL", "BYTES", "bytes_contents", [channel]),
    ]


def request(*inputs: Any, **parts: Any) -> bytes:
    message = pb.ModelInferRequest(**{"model_name": "card-fraud", "inputs": inputs, **parts})
    return bytes(message.SerializeToString())


def raw_row(amounts: np.ndarray, datatype: str) -> dict[str, Any]:
    n = len(amounts)
    shapes = [("CUSTOMER", "INT32"), ("AMOUNT", datatype), ("CHANNEL", "BYTES")]
    return {
        "inputs": [{"name": name, "datatype": kind, "shape": [n, 1]} for name, kind in shapes],
        "raw_input_contents": [np.ones(n, "<i4").tobytes(), amounts.tobytes(), b"\x04\0\0\0chip" * n],
    }


@pytest.mark.parametrize(("amount", "told"), [(500.0, {}), (333.0, {"missing_features": 2})])
def test_features_that_the_store_lacks_are_a_parameter_of_the_answer(
    service: Service, amount: float, told: dict[str, int]
) -> None:
    answer = service.infer(*row(amount))
    assert {name: of.int64_param for name, of in answer.parameters.items()} == told


@pytest.mark.parametrize("text", ["", "row 0: AMOUNT: missing", "é" * 900])
def test_text_that_fits_a_header_stays_as_it_is(text: str) -> None:
    assert fit_header(text) == text


@pytest.mark.parametrize("text", ["x" * 6001, "\n" * 10_000, "\U0001f4b3" * 4000])
def test_text_that_no_header_holds_is_cut(text: str) -> None:
    short = fit_header(text)
    assert MAX_HEADER / 2 < len(quote(short)) <= MAX_HEADER
    assert (text.startswith(short[:-1]), short[-1]) == (True, "…")


def test_typed_contents_are_answered_with_typed_contents(service: Service) -> None:
    answer = service.infer(*row(), id="r-1")
    assert (answer.model_name, answer.model_version, answer.id) == ("card-fraud", "12", "r-1")
    score, decision, version = answer.outputs
    assert (score.name, score.datatype, list(score.shape)) == ("score", "FP64", [1])
    assert list(score.contents.fp64_contents) == [0.5]
    assert list(decision.contents.bool_contents) == [True]
    assert list(version.contents.bytes_contents) == [b"12"]
    assert not answer.raw_output_contents


@pytest.mark.parametrize(
    ("datatype", "kind"), [("FP64", "<f8"), ("FP32", "<f4"), ("FP16", "<f2"), ("INT16", "<i2"), ("UINT64", "<u8")]
)
def test_raw_contents_are_answered_with_raw_contents(service: Service, datatype: str, kind: str) -> None:
    answer = service.infer(**raw_row(np.array([250, 500], kind), datatype))
    scores, decisions, versions = answer.raw_output_contents
    assert np.frombuffer(scores, "<f8").tolist() == [0.25, 0.5]
    assert (decisions, versions) == (b"\0\1", b"\x02\0\0\x0012" * 2)
    assert not any(output.HasField("contents") for output in answer.outputs)


def test_only_the_outputs_that_a_request_asks_for_are_answered(service: Service) -> None:
    answer = service.infer(*row(), outputs=[{"name": "decision"}, {"name": "score"}])
    assert [output.name for output in answer.outputs] == ["decision", "score"]
    found = service.refusal(*row(), outputs=[{"name": "margin"}])
    assert found == ("INVALID_ARGUMENT", "output 'margin' is unknown; allowed: score, decision, model_version")


def test_parameters_are_those_of_rest(service: Service) -> None:
    asked = {"partial": pb.InferParameter(bool_param=True), "binary_data_output": pb.InferParameter(bool_param=True)}
    answer = service.infer(
        typed("CUSTOMER", "INT64", "int64_contents", [1, 1]),
        typed("AMOUNT", "FP64", "fp64_contents", [-1.0, 500.0]),
        typed("CHANNEL", "BYTES", "bytes_contents", [b"chip", b"chip"]),
        parameters=asked,
    )
    outputs = {output.name: output.contents for output in answer.outputs}
    assert list(outputs["row"].int64_contents) == [1]
    assert list(outputs["refusal"].bytes_contents) == [b"AMOUNT: below 0 (found -1.0)"]
    odd = service.refusal(*row(), parameters={"partial": pb.InferParameter(string_param="yes")})
    assert odd == ("INVALID_ARGUMENT", "parameter partial: found 'yes', allowed: true or false")
    assert service.refusal(*row(), parameters={"partial": pb.InferParameter()})[0] == "INVALID_ARGUMENT"


RAW = raw_row(np.array([500.0]), "FP64")


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"inputs": []}, "the request has no inputs; allowed: one tensor a column"),
        ({**RAW, "inputs": RAW["inputs"][:2]}, "the request has 2 inputs and 3 raw contents; allowed: as many"),
        (
            {**RAW, "raw_input_contents": [b"\0" * 3, *RAW["raw_input_contents"][1:]]},
            "column CUSTOMER: its raw contents have 3 bytes; allowed: 4 for each value of INT32",
        ),
        (
            {**RAW, "raw_input_contents": [*RAW["raw_input_contents"][:2], b"\xff\xff\xff\xffchip"]},
            "column CHANNEL: its raw contents end within value 0; allowed: each value after its length, in 4 bytes",
        ),
        (
            {**RAW, "inputs": [*row()[:1], *RAW["inputs"][1:]]},
            "column CUSTOMER: found contents beside raw contents; allowed: either",
        ),
        ({"inputs": [*row()[:2], typed("CHANNEL", "FP99", "fp64_contents", [1.0])]}, "found datatype 'FP99'"),
        ({"inputs": [*row()[:2], {**row()[2], "datatype": "FP64"}]}, "found datatype 'FP64', allowed: BYTES"),
        ({"inputs": [row()[0], {**row()[1], "datatype": "FP32"}, row()[2]]}, "found 0 values, allowed: 1"),
        ({"inputs": row(), "id": "x" * 257}, "the request id has 257 characters"),
    ],
)
def test_what_a_request_has_wrong_is_said(service: Service, parts: dict[str, Any], text: str) -> None:
    invalid, errors = service.count("invalid"), service.count("error")
    code, details = service.refusal(**parts)
    assert code == "INVALID_ARGUMENT"
    assert text in details
    assert (service.count("invalid"), service.count("error")) == (invalid + 1, errors)


@pytest.mark.parametrize("method", [INFER, READY])
@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x03\xff\xfe\xfd", b"\x0a\xff\xff\xff\xff\x0f"])
def test_bytes_that_are_no_message_are_the_callers_fault(service: Service, method: str, data: bytes) -> None:
    code, _, details, _ = service.call(data, method)
    kind = "ModelInferRequest" if method == INFER else "ModelReadyRequest"
    assert (code.name, details) == ("INVALID_ARGUMENT", f"the request is no inference.{kind} of the V2 protocol")
    assert service.told == []


def test_other_models_and_versions_are_not_found_and_not_counted(service: Service) -> None:
    before = service.count("invalid")
    assert service.refusal(*row(), model_name="other") == ("NOT_FOUND", "Model with name other does not exist.")
    assert service.refusal(*row(), model_version="13")[0] == "NOT_FOUND"
    assert service.infer(*row(), model_version="12").outputs
    assert service.count("invalid") == before
    code, _, details, _ = service.call(pb.ModelReadyRequest(name="other").SerializeToString(), READY)
    assert (code.name, details) == ("NOT_FOUND", "Model with name other does not exist.")


def test_model_can_not_be_unloaded_by_a_caller(service: Service) -> None:
    data = pb.RepositoryModelUnloadRequest(model_name="card-fraud").SerializeToString()
    code, _, details, _ = service.call(data, "/inference.GRPCInferenceService/RepositoryModelUnload")
    assert (code.name, "it can't be unloaded" in details) == ("INVALID_ARGUMENT", True)


def test_message_over_the_limit_is_refused(service: Service) -> None:
    assert service.call(b"\0" * (MAX_BODY + 1))[0].name == "RESOURCE_EXHAUSTED"


def test_id_of_the_request_is_that_of_its_message_then_its_header_then_a_new_one(service: Service) -> None:
    for given, metadata, expected in (("a", {"x_request_id": "b"}, "a"), ("", {"x_request_id": "b"}, "b")):
        code, data, _, trailing = service.call(request(*row(), id=given), **metadata)
        assert code is grpc.StatusCode.OK
        assert pb.ModelInferResponse.FromString(data).id == trailing["x-request-id"] == expected
    _, data, _, trailing = service.call(request(*row()))
    assert pb.ModelInferResponse.FromString(data).id == trailing["x-request-id"] != ""


def test_id_that_no_header_holds_is_encoded_there(service: Service) -> None:
    _, data, _, trailing = service.call(request(*row(), id="é\n"))
    assert (pb.ModelInferResponse.FromString(data).id, trailing["x-request-id"]) == ("é\n", "%C3%A9%0A")
    _, data, _, trailing = service.call(request(*row(), id=" a "))
    assert (pb.ModelInferResponse.FromString(data).id, trailing["x-request-id"]) == (" a ", "%20a%20")


def test_error_of_ours_is_internal_tells_nothing_and_is_logged(service: Service) -> None:
    service.told.clear()
    code, _, details, trailing = service.call(request(*row(666), id="r-6"))
    assert (code.name, "secret" in details, trailing["x-request-id"]) == ("INTERNAL", False, "r-6")
    (line,) = map(json.loads, service.told)
    assert (line["error"], line["request_id"], line["message"]) == ("ZeroDivisionError", "r-6", "a secret")
    service.told.clear()


def test_what_is_unavailable_says_so_and_when_to_ask_again(service: Service) -> None:
    assert service.refusal(*row(777)) == ("UNAVAILABLE", "the store is away")
    code, _, _, trailing = service.call(request(*row(888)))
    assert (code.name, trailing["retry-after"], trailing["grpc-retry-pushback-ms"]) == ("UNAVAILABLE", "3", "3000")
    service.told.clear()


def test_port_that_is_taken_is_named(service: Service) -> None:
    async def bind() -> None:
        GrpcServer(InferenceServicer(None, None), service.inference, service.faults, "127.0.0.1", service.port)

    with pytest.raises(ConflictError, match=f"gRPC port {service.port} on 127.0.0.1 can't be opened"):
        asyncio.run(bind())


def test_call_whose_message_never_comes_is_ended(service: Service) -> None:
    async def call() -> str:
        servicer, where = InferenceServicer(None, None), ("127.0.0.1", 0)
        limits = {"connection_seconds": 0.1, "request_seconds": 0.2}
        server = GrpcServer(servicer, service.inference, service.faults, *where, **limits)
        await server.start()

        async def never() -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            code = await channel.stream_unary(INFER)(never(), timeout=5).code()
        await server.stop(0)
        return str(code.name)

    assert asyncio.run(call()) == "UNAVAILABLE"


def test_an_output_that_is_asked_for_twice_comes_once(service: Service) -> None:
    answer = service.infer(*row(), outputs=[{"name": "score"}] * 60)
    assert [output.name for output in answer.outputs] == ["score"]


EMPTY = {"name": "AMOUNT"}


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"inputs": [EMPTY] * 2**19}, "the request has 524288 inputs; allowed: "),
        ({"inputs": row(), "outputs": [{"name": "score"}] * 2**19}, "the request has 524288 outputs; allowed: 64"),
        (
            {"inputs": [*row()[:2], {**row()[2], "contents": {"bytes_contents": [b""] * 2**20}}]},
            "column 'CHANNEL' has 1048576 bytes_contents; allowed: 4096 at most",
        ),
        ({"inputs": [{**EMPTY, "shape": [1] * 2**20}]}, "column 'AMOUNT' has 1048576 shape; allowed: 4096 at most"),
    ],
)
def test_millions_of_parts_are_refused_before_a_look_at_each(service: Service, parts: Any, text: str) -> None:
    data = request(**parts)
    started = time.thread_time()
    code, _, details, _ = service.call(data)
    assert (code.name, text in details) == ("INVALID_ARGUMENT", True), details
    assert time.thread_time() - started < 1


def test_a_large_message_is_refused_where_others_hold_too_much(service: Service) -> None:
    overloaded, held = service.count("overloaded"), service.plane.held
    large = request(*row(channel=b"c" * 2 * SMALL))
    held.take(MAX_HELD)
    try:
        code, _, details, trailing = service.call(large)
        assert (code.name, trailing["retry-after"]) == ("UNAVAILABLE", "1")
        assert details == f"the bodies of requests have {MAX_HELD} bytes; allowed: {MAX_HELD}"
        assert service.infer(*row()).outputs
    finally:
        held.give_back(MAX_HELD)
    assert service.call(large)[0].name == "INVALID_ARGUMENT"
    assert service.count("overloaded") == overloaded + 1
    # The caller knows before the bytes are given back.
    end = time.monotonic() + 10
    while held.bytes and time.monotonic() < end:
        time.sleep(0.001)
    assert held.bytes == 0
    service.told.clear()


def test_overload_is_told_before_a_message_is_parsed(service: Service) -> None:
    overloaded = service.count("overloaded")
    for _ in range(8):
        service.plane._admission.enter()
    try:
        code, _, details, trailing = service.call(b"\xff")
    finally:
        for _ in range(8):
            service.plane._admission.leave(0)
    assert (code.name, trailing["retry-after"]) == ("UNAVAILABLE", "1")
    assert details.endswith("8 requests are in flight; allowed: 8")
    assert service.count("overloaded") == overloaded + 1
    service.told.clear()
