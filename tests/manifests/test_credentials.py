"""Who gets at S3, at images and at Redis, and by what: no key where accounts have an identity, no password in sight."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from pipelines import settings
from serin.adapters.cluster import pipelines
from tests import services
from tests.manifests import scene
from tests.manifests.index import Index
from tests.manifests.rendering import OVERLAYS, Document, overlay

KEYLESS = "production-eks"
READERS = {"serin-predictor", "serin-mlflow", *pipelines.ACCOUNTS.values()}
# Everything that sed, the shell or redis.conf might take for its own.
AWKWARD = r"""a b"c'd\e$f&g#h%i(j)/k"""


def _references(container: Document) -> Iterator[dict[str, Any]]:
    for source in container.get("envFrom", []):
        yield source.get("secretRef", {})
    for variable in container.get("env", []):
        yield variable.get("valueFrom", {}).get("secretKeyRef", {})


def _containers(name: str, component: str) -> Iterator[Document]:
    for pod in Index(scene.of(name)).pods:
        if pod.labels.get("app.kubernetes.io/component") == component:
            yield from (*pod.spec.get("initContainers", []), *pod.spec["containers"])


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("component", ["predictor", "mlflow"])
def test_pods_start_without_the_keys_of_s3(name: str, component: str):
    found = [ref for container in _containers(name, component) for ref in _references(container)]
    keys = [ref for ref in found if ref.get("name") == settings.S3]
    assert keys, "it reads S3"
    assert all(ref.get("optional") for ref in keys)


def test_accounts_that_read_s3_have_the_role_and_name_no_secret_with_keys():
    accounts = {account["metadata"]["name"]: account for account in _of("ServiceAccount")}
    assert accounts.keys() == READERS
    for account in accounts.values():
        assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].startswith("arn:aws:iam::")
        assert "secrets" not in account


def test_storage_initializer_is_told_the_region_and_no_endpoint_to_ask_for_a_role():
    (account,) = (one for one in _of("ServiceAccount") if one["metadata"]["name"] == "serin-predictor")
    kserve = {key: value for key, value in account["metadata"]["annotations"].items() if "kserve" in key}
    assert kserve == {"serving.kserve.io/s3-usehttps": "1", "serving.kserve.io/s3-region": "us-east-1"}


def test_no_variable_leads_a_request_for_a_role_to_s3():
    (endpoints,) = (one for one in _of("ConfigMap") if one["metadata"]["name"] == settings.ENDPOINTS)
    assert not {"AWS_ENDPOINT_URL", "FEAST_S3_ENDPOINT_URL"} & endpoints["data"].keys()
    assert endpoints["data"]["AWS_DEFAULT_REGION"]


def test_kfp_takes_its_credentials_from_the_account_of_the_run():
    (launcher,) = (one for one in _of("ConfigMap") if one["metadata"]["name"] == "kfp-launcher")
    assert "fromEnv: true" in launcher["data"]["providers"]
    assert settings.S3 not in launcher["data"]["providers"]


def test_images_of_a_registry_with_a_login_are_pulled_by_every_account():
    assert {account["metadata"]["name"] for account in _of("ServiceAccount")} == READERS
    for account in _of("ServiceAccount"):
        assert account["imagePullSecrets"] == [{"name": "serin-registry"}], account["metadata"]["name"]
    # KServe takes a pod's account from the template; a pod without pull secrets of its own gets its account's.
    assert scene.TEMPLATES.inference_service["spec"]["predictor"]["serviceAccountName"] in READERS
    assert "imagePullSecrets" not in scene.TEMPLATES.inference_service["spec"]["predictor"]


def _of(kind: str) -> list[Document]:
    return [document for document in overlay(KEYLESS) if document["kind"] == kind]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Redis, started by the line of its container, with folders of this machine in place of the pod's volumes."""
    folder, port = tmp_path_factory.mktemp("redis"), services.free_port()
    (container,) = _containers("staging", "redis")
    line = " ".join(container["args"])
    for mount in container["volumeMounts"]:
        own = folder / mount["name"]
        own.mkdir()
        line = line.replace(mount["mountPath"], str(own))
    (folder / "password" / "password").write_text(AWKWARD)
    line = f"{line.rstrip()} --port {port} --bind 127.0.0.1"
    with subprocess.Popen([*container["command"], line], stdout=subprocess.DEVNULL) as process:
        try:
            _await(port, process)
            yield port, process
        finally:
            process.terminate()
            assert process.wait(20) == 0, "a signal did not reach the server"


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with redis.Redis(port=port) as client:
                client.ping()
        except redis.AuthenticationError:
            return
        except redis.ConnectionError:
            time.sleep(0.05)
    raise AssertionError(f"Redis asks for no password, or did not start (exit code {process.poll()})")


def test_redis_lets_in_whoever_has_the_password_of_the_secret(server: tuple[int, "subprocess.Popen[bytes]"]):
    with redis.Redis(port=server[0], password=AWKWARD) as client:
        assert client.ping()
    with redis.Redis(port=server[0], password="another") as client, pytest.raises(redis.AuthenticationError):  # noqa: S106
        client.ping()


def test_redis_password_is_on_no_command_line(server: tuple[int, "subprocess.Popen[bytes]"]):
    process = psutil.Process(server[1].pid)
    assert process.name() == "redis-server"
    assert AWKWARD not in "\0".join(process.cmdline())
    (container,) = _containers("staging", "redis")
    # Kubernetes fills $(NAME) in a command line with the variable's value.
    assert "$(" not in " ".join((*container["command"], *container["args"]))


def test_redis_writes_the_password_where_nobody_else_reads_it(server: tuple[int, "subprocess.Popen[bytes]"]):
    configuration = Path(psutil.Process(server[1].pid).cwd(), "..", "configuration", "redis.conf")
    assert configuration.stat().st_mode & 0o077 == 0
