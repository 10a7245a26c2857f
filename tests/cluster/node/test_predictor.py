"""The predictor's image as a pod: what KServe makes of Serin's documents, run by scheduler, kubelet and containerd."""

import json
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from serin import deployments
from tests.cluster.api import Document
from tests.cluster.client import Client, Load
from tests.cluster.kserve_pod import PREDICTOR
from tests.cluster.world import World
from tests.factories import make_artifact
from tests.integration.serving_world import CASE, TEMPLATES, until

ONE = f"{CASE.model_name}-v1"
# What a process of the container may do, as the kernel says; it can write to /tmp.
CONFINED = """
import json, os, tempfile
tempfile.TemporaryFile()
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
said = {name: status[name] for name in ("CapEff", "Seccomp", "NoNewPrivs")}
said |= {"user": os.getuid(), "read-only": bool(os.statvfs("/").f_flag & os.ST_RDONLY)}
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def served(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Version 1 has all traffic, and one pod."""
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder)
    world.apply(1, world.store(folder, 1))
    world.await_ready(ONE)
    world.plane.api.apply(deployments.virtual_service(CASE, {ONE: 100}, TEMPLATES.virtual_service))
    with Client(world) as client:
        until(lambda: client.predict().status_code == 200, "an answer through the gateway", 30)
    yield world
    world.remove(ONE)


@pytest.fixture
def client(served: World) -> Iterator[Client]:
    with Client(served) as made:
        yield made


def pods(world: World) -> list[Document]:
    """Pods of version 1 that are not on their way out."""
    label = {"labelSelector": f"serving.kserve.io/inferenceservice={ONE}"}
    found = world.plane.api.request("GET", "/api/v1/namespaces/serin/pods", params=label).json()["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: Document) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def answered(pod: Document) -> float:
    """Predictions that a pod has answered, by its own count."""
    lines = httpx.get(f"http://{pod['status']['podIP']}:8080/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith("model_predictions_total{") and 'status="ok"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in counted)


def test_the_storage_initializer_has_fetched_the_model(served: World) -> None:
    (pod,) = pods(served)
    (status,) = pod["status"]["initContainerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 0


def test_the_predictor_is_confined(served: World) -> None:
    (pod,) = pods(served)
    command = ["kubectl", "--kubeconfig", str(served.plane.admin), "exec", pod["metadata"]["name"]]
    command += ["--container", PREDICTOR, "--", "python", "-c", CONFINED]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    expected = {"user": 10001, "read-only": True, "CapEff": "0000000000000000", "Seccomp": "2", "NoNewPrivs": "1"}
    assert json.loads(done.stdout or "{}") == expected, done.stderr


def test_the_pod_answers_over_http(client: Client) -> None:
    assert client.version() == "1"


def test_the_pod_answers_over_grpc(client: Client) -> None:
    with client.grpc() as version:
        assert version() == "1"


def test_no_request_is_lost_while_a_pod_ends(served: World) -> None:
    api = served.plane.api
    scale = f"/apis/apps/v1/namespaces/serin/deployments/{ONE}-predictor/scale"
    headers = {"Content-Type": "application/merge-patch+json"}
    api.request("PATCH", scale, json={"spec": {"replicas": 2}}, headers=headers)
    until(lambda: len(found := pods(served)) == 2 and all(map(is_ready, found)), "two pods", 120)
    old = pods(served)[0]
    before = answered(old)
    with Load(served) as load:
        load.more(50)
        assert answered(old) > before
        api.delete("v1", "Pod", old["metadata"]["name"])
        until(lambda: old["metadata"]["uid"] not in served.node.pods, "the end of the pod", 60)
        load.more(50)
    assert load.failed == []
