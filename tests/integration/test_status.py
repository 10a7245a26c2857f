"""`serin status`: what can be told is told, whatever can't."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from components.register.run import register
from pipelines.commands import status
from pipelines.console import Console
from serin.adapters.cluster.api import Api
from serin.adapters.cluster.serving import KubernetesServing
from serin.adapters.local.serving import LocalServing
from serin.deployments import inference_service, virtual_service
from serin.platform import Platform, build
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE
from serin.workspace import Workspace
from tests import services
from tests.factories import make_artifact

pytestmark = [
    # MLflow uses interfaces of SQLAlchemy, Pydantic and others that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one version of card_fraud, which is its champion."""
    made = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    platform = _platform(made)
    make_artifact(made / "artifact")
    register(platform, platform.own_use_case("card_fraud"), made / "artifact", "passed", {}, "")
    return made


def _platform(root: Path, profile: str = "local") -> Platform:
    variables = {
        "SERIN_ROOT": str(root),
        "SERIN_PROFILE": profile,
        "SERIN_STORAGE": str(root / ".serin"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{root}/.serin/mlflow/mlflow.db",
    }
    return build(Workspace.from_variables(variables))


def _without_a_cluster(root: Path) -> Platform:
    """The profile of a cluster, and a kubeconfig that is not there."""
    api = Api(kubeconfig=root / "none")
    return replace(_platform(root, "cluster"), serving=lambda model: KubernetesServing(api, model))


def test_status_of_a_cluster_shows_versions_and_says_why_serving_cannot_be_told(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status.run(Console(), _without_a_cluster(root), "card_fraud")
    shown = capsys.readouterr().out
    assert "champion" in shown
    assert "serving: no cluster is configured" in shown
    assert "Set KUBECONFIG, or run in a pod" in shown


def test_status_as_json_has_the_versions_of_all_use_cases(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status.run(Console(as_json=True), _without_a_cluster(root), "")
    found = json.loads(capsys.readouterr().out)
    assert sorted(found) == ["bank_churn", "card_fraud"]
    assert [version["version"] for version in found["card_fraud"]["versions"]] == [1]
    assert found["card_fraud"]["serving"] == {}


def test_status_shows_what_serves_beside_documents_that_others_have_put_there(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = _platform(root)
    case, target = platform.own_use_case("card_fraud"), platform.serving("card-fraud")
    assert isinstance(target, LocalServing)
    target.create(inference_service(case, 1, "/models/1", platform.templates.inference_service))
    target.create(virtual_service(case, {"card-fraud-v1": 100}, platform.templates.virtual_service))
    other = inference_service(case, 2, "/models/2", platform.templates.inference_service)
    target.create({**other, "metadata": {**other["metadata"], "name": "card-fraud-trial"}})
    (target.folder / "documents" / "inferenceservice.card-fraud-v3.yaml").write_text("spec: 5")
    status.run(Console(as_json=True), platform, "card_fraud")
    found = json.loads(capsys.readouterr().out)["card_fraud"]
    (served,) = found["serving"].values()
    assert served == {
        "version": 1,
        "weight": 100,
        "ready": False,
        "problem": "not started; `serin serve` starts it",
    }
    assert found["serving_problem"] == ""


def test_status_names_a_version_with_traffic_that_is_not_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    platform = _platform(root)
    case, target = platform.own_use_case("card_fraud"), platform.serving("card-fraud")
    for kind, name in ((INFERENCE_SERVICE, "card-fraud-v1"), (VIRTUAL_SERVICE, "card-fraud")):
        target.delete(kind, name)
    target.create(virtual_service(case, {"card-fraud-v1": 100}, platform.templates.virtual_service))
    status.run(Console(), platform, "card_fraud")
    shown = capsys.readouterr().out
    assert "100 %, down" in shown
    assert f"card-fraud-v1: {target.status('card-fraud-v1').message}" in shown
