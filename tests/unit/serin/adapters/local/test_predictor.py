"""How a predictor is started from the documents."""

import copy
import sys
from pathlib import Path

import pytest

from serin import use_case
from serin.adapters import templates
from serin.adapters.local import documents
from serin.adapters.local.documents import InferenceService, ServingRuntime
from serin.adapters.local.predictor import Predictor, command, fetch
from serin.deployments import inference_service
from serin.errors import UnavailableError

ROOT = Path(__file__).resolve().parents[5]
CASE = use_case.load("card_fraud", ROOT / "pipelines" / "use_cases")
TEMPLATES = templates.load(ROOT)


def _runtime(**container: object) -> ServingRuntime:
    changed = copy.deepcopy(TEMPLATES.serving_runtime)
    changed["spec"]["containers"][0].update(container)
    return documents.read(ServingRuntime, changed, "the ServingRuntime")


RUNTIME = _runtime()


def _service(uri: str = "/models/3") -> InferenceService:
    document = inference_service(CASE, 3, uri, TEMPLATES.inference_service)
    return documents.read(InferenceService, document, "card-fraud-v3")


def test_the_command_joins_runtime_and_inference_service_as_kserve_does() -> None:
    assert command(RUNTIME, _service(), Path("/state/m"), (9001, 9002), Path("/state/spool")) == [
        sys.executable,
        "-m",
        "predictors",
        "--deployment=card-fraud-v3",
        "--model_dir=/mnt/models",
        "--http_port=8080",
        "--grpc_port=8081",
        "--log_spool=/var/spool/serin",
        "--log_spool_bytes=1073741824",
        "--log_seconds=60",
        "--model_name=card-fraud",
        "--model_version=3",
        "--model_dir=/state/m",
        "--host=127.0.0.1",
        "--http_port=9001",
        "--grpc_port=9002",
        "--log_spool=/state/spool",
        "--log_seconds=1",
    ]


def test_a_placeholder_that_is_not_known_is_named() -> None:
    runtime = _runtime(args=["--x={{.Namespace}}"])
    with pytest.raises(UnavailableError, match=r"serin-predictor: '--x=\{\{.Namespace\}\}'; allowed: \{\{.Name\}\}"):
        command(runtime, _service(), Path("/state/m"), (9001, 9002), Path("/state/spool"))


def test_an_artifact_is_copied_over_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text("{}")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "old").write_text("")
    fetch(str(tmp_path / "model"), tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("name", ["with a space", "50% off", "für # alle?", "%20"])
@pytest.mark.parametrize("as_uri", [True, False])
def test_an_artifact_is_found_whatever_its_folder_is_called(tmp_path: Path, name: str, as_uri: bool) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "manifest.json").write_text("{}")
    fetch((tmp_path / name).as_uri() if as_uri else str(tmp_path / name), tmp_path / "copy")
    assert (tmp_path / "copy" / "manifest.json").read_text() == "{}"


@pytest.mark.parametrize("uri", ["s3://serin/m", "S3://serin/m", "file://host/m", "file:/m"])
def test_an_artifact_elsewhere_cannot_be_read_here(tmp_path: Path, uri: str) -> None:
    with pytest.raises(UnavailableError, match=f"storageUri {uri} can't be read here; allowed: a path or"):
        fetch(uri, tmp_path / "copy")


def test_an_artifact_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=f"storageUri {tmp_path}/no: there is no such folder"):
        fetch(f"{tmp_path}/no", tmp_path / "copy")


def test_a_predictor_without_artifact_is_tried_again_after_a_backoff_that_doubles(tmp_path: Path) -> None:
    predictor = Predictor(_service(f"{tmp_path}/no"), RUNTIME, tmp_path, {})
    tries = []
    for now in range(40):
        before = predictor.restarts
        predictor.step(float(now))
        if predictor.restarts != before:
            tries.append(now)
    assert tries == [0, 1, 3, 7, 15, 31]
    assert predictor.status() == {
        "ready": False,
        "message": f"storageUri {tmp_path}/no: there is no such folder",
        "restarts": 6,
        "pid": None,
        "identity": None,
        "http_port": None,
        "grpc_port": None,
    }


def test_a_predictor_whose_log_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "logs").touch()
    predictor = Predictor(_service(str(tmp_path / "model")), RUNTIME, tmp_path, {})
    predictor.step(0.0)
    assert (predictor.process, predictor.restarts) == (None, 1)
    assert f"{tmp_path}/logs" in predictor.message


def test_a_predictor_that_dies_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    runtime = _runtime(command=["python", "-c", "print('no model'); raise SystemExit(3)"])
    predictor = Predictor(_service(str(tmp_path / "model")), runtime, tmp_path, {})
    _start_and_end(predictor, 0.0)
    predictor.step(0.5)
    assert (predictor.process, predictor.ports, predictor.restarts) == (None, None, 1)
    assert predictor.message == f"exited with 3: no model (see {tmp_path}/logs/card-fraud-v3.log)"
    predictor.step(1.4)
    assert predictor.process is None
    _start_and_end(predictor, 1.5)


def _start_and_end(predictor: Predictor, now: float) -> None:
    predictor.step(now)
    assert predictor.process is not None
    assert predictor.ports is not None
    predictor.process.wait()
