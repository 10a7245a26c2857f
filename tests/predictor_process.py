"""A predictor as a process, with a feature store of its own, and requests to it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from serin.environment import changed
from serin.online.opening import open_store
from tests.factories import TABLES
from tests.services import free_port

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Predictor:
    """A running predictor and where its things lie."""

    process: subprocess.Popen[bytes]
    http: str
    grpc: str
    root: Path
    output: Path

    def v1(self, *rows: dict[str, Any]) -> httpx.Response:
        return httpx.post(f"{self.http}/v1/models/card-fraud:predict", json={"instances": rows}, timeout=30)

    def metric(self, name: str, **labels: str) -> float:
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        for line in httpx.get(f"{self.http}/metrics").text.splitlines():
            if line.startswith(name + "{") and all(label in line for label in wanted):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no series {name} {labels}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()


def command(model: Path, http: int, grpc: int) -> list[str]:
    ports = ["--host", "127.0.0.1", "--http_port", str(http), "--grpc_port", str(grpc)]
    name = ["--model_name", "card-fraud", "--model_version", "12", "--deployment", "card-fraud-v12"]
    return [sys.executable, "-m", "predictors", *name, "--model_dir", str(model), *ports, "--log_seconds", "0.5"]


def environment(root: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SERIN_")}
    return {**kept, "SERIN_ROOT": str(root)}


def set_up_store(root: Path, variables: Mapping[str, str] | None = None) -> None:
    """Fill the tables of `factories.TABLES`: customers 1 and 2 and terminals 7 and 8 are known, as of 2018-05-31, and
    their values differ enough to move the score."""
    with changed(variables or {}):
        store = open_store(root / "feature_repo" / "feature_store.yaml")
    rows = (([1, 2], [2.0, 9.0]), ([7, 8], [0.0, 0.9]))
    for table, (keys, values) in zip(TABLES.tables, rows, strict=True):
        (feature,) = table.features
        times = pa.array([datetime(2018, 5, 31, tzinfo=UTC)] * 2, pa.timestamp("us", tz="UTC"))
        store.write_rows(table, pa.table({table.key: keys, feature: values, "event_timestamp": times}))
    store.close()


def workspace(root: Path) -> Path:
    (root / "feature_repo").mkdir(parents=True)
    shutil.copy(CHECKOUT / "feature_repo" / "feature_store.yaml", root / "feature_repo")
    (root / ".serin").mkdir()
    return root


def start(
    root: Path, model: Path, variables: Mapping[str, str] | None = None, options: Sequence[str] = ()
) -> Predictor:
    """A predictor that is ready, with further environment variables and options (which win over those of `command`);
    what it says is added to `predictor.txt`."""
    http, grpc = free_port(), free_port()
    output = root / "predictor.txt"
    with output.open("ab") as file:
        process = subprocess.Popen(
            [*command(model, http, grpc), *options],
            cwd=CHECKOUT,
            env={**environment(root), **(variables or {})},
            stdout=file,
            stderr=file,
        )
    predictor = Predictor(process, f"http://127.0.0.1:{http}", f"127.0.0.1:{grpc}", root, output)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{predictor.http}/v2/health/ready").is_success:
                return predictor
        except httpx.TransportError:
            time.sleep(0.1)
    process.kill()
    raise AssertionError(f"the predictor did not get ready:\n{output.read_text()}")


def run_to_end(root: Path, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        arguments, cwd=CHECKOUT, env=environment(root), capture_output=True, text=True, timeout=120, check=False
    )


def row(**changes: Any) -> dict[str, Any]:
    usual = {"CUSTOMER_ID": 1, "TERMINAL_ID": 8, "TX_AMOUNT": 80.5, "CHANNEL": "chip"}
    return {**usual, "TX_DATETIME": "2018-06-01T12:00:00", **changes}


def tensors(**changes: Any) -> list[dict[str, Any]]:
    types = {"CUSTOMER_ID": "INT64", "TERMINAL_ID": "INT64", "TX_AMOUNT": "FP64"}
    return [
        {"name": name, "datatype": types.get(name, "BYTES"), "shape": [1], "data": [value]}
        for name, value in row(**changes).items()
    ]


async def infer(
    address: str,
    inputs: list[dict[str, Any]],
    model: str = "card-fraud",
    raw: bool = False,
    parameters: dict[str, Any] | None = None,
) -> Any:
    import grpc
    import numpy as np
    from kserve import InferInput, InferRequest
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    built = [InferInput(**item) for item in inputs]
    if raw:
        for item in built:
            item.set_data_from_numpy(item.as_numpy(), binary_data=True)
            assert not isinstance(item.data, np.ndarray)
    async with grpc.aio.insecure_channel(address) as channel:
        message = InferRequest(model, built, request_id="g-1", parameters=parameters).to_grpc()
        return await GRPCInferenceServiceStub(channel).ModelInfer(message)


def grpc_refusal(address: str, inputs: list[dict[str, Any]], model: str = "card-fraud") -> tuple[str, str]:
    import grpc

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        asyncio.run(infer(address, inputs, model))
    return caught.value.code().name, str(caught.value.details())
