"""The predictor's image serves: features from Redis, feature registry and prediction log on S3, its root read-only."""

import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.images import ROOT
from serin.adapters import templates
from tests import services
from tests.factories import make_artifact
from tests.images.container import Container, Image, Mount
from tests.predictor_process import row, set_up_store

pytestmark = pytest.mark.images


@dataclass(frozen=True)
class Served:
    """A predictor that is ready, in its container."""

    container: Container
    url: str
    endpoints: dict[str, str]

    def predict(self, **changes: object) -> httpx.Response:
        """One V1 prediction."""
        rows = {"instances": [row(**changes)]}
        return httpx.post(f"{self.url}/v1/models/card-fraud:predict", json=rows, timeout=30)


@pytest.fixture(scope="module")
def served(predictor: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The predictor with a profile `cluster`: its model mounted where KServe's storage initializer puts it."""
    root = tmp_path_factory.mktemp("served")
    shutil.copytree(ROOT / "feature_repo", root / "feature_repo")
    shutil.copy(root / "feature_repo/feature_store.cluster.yaml", root / "feature_repo/feature_store.yaml")
    make_artifact(root / "model", store=True)
    _readable(root / "model")
    with services.redis() as redis, services.s3("serin") as s3:
        endpoints = s3 | {
            "SERIN_PROFILE": "cluster",
            "SERIN_STORAGE": "s3://serin/data",
            "SERIN_REDIS": redis,
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        }
        set_up_store(root, endpoints)
        port = services.free_port()
        container = predictor.container(root, _command(port), endpoints, [Mount(root / "model", "/mnt/models")])
        with container.started() as process:
            served = Served(container, f"http://127.0.0.1:{port}", endpoints)
            deadline = time.monotonic() + 120
            while not _ready(served.url):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline, "not ready within 120 s"
                time.sleep(0.2)
            yield served
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_it_answers_with_features_of_the_online_store(served: Served) -> None:
    answers = [served.predict(TERMINAL_ID=terminal) for terminal in (7, 8)]
    assert [answer.status_code for answer in answers] == [200, 200]
    honest, fraudulent = (answer.json()["predictions"][0] for answer in answers)
    assert (honest["model_version"], fraudulent["model_version"]) == ("12", "12")
    assert honest["score"] < fraudulent["score"]


def test_it_logs_predictions_to_s3(served: Served) -> None:
    assert served.predict().status_code == 200
    deadline = time.monotonic() + 20
    while not (found := _objects(served.endpoints, "data/predictions/")):
        assert time.monotonic() < deadline, "no prediction log within 20 s"
        time.sleep(0.2)
    assert all(key.endswith(".parquet") for key in found)


def test_its_health_check_follows_its_readiness(served: Served, predictor: Image) -> None:
    kind, *command = predictor.settings["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert ":8080/v2/health/ready" in command[-1]
    port = served.url.rpartition(":")[2]
    assert served.container.execute([part.replace("8080", port) for part in command]) == 0
    assert served.container.execute([part.replace("8080", "9") for part in command]) != 0


def test_changed_model_is_refused(predictor: Image, tmp_path: Path) -> None:
    make_artifact(tmp_path / "model")
    with (tmp_path / "model/model.ubj").open("ab") as file:
        file.write(b"x")
    _readable(tmp_path / "model")
    container = predictor.container(
        tmp_path, _command(services.free_port()), {}, [Mount(tmp_path / "model", "/mnt/models")]
    )
    done = container.run(60)
    assert done.returncode == 1
    assert "model.ubj" in done.stderr


def _command(port: int) -> list[str]:
    """As KServe starts it: the runtime's command and arguments, then the InferenceService's; ports of this machine."""
    (container,) = templates.load(ROOT).serving_runtime["spec"]["containers"]
    arguments = [part.replace("{{.Name}}", "card-fraud-v12") for part in container["args"]]
    own = ["--model_name=card-fraud", "--model_version=12"]
    ports = ["--host=127.0.0.1", f"--http_port={port}", f"--grpc_port={services.free_port()}"]
    # There is no volume of a pod's here.
    log = ["--log_spool=/tmp/spool", "--log_seconds=1"]
    return [*container["command"], *arguments, *own, *ports, *log]


def _readable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v2/health/ready").is_success
    except httpx.TransportError:
        return False


def _objects(endpoints: dict[str, str], prefix: str) -> list[str]:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoints["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
    )
    found = client.list_objects_v2(Bucket="serin", Prefix=prefix).get("Contents", [])
    client.close()
    return [item["Key"] for item in found]
