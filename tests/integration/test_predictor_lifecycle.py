"""What a predictor's callers notice of its start and its end."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.factories import make_artifact
from tests.predictor_process import CHECKOUT, Predictor, command, environment, start, workspace
from tests.services import free_port

ROW = {"TX_AMOUNT": 80.5, "CHANNEL": "chip", "TX_DATETIME": "2018-06-01T12:00:00"}
BODY = json.dumps({"instances": [ROW]})
PATH = "/v1/models/card-fraud:predict"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact") / "model"
    make_artifact(folder)
    return folder


@pytest.fixture
def predictor(artifact: Path, tmp_path: Path) -> Iterator[Predictor]:
    running = start(workspace(tmp_path / "root"), artifact)
    yield running
    running.process.kill()
    running.process.wait()


@dataclass
class Load:
    """Callers in threads, each of which asks again as soon as it has its answer, until the server sends it away."""

    ask: Callable[["Load"], None]
    callers: int = 6
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._run) for _ in range(self.callers)]
        for thread in self._threads:
            thread.start()
        while sum(self.answers.values()) < 20 * self.callers and not self.failures:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        try:
            self.ask(self)
        except Exception as error:  # noqa: BLE001
            self.failures.append(f"{type(error).__name__}: {error}")


def asking_by_http(port: int) -> Callable[[Load], None]:
    def ask(load: Load) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while True:
            connection.request("POST", PATH, BODY)
            answer = connection.getresponse()
            answer.read()
            load.answers[str(answer.status)] += 1
            if answer.will_close:
                return

    return ask


def asking_by_grpc(predictor: Predictor) -> Callable[[Load], None]:
    """Each caller has a connection of its own, and asks while the predictor says that it is ready."""
    import grpc
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    request = message()

    def ask(load: Load) -> None:
        with grpc.insecure_channel(predictor.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = GRPCInferenceServiceStub(channel)
            while stub.ModelReady(pb.ModelReadyRequest(name="card-fraud"), timeout=20).ready:
                for _ in range(10):
                    stub.ModelInfer(request, timeout=20)
                    load.answers["OK"] += 1

    return ask


def message() -> Any:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

    inputs = [
        {"name": "TX_AMOUNT", "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": [80.5]}},
        {"name": "CHANNEL", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"chip"]}},
    ]
    return pb.ModelInferRequest(model_name="card-fraud", inputs=inputs)


def test_sigterm_under_load_fails_no_request(predictor: Predictor) -> None:
    port = int(predictor.http.rpartition(":")[2])
    with Load(asking_by_http(port)) as http, Load(asking_by_grpc(predictor)) as grpc:
        predictor.process.send_signal(signal.SIGTERM)
    assert predictor.process.wait(20) == 0, predictor.output.read_text()
    assert http.failures == grpc.failures == []
    assert (set(http.answers), set(grpc.answers)) == ({"200"}, {"OK"})
    assert "Traceback" not in predictor.output.read_text()


def test_second_signal_ends_at_once(predictor: Predictor) -> None:
    """The first waits for a body that never comes."""
    port = int(predictor.http.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(f"POST {PATH} HTTP/1.1\r\nhost: here\r\ncontent-length: 9\r\n\r\n".encode())
        assert httpx.get(f"{predictor.http}/v2/health/ready").status_code == 200
        predictor.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            predictor.process.wait(2)
        predictor.process.send_signal(signal.SIGTERM)
        assert predictor.process.wait(5) == 1
    assert "told to end at once" in predictor.output.read_text()
    assert "Traceback" not in predictor.output.read_text()


def test_signal_while_the_log_is_stored_leaves_it_to_the_next_predictor(artifact: Path, tmp_path: Path) -> None:
    root = workspace(tmp_path / "root")
    folder = root / ".serin" / "predictions" / "card_fraud"
    folder.parent.mkdir()
    folder.write_text("a file where the folder should be")
    predictor = start(root, artifact, options=["--log_close_seconds", "60"])
    try:
        assert predictor.v1(ROW).status_code == 200
        predictor.process.send_signal(signal.SIGTERM)
        while "Finished server process" not in predictor.output.read_text():
            assert predictor.process.poll() is None, predictor.output.read_text()
            time.sleep(0.02)
        with pytest.raises(subprocess.TimeoutExpired):
            predictor.process.wait(0.5)
        predictor.process.send_signal(signal.SIGINT)
        assert predictor.process.wait(5) == 0
    finally:
        predictor.process.kill()
        predictor.process.wait()
    told = predictor.output.read_text()
    assert "1 files (" in told
    assert "the next predictor that uses this spool stores them" in told
    assert "Traceback" not in told


def test_predictor_whose_parent_closed_the_standard_streams_serves(artifact: Path, tmp_path: Path) -> None:
    """Without them a file of its own would have the number of stderr."""
    root, http, grpc = workspace(tmp_path / "root"), free_port(), free_port()
    closing = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command(artifact, http, grpc)]
    process = subprocess.Popen(closing, cwd=CHECKOUT, env=environment(root))
    try:
        while process.poll() is None:
            try:
                answer = httpx.post(f"http://127.0.0.1:{http}{PATH}", content=BODY)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        assert answer.status_code == 200
        assert {Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in range(3)} == {Path(os.devnull)}
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_predictor_that_stops_is_alive_but_not_ready(predictor: Predictor) -> None:
    with httpx.Client(base_url=predictor.http) as client, httpx.Client(base_url=predictor.http) as other:
        assert other.get("/v2/health/ready").status_code == 200
        predictor.process.send_signal(signal.SIGTERM)
        while (answer := client.get("/v2/health/ready")).status_code == 200:
            pass
        assert (answer.status_code, answer.headers["connection"]) == (503, "close")
        assert client.get("/v1/models/card-fraud").status_code == 503
        assert client.get("/v2/models/card-fraud/ready").status_code == 503
        assert client.get("/v2/health/live").status_code == 200
        # Whoever still asks is still answered.
        answer = client.post(PATH, content=BODY)
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert predictor.process.wait(20) == 0
