"""KServe's own clients, unchanged, and what the process that answers them takes."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

from tests.factories import make_artifact
from tests.predictor_process import Predictor, start, workspace

NAME = "card-fraud"
ROW = {"TX_AMOUNT": 80.5, "CHANNEL": "chip", "TX_DATETIME": "2018-06-01T12:00:00"}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    root = workspace(tmp_path_factory.mktemp("clients") / "root")
    make_artifact(root / "model")
    running = start(root, root / "model")
    yield running
    assert running.stop() == 0, running.output.read_text()


@asynccontextmanager
async def rest(protocol: str) -> AsyncIterator[InferenceRESTClient]:
    client = InferenceRESTClient(RESTConfig(protocol=protocol, retries=0))
    try:
        yield client
    finally:
        await client.close()


def request(binary: bool, *, to_rest: bool = False) -> InferRequest:
    """A row in V2; with `binary` its contents are raw, and over REST those of the answer, too."""
    import numpy as np

    values = (("TX_AMOUNT", "FP64", np.array([80.5])), ("CHANNEL", "BYTES", np.array([b"chip"], object)))
    inputs = []
    for name, datatype, array in (*values, ("TX_DATETIME", "BYTES", np.array([b"2018-06-01T12:00:00"], object))):
        item = InferInput(name, [1], datatype)
        item.set_data_from_numpy(array, binary_data=binary)
        inputs.append(item)
    parameters = {"binary_data_output": True} if binary and to_rest else None
    return InferRequest(NAME, inputs, request_id="r-1", parameters=parameters)


def values(answer: Any) -> tuple[float, bool, Any]:
    score, decision, version = (
        answer.get_output_by_name(name).as_numpy().tolist()[0] for name in ("score", "decision", "model_version")
    )
    return score, decision, version.decode() if isinstance(version, bytes) else version


def test_rest_and_grpc_clients_get_the_same_answer_in_json_and_in_raw_contents(predictor: Predictor) -> None:
    async def ask() -> list[tuple[float, bool, Any]]:
        found = []
        async with rest("v1") as client:
            answer = await client.infer(predictor.http, {"instances": [ROW]}, NAME)
            found.append(tuple(answer["predictions"][0].values()))
        async with rest("v2") as client:
            for binary in (False, True):
                answer = await client.infer(predictor.http, request(binary, to_rest=True), NAME)
                assert answer.id == "r-1"
                found.append(values(answer))
        async with InferenceGRPCClient(predictor.grpc, retries=0) as client:
            for binary in (False, True):
                answer = await client.infer(request(binary))
                assert (answer.id, answer.model_version) == ("r-1", "12")
                found.append(values(answer))
        return found

    found = asyncio.run(ask())
    assert len(found) == 5
    assert len(set(found)) == 1
    assert found[0][2] == "12"


def test_clients_learn_that_server_and_model_are_alive_and_ready(predictor: Predictor) -> None:
    async def ask() -> list[bool]:
        async with rest("v2") as client, InferenceGRPCClient(predictor.grpc) as grpc:
            return [
                await client.is_server_live(predictor.http),
                await client.is_server_ready(predictor.http),
                await client.is_model_ready(predictor.http, NAME),
                await grpc.is_server_live(),
                await grpc.is_server_ready(),
                await grpc.is_model_ready(NAME),
            ]

    assert asyncio.run(ask()) == [True] * 6


def test_metadata_over_grpc_names_inputs_and_outputs(predictor: Predictor) -> None:
    import grpc
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    with grpc.insecure_channel(predictor.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        model = stub.ModelMetadata(pb.ModelMetadataRequest(name=NAME), timeout=20)
        assert stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=20).name == "kserve"
    assert ("TX_AMOUNT", "FP64") in {(item.name, item.datatype) for item in model.inputs}
    assert [item.name for item in model.outputs] == ["score", "decision", "model_version"]


def test_the_process_takes_less_than_300_mib(predictor: Predictor) -> None:
    (resident,) = re.findall(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{predictor.process.pid}/status").read_text())
    assert int(resident) < 300 * 1024
