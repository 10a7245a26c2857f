"""The loop on the cluster that KUBECONFIG names: install, train, serve, canary, roll back, drift, uninstall.

    make images cluster     a laptop's cluster with what manifests/README.md asks for, Serin's images in it
    pytest -m cluster tests/e2e/test_cluster.py

The overlay is applied, and removed at the end unless SERIN_KEEP is set; SERIN_OVERLAY names another one than `dev`.
What is in the cluster is reached through `kubectl port-forward`. Written from the documents: not run on a cluster yet.
"""

import base64
import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests import services

pytestmark = pytest.mark.cluster

NAMESPACE = "serin"
ROOT = Path(__file__).resolve().parents[2]
OVERLAY = os.environ.get("SERIN_OVERLAY") or str(ROOT / "manifests" / "overlays" / "dev")
GATEWAY = ("istio-ingress", "istio-ingressgateway", 80)
PROMETHEUS = ("monitoring", "kube-prometheus-stack-prometheus", 9090)
ROW = {"CUSTOMER_ID": 3, "TERMINAL_ID": 5, "TX_AMOUNT": 42.0, "TX_DATETIME": "2026-03-05T10:00:00"}
PREDICT = "/v1/models/card-fraud:predict"


def kubectl(*arguments: str, seconds: int = 300) -> str:
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def secret(name: str, key: str) -> str:
    found = json.loads(kubectl("get", "secret", name, "--namespace", NAMESPACE, "--output", "json"))
    return base64.b64decode(found["data"][key]).decode()


