"""The commands of the profile `cluster`, against stand-ins of the API server and of KServe's controller on the wire."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from serin.adapters.cluster.api import Api
from serin.adapters.cluster.lease import KubernetesLease
from tests import kubernetes_api, services
from tests.cluster_scenarios import MODEL, KServeStandIn, failing, ready, service, traffic
from tests.kubernetes_api import KubernetesApi

# In a process of its own: clients read their endpoints from the environment once.
_REGISTER = """
import pathlib, sys
from components.register.run import register
from serin.platform import build
from tests.cluster_scenarios import CASE
from tests.factories import make_artifact
folder = pathlib.Path(sys.argv[1])
make_artifact(folder)
assert register(build(), CASE, folder, "passed", {}, "").version == 1
"""


class World:
    """A workspace with a registered champion whose artifact is on S3, and an API server."""

    def __init__(self, root: Path, server: KubernetesApi, kubeconfig: Path, endpoints: dict[str, str]) -> None:
        self.server, self.api = server, Api(kubeconfig=kubeconfig)
        self.variables = {
            **{key: value for key, value in os.environ.items() if not key.startswith("SERIN_")},
            **endpoints,
            "SERIN_ROOT": str(root),
            "SERIN_PROFILE": "cluster",
            "SERIN_STORAGE": "s3://serin/data",
            "MLFLOW_TRACKING_URI": f"sqlite:///{root / 'mlflow.db'}",
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(services.CHECKOUT),
        }

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """`serin` in a process of its own."""
        return self._process("-m", "pipelines", *arguments, **variables)

    def python(self, *arguments: str) -> None:
        """A script that has to end well."""
        done = self._process("-c", *arguments)
        assert done.returncode == 0, done.stderr

    def _process(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.variables | variables,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    with services.s3("serin") as endpoints, kubernetes_api.running(root) as (server, kubeconfig):
        made = World(root, server, kubeconfig, endpoints)
        made.python(_REGISTER, str(root / "v1"))
        yield made


@pytest.fixture(autouse=True)
def nothing_served(world: World) -> None:
    world.server.objects.clear()


def test_serving_applies_the_champion_waits_and_says_how_to_ask_it(world: World) -> None:
    with KServeStandIn(world.api):
        done = world.run("serve", "card_fraud", SERIN_GATEWAY="http://gateway.example:8080")
    assert done.returncode == 0, done.stderr
    assert f"{MODEL}-v1: ready, with 100 % of the traffic" in done.stdout
    wanted = f"curl -s -H 'Host: {MODEL}.serin.internal' http://gateway.example:8080/v1/models/{MODEL}:predict"
    assert wanted in done.stdout
    documents = {path.split("/")[-2] for path in world.server.objects}
    beside = {"horizontalpodautoscalers", "poddisruptionbudgets"}
    assert documents == {"inferenceservices", "virtualservices", "leases", *beside}


def test_serving_says_once_which_rollout_it_waits_for(world: World) -> None:
    lease = KubernetesLease(world.api)
    with KServeStandIn(world.api), ExitStack() as held:
        held.enter_context(lease.hold(f"rollout-{MODEL}"))
        command = [sys.executable, "-m", "pipelines", "serve", "card_fraud"]
        with subprocess.Popen(command, env=world.variables, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            first = process.stdout.readline()
            held.close()
            rest = process.stdout.read()
    assert first.strip() == f"rollout-{MODEL}: {_this_process(first)} is at it; waiting until it has ended or let go"
    assert f"{MODEL}-v1: ready, with 100 % of the traffic" in rest
    assert "waiting" not in rest
    assert process.returncode == 0


def _this_process(line: str) -> str:
    holder = line.split()[1]
    assert f"-{os.getpid()}-" in holder
    return holder


def test_serving_what_can_not_start_says_why(world: World) -> None:
    with KServeStandIn(world.api, lambda _: failing("NoSupportingRuntime", "no runtime for serin")):
        done = world.run("serve", "card_fraud")
    assert done.returncode == 1
    assert done.stderr == f"serin: {MODEL}-v1 can't get ready: NoSupportingRuntime: no runtime for serin\n"


def test_a_port_is_refused_and_nothing_applied(world: World) -> None:
    done = world.run("serve", "card_fraud", "--port", "9000")
    assert done.returncode == 1
    assert "--port is for this machine; a cluster's gateway has its own (SERIN_GATEWAY)" in done.stderr
    assert world.server.objects == {}


def test_a_rollout_without_prometheus_is_refused_and_nothing_applied(world: World) -> None:
    done = world.run("rollout", "card_fraud", "--version", "1")
    assert done.returncode == 1
    assert "SERIN_PROMETHEUS is not set; a rollout needs the base URL of Prometheus" in done.stderr
    assert not [path for path in world.server.objects if "leases" not in path]


def test_status_tells_versions_and_traffic(world: World) -> None:
    from serin.adapters.cluster.serving import KubernetesServing

    target = KubernetesServing(world.api, MODEL)
    target.create(service(1))
    target.create(traffic({f"{MODEL}-v1": 100}))
    with KServeStandIn(world.api, ready):
        done = world.run("status", "card_fraud", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["card_fraud"]
    assert found["serving"] == {f"{MODEL}-v1": {"version": 1, "weight": 100, "ready": True, "problem": ""}}
    assert found["serving_problem"] == ""


def test_status_without_an_api_server_says_so_and_tells_the_rest(world: World, tmp_path: Path) -> None:
    away = kubernetes_api.kubeconfig(tmp_path, f"http://127.0.0.1:{services.free_port()}")
    done = world.run("status", "card_fraud", KUBECONFIG=str(away))
    assert done.returncode == 0, done.stderr
    assert "does not answer" in done.stdout
    assert "champion" in done.stdout


def test_doctor_names_what_a_cluster_lacks(world: World) -> None:
    world.server.refused = {"create leases", "delete inferenceservices"}
    try:
        done = world.run("doctor", "--json")
    finally:
        world.server.refused = set()
    checks = {check["what"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["Kubernetes"]["ok"]
    assert checks["Kubernetes"]["found"].endswith(", namespace serin, with KServe and Istio")
    lacking = "this account may not create leases, delete inferenceservices in namespace serin"
    assert checks["rights"]["found"].startswith(lacking)
    assert "SERIN_PROMETHEUS is not set" in checks["Prometheus"]["found"]
    assert checks["gateway"]["found"] == "SERIN_GATEWAY is not set"
    assert "Envoy" not in checks
    assert done.returncode == 1
