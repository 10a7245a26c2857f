"""`serin serve` with real predictors behind a real Envoy."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from tests.factories import make_artifact
from tests.integration.serving_world import ROW, Load, World, predict, until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact") / "model"
    make_artifact(folder)
    return folder


def _grpc_ready(port: int, *metadata: tuple[str, str]) -> bool:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
    from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as services

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = messages.ModelReadyRequest(name="card-fraud")
        return bool(services.GRPCInferenceServiceStub(channel).ModelReady(request, timeout=20, metadata=metadata).ready)


def test_one_version_answers_http_and_grpc_on_one_port_until_ctrl_c(world: World, artifact: Path) -> None:
    world.deploy(1, artifact)
    world.share({"card-fraud-v1": 100})
    controller = world.start()
    world.await_ready(1)
    _, answer = until(lambda: (found := predict(world.port))[0] == 200 and found, "an answer")
    assert answer["predictions"][0]["model_version"] == "1"
    assert _grpc_ready(world.port)
    assert len(world.alive()) == 2
    controller.send_signal(signal.SIGINT)
    output, _ = controller.communicate(timeout=60)
    assert controller.returncode == 0, output
    assert f"gateway: listening on http://127.0.0.1:{world.port}" in output
    assert "card-fraud-v1: ready; its API is shown at http://127.0.0.1:" in output
    # Not before it is true.
    starting, *before, serving, ended = output.splitlines()
    assert starting == "Starting card-fraud; Ctrl-C ends it."
    assert any("card-fraud-v1: ready" in line for line in before)
    url = f"http://127.0.0.1:{world.port}/v1/models/card-fraud:predict"
    assert (serving, ended) == (f"Serving card-fraud at {url}, gRPC on the same port", "stopped")
    assert world.alive() == []


def test_a_request_reaches_the_deployment_that_it_names_and_never_the_metrics(world: World, artifact: Path) -> None:
    for version in (1, 2):
        world.deploy(version, artifact)
    world.share({"card-fraud-v1": 100, "card-fraud-v2": 0})
    world.start()
    for version in (1, 2):
        world.await_ready(version)
    until(lambda: predict(world.port)[0] == 200, "an answer")
    with httpx.Client(base_url=f"http://127.0.0.1:{world.port}") as client:

        def asked(**headers: str) -> tuple[int, str]:
            answer = client.post("/v1/models/card-fraud:predict", json={"instances": [ROW]}, headers=headers)
            found = answer.json()
            return answer.status_code, found["predictions"][0]["model_version"] if answer.is_success else found["error"]

        def pinned(version: int) -> tuple[int, str]:
            return asked(**{"serin-deployment": f"card-fraud-v{version}"})

        assert [asked(), pinned(1), pinned(2)] == [(200, "1"), (200, "1"), (200, "2")]
        code, error = pinned(3)
        assert (code, error.startswith("POST /v1/models/card-fraud:predict leads nowhere for card-fraud-v3")) == (
            404,
            True,
        )
        paths = ("/metrics", "/v1/../metrics", "/v1/%2e%2e/metrics", "//metrics", "/", "/docs")
        found = {
            path: client.get(httpx.URL(f"http://127.0.0.1:{world.port}", raw_path=path.encode())) for path in paths
        }
        assert {path: answer.status_code for path, answer in found.items()} == dict.fromkeys(paths, 404)
        assert all("model_predictions_total" not in answer.text for answer in found.values())
        allowed = "allowed are paths that begin with /v1/ or /v2/, once the model is served"
        assert found["/metrics"].json() == {"error": f"GET /metrics leads nowhere; {allowed}"}
        assert client.get("/", headers={"serin-deployment": b'\xff"'}).json()["error"].startswith("GET / leads nowhere")
        assert client.get("/v2/health/ready").status_code == 200
        # That model reads no events: the answer is the predictor's own.
        pushed = client.post("/v1/events", json={"events": []})
        assert pushed.status_code == 404
        assert "card-fraud takes no events" in pushed.json()["error"]
    assert _grpc_ready(world.port, ("serin-deployment", "card-fraud-v2"))
    with pytest.raises(grpc.RpcError) as refused:
        _grpc_ready(world.port, ("serin-deployment", "card-fraud-v3"))
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, "")


def test_a_second_controller_and_a_taken_port_are_conflicts(world: World, tmp_path: Path) -> None:
    first = world.start()
    until(lambda: world.target.status("gateway").ready, "gateway")
    second = world.start()
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    *_, told = output.splitlines()
    assert told == f"serving-card-fraud: process {first.pid} is at it already; let it end or stop it"
    other = World(tmp_path / "other")
    other.port = world.port
    third = other.start()
    output, _ = third.communicate(timeout=60)
    assert third.returncode == 1
    assert f"port {world.port} on 127.0.0.1 can't be had" in output
    assert "choose another with `--port`" in output
    other.close()


def test_a_predictor_that_crashes_is_started_again_whatever_the_documents(world: World, artifact: Path) -> None:
    world.deploy(1, artifact)
    world.share({"card-fraud-v1": 100})
    controller = world.start()
    world.await_ready(1)
    (world.target.folder / "documents" / "virtualservice.card-fraud.yaml").write_text("spec: [")
    (predictor,) = set(world.alive()) - {_gateway_pid(world)}
    os.kill(predictor, signal.SIGKILL)
    until(lambda: world.target.status("card-fraud-v1").restarts == 1, "a restart")
    world.await_ready(1)
    until(lambda: predict(world.port)[0] == 200, "an answer along the routes before")
    controller.send_signal(signal.SIGTERM)
    output, _ = controller.communicate(timeout=60)
    assert output.count("virtualservice.card-fraud.yaml is no valid YAML") == 1
    assert "card-fraud-v1: exited with -9" in output
    assert output.count("Serving card-fraud at ") == 2


def test_malformed_documents_and_status_files_are_reported_once_and_the_rest_goes_on(
    world: World, artifact: Path
) -> None:
    broken = world.target.folder / "status" / "card-fraud-v7.yaml"
    broken.parent.mkdir(parents=True)
    broken.write_text("pid: soon")
    world.deploy(1, artifact)
    world.share({"card-fraud-v1": 100})
    documents = world.target.folder / "documents"
    malformed = {
        "card-fraud-v8": "metadata: {name: card-fraud-v8}\nspec: {predictor: {}}\n",
        "card-fraud-v9": "- no\n- document\n",
    }
    for name, text in malformed.items():
        (documents / f"inferenceservice.{name}.yaml").write_text(text)
    controller = world.start()
    world.await_ready(1)
    world.deploy(2, artifact)
    world.await_ready(2)
    # One that runs already goes on with the document that it was started from.
    (documents / "inferenceservice.card-fraud-v1.yaml").write_text("spec: 5")
    (documents / "inferenceservice.card-fraud-v9.yaml").unlink()
    seen = [predict(world.port)[0] for _ in range(20)]
    until(lambda: not broken.exists(), "the end of the broken status file")
    controller.send_signal(signal.SIGTERM)
    output, _ = controller.communicate(timeout=60)
    assert controller.returncode == 0, output
    assert seen == [200] * 20
    assert output.count("InferenceService card-fraud-v8: ") == 1
    assert "inferenceservice.card-fraud-v8.yaml: spec.predictor.model: Field required" in output
    assert output.count("InferenceService card-fraud-v9: ") == 1
    assert "card-fraud-v7.yaml: ready: Field required" in output


def test_a_version_whose_artifact_is_lost_is_named_and_the_others_answer(world: World, artifact: Path) -> None:
    world.deploy(1, artifact)
    world.deploy(2, artifact.with_name("lost"))
    world.share({"card-fraud-v1": 100})
    controller = world.start()
    world.await_ready(1)
    until(lambda: world.target.status("card-fraud-v2").restarts >= 2, "tries to start version 2")
    until(lambda: predict(world.port)[0] == 200, "an answer of version 1")
    controller.send_signal(signal.SIGTERM)
    output, _ = controller.communicate(timeout=60)
    assert output.count(f"card-fraud-v2: storageUri {artifact.with_name('lost')}: there is no such folder\n") == 1
    assert "Serving card-fraud at " in output


def test_nothing_is_said_to_be_served_while_the_version_that_gets_requests_can_not_start(
    world: World, artifact: Path
) -> None:
    world.deploy(1, artifact.with_name("lost"))
    world.share({"card-fraud-v1": 100})
    controller = world.start()
    until(lambda: world.target.status("card-fraud-v1").restarts, "a try to start it")
    controller.send_signal(signal.SIGTERM)
    output, _ = controller.communicate(timeout=60)
    assert "there is no such folder" in output
    assert "Serving" not in output


def _gateway_pid(world: World) -> int:
    status = (world.target.folder / "status" / "gateway.yaml").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("pid:")))


def test_a_killed_controller_leaves_no_process_and_goes_on_from_the_documents(world: World, artifact: Path) -> None:
    world.deploy(1, artifact)
    world.share({"card-fraud-v1": 100})
    controller = world.start()
    world.await_ready(1)
    assert len(world.alive()) == 2
    controller.kill()
    controller.communicate(timeout=60)
    until(lambda: not world.alive(), "the end of all children")
    assert world.target.status("card-fraud-v1").message == "its process is gone"
    world.start()
    world.await_ready(1)
    until(lambda: predict(world.port)[0] == 200, "an answer")


def test_adding_shifting_and_removing_versions_loses_no_request(world: World, artifact: Path) -> None:
    world.deploy(1, artifact)
    world.share({"card-fraud-v1": 100})
    world.start()
    world.await_ready(1)
    until(lambda: predict(world.port)[0] == 200, "an answer")
    with Load(world.port) as load:
        world.deploy(2, artifact)
        world.await_ready(2)
        for weight in (10, 50, 90, 100):
            world.share({"card-fraud-v1": 100 - weight, "card-fraud-v2": weight})
            before = load.versions.get("2", 0)
            until(lambda before=before: load.versions.get("2", 0) >= before + 10, "answers of version 2")
        # While the routes name it, removing its document alone takes nothing away.
        world.target.delete("InferenceService", "card-fraud-v1")
        world.share({"card-fraud-v2": 100})
        until(lambda: not (world.target.folder / "status" / "card-fraud-v1.yaml").exists(), "the end of version 1")
        seen = sum(load.versions.values())
        until(lambda: sum(load.versions.values()) >= seen + 20, "answers after the removal")
    assert load.failed == []
    assert load.versions["1"] > 0