@contextlib.contextmanager
def forwarded(namespace: str, service: str, port: int) -> Iterator[str]:
    """A port of this machine that leads to a Service; gives HOST:PORT."""
    local = services.free_port()
    line = ["kubectl", "port-forward", "--namespace", namespace, f"service/{service}", f"{local}:{port}"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            # It says where it forwards from once it does.
            assert process.stdout
            assert process.stdout.readline(), f"{namespace}/{service}: kubectl port-forward ended"
            yield f"127.0.0.1:{local}"
        finally:
            process.terminate()


class Traffic:
    """Requests through the gateway, one after another, until the block ends."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self.versions: list[str] = []
        self.lost: list[str] = []

    def ask(self) -> httpx.Response:
        headers = {"Host": "card-fraud.serin.internal"}
        return httpx.post(f"http://{self._gateway}{PREDICT}", json={"instances": [ROW]}, headers=headers, timeout=30)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            try:
                answer = self.ask()
            except httpx.TransportError as error:
                self.lost.append(repr(error))
                continue
            if answer.status_code == 200:
                self.versions.append(answer.json()["predictions"][0]["model_version"])
            else:
                self.lost.append(f"{answer.status_code} {answer.text}")

    @contextlib.contextmanager
    def flowing(self) -> Iterator["Traffic"]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()


class User:
    """Somebody at a terminal in a workspace, whose profile is `cluster`."""

    def __init__(self, root: Path, endpoints: dict[str, str]) -> None:
        self.root = root
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SERIN_", "AWS_", "MLFLOW_"))}
        self.environment = kept | endpoints | {"SERIN_ROOT": str(root), "SERIN_PROFILE": "cluster"}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-m", "pipelines", *arguments]
        return subprocess.run(
            line, capture_output=True, text=True, env=self.environment, cwd=self.root, timeout=3600, check=False
        )

    def result(self, *arguments: str) -> dict:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def installed() -> Iterator[None]:
    """Serin's objects, all of them ready."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG names no cluster; `make cluster` makes one on a laptop with Docker")
    kubectl("apply", "--server-side", "--field-manager=serin-install", "--kustomize", OVERLAY)
    waiting = ("rollout", "status", "--namespace", NAMESPACE, "--timeout=10m")
    for kind in ("deployment", "statefulset"):
        for name in kubectl("get", kind, "--namespace", NAMESPACE, "--output", "name").split():
            kubectl(*waiting, name, seconds=660)
    yield
    if not os.environ.get("SERIN_KEEP"):
        for kind in ("inferenceservice", "virtualservice"):
            kubectl("delete", kind, "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/part-of=serin")
        kubectl("delete", "--kustomize", OVERLAY, "--ignore-not-found", "--timeout=10m", seconds=660)


@pytest.fixture(scope="module")
def gateway(installed: None) -> Iterator[str]:
    with forwarded(*GATEWAY) as address:
        yield address


@pytest.fixture(scope="module")
def user(installed: None, gateway: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    with contextlib.ExitStack() as stack:
        s3, mlflow, redis = (
            stack.enter_context(forwarded(NAMESPACE, *one)) for one in (("s3", 9000), ("mlflow", 5000), ("redis", 6379))
        )
        kfp = stack.enter_context(forwarded("kubeflow", "ml-pipeline-ui", 80))
        prometheus = stack.enter_context(forwarded(*PROMETHEUS))
        password = secret("serin-redis", "password")
        endpoints = {
            "SERIN_NAMESPACE": NAMESPACE,
            "SERIN_STORAGE": "s3://serin",
            "SERIN_REDIS": f"{redis},password={password}",
            "SERIN_KFP_HOST": f"http://{kfp}",
            "SERIN_PROMETHEUS": f"http://{prometheus}",
            "SERIN_GATEWAY": f"http://{gateway}",
            "MLFLOW_TRACKING_URI": f"http://{mlflow}",
            "AWS_ENDPOINT_URL": f"http://{s3}",
            "FEAST_S3_ENDPOINT_URL": f"http://{s3}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": secret("serin-s3", "AWS_ACCESS_KEY_ID"),
            "AWS_SECRET_ACCESS_KEY": secret("serin-s3", "AWS_SECRET_ACCESS_KEY"),
        }
        found = User(services.workspace_copy(tmp_path_factory.mktemp("workspace")), endpoints)
        found.result("simulate", "--out", "t.parquet", "--rows", "40000", "--days", "63")
        quick = {"rollout": {"steps": [{"weight": 30, "pause": "40s"}], "interval": "10s", "min_requests": 20}}
        _change(found, slo={"latency_p95_ms": 5000}, **quick)
        yield found


@pytest.fixture(scope="module")
def served(user: User) -> dict:
    """The first version, trained by a pipeline run on the cluster, with all traffic."""
    trained = user.result("train", "card_fraud", "--data", "t.parquet", "--as-of", "2026-02-25")
    served = user.run("serve", "card_fraud")
    assert served.returncode == 0, served.stderr
    return trained


def _change(user: User, **sections: dict) -> None:
    path = user.root / "pipelines" / "use_cases" / "card_fraud.yaml"
    case = yaml.safe_load(path.read_text())
    for name, section in sections.items():
        case[name] = case.get(name, {}) | section
    path.write_text(yaml.safe_dump(case, sort_keys=False))


def _answered(traffic: Traffic, version: int) -> bool:
    """Whether a version answers, within the time that the gateway needs to hear of it."""
    for _ in itertools.repeat(None, 30):
        answer = traffic.ask()
        if answer.status_code == 200 and answer.json()["predictions"][0]["model_version"] == str(version):
            return True
        time.sleep(1)
    return False


def test_cluster_is_in_order(user: User) -> None:
    done = user.run("doctor")
    assert done.returncode == 0, done.stdout + done.stderr


def test_trained_version_is_served_through_the_gateway(user: User, served: dict, gateway: str) -> None:
    assert served["gate"] == "passed"
    assert _answered(Traffic(gateway), served["version"])


def test_metrics_are_not_reached_through_the_gateway(served: dict, gateway: str) -> None:
    answer = httpx.get(f"http://{gateway}/metrics", headers={"Host": "card-fraud.serin.internal"})
    assert answer.status_code in (403, 404)


def test_canary_is_promoted_by_the_rollout_pipeline_and_no_request_is_lost(
    user: User, served: dict, gateway: str
) -> None:
    second = user.result("train", "card_fraud")
    with Traffic(gateway).flowing() as traffic:
        done = user.run("submit", "rollout", "card_fraud")
    assert done.returncode == 0, done.stderr
    assert traffic.lost == []
    assert {str(served["version"]), str(second["version"])} <= set(traffic.versions)
    aliases = {one["version"]: one["aliases"] for one in user.result("status", "card_fraud")["card_fraud"]["versions"]}
    assert "champion" in aliases[second["version"]]
    assert _answered(Traffic(gateway), second["version"])


def test_canary_beyond_its_limits_is_rolled_back(user: User, served: dict, gateway: str) -> None:
    _change(user, slo={"latency_p95_ms": 0.001})
    with Traffic(gateway).flowing() as traffic:
        done = user.run("rollout", "card_fraud", "--version", str(served["version"]), "--force")
    _change(user, slo={"latency_p95_ms": 5000})
    assert done.returncode == 1
    assert "was rolled back" in done.stderr
    assert traffic.lost == []


def test_few_predictions_are_no_drift(user: User, served: dict) -> None:
    assert user.result("drift", "card_fraud")["verdict"] == "too_few_rows"
