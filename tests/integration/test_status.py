"""`serin status`: what can be told is told, whatever can't."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.features.plan import log_plans
from components.features.run import Refreshed, refresh
from components.ingest.store import ingest
from components.register.run import register
from pipelines.commands import status
from pipelines.console import Console
from pipelines.freshness import freshness, in_words
from serin.adapters.cluster.api import Api
from serin.adapters.cluster.serving import KubernetesServing
from serin.adapters.local.serving import LocalServing
from serin.deployments import inference_service, virtual_service
from serin.online.store import PushedEvent
from serin.platform import Platform, build
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE
from serin.simulate import simulate
from serin.times import micros
from serin.use_case import UseCase
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


MONDAY = datetime(2026, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
Refreshing = tuple[Platform, UseCase, Refreshed]


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refreshing]:
    """A workspace whose features are those of MONDAY."""
    made = services.workspace_copy(tmp_path_factory.mktemp("refreshed"))
    platform = _platform(made)
    case = platform.own_use_case("card_fraud")
    table = made / "t.parquet"
    simulate(seed=1, start=MONDAY.date() - timedelta(days=20), days=20, rows=500).to_parquet(table)
    ingest(platform.workspace, case, str(table), MONDAY)
    yield platform, case, refresh(platform, case, MONDAY)
    platform.features.online.close()


def test_age_of_each_view_and_event_log_is_told_from_the_last_refresh(refreshed: Refreshing) -> None:
    platform, case, _ = refreshed
    found = freshness(platform, case, MONDAY + 26 * HOUR)
    age, at = 26 * 3600.0, "2026-01-12T00:00:00+00:00"
    assert found["problem"] == ""
    assert [view["view"] for view in found["views"]] == ["customer_activity", "terminal_risk"]
    assert {(view["as_of"], view["age_seconds"]) for view in found["views"]} == {(at, age)}
    terminal = next(log for log in found["logs"] if log["entity"] == "TERMINAL_ID")
    assert terminal == {"entity": "TERMINAL_ID", "as_of": at, "pushed": None, "age_seconds": age}


def test_age_of_an_event_log_is_that_of_the_last_push(
    refreshed: Refreshing, capsys: pytest.CaptureFixture[str]
) -> None:
    platform, case, features = refreshed
    log = log_plans(case, features.served, platform.features.project)["CUSTOMER_ID"]
    at = MONDAY + 25 * HOUR
    platform.features.online.push(log, [PushedEvent(id=b"1", entity=1, time=micros(at), row=b"{}")])
    found = freshness(platform, case, MONDAY + 26 * HOUR)
    customer = next(log for log in found["logs"] if log["entity"] == "CUSTOMER_ID")
    assert (customer["pushed"], customer["age_seconds"]) == ("2026-01-13T01:00:00+00:00", 3600.0)
    status.run(Console(), platform, "card_fraud")
    before = capsys.readouterr().out
    assert "no version yet" in before
    make_artifact(platform.workspace.root / "artifact")
    register(platform, case, platform.workspace.root / "artifact", "passed", {}, "")
    status.run(Console(), platform, "card_fraud")
    for shown in (before, capsys.readouterr().out):
        assert "customer_activity" in shown
        assert "events of CUSTOMER_ID: as of 2026-01-12 00:00, pushed events up to 2026-01-13 01:00" in shown
        assert "events of TERMINAL_ID: as of 2026-01-12 00:00 (" in shown


def test_view_that_is_computed_otherwise_by_now_was_never_refreshed(refreshed: Refreshing) -> None:
    platform, case, _ = refreshed
    view = case.features.windows["terminal_risk"].model_copy(update={"current": False})
    windows = case.features.windows | {"terminal_risk": view}
    other = case.model_copy(update={"features": case.features.model_copy(update={"windows": windows})})
    found = freshness(platform, other, MONDAY)
    assert [view["as_of"] is None for view in found["views"]] == [False, True]
    assert [log["entity"] for log in found["logs"]] == ["CUSTOMER_ID"]


def test_features_that_nobody_ever_refreshed_have_no_age(root: Path) -> None:
    platform = _platform(root)
    found = freshness(platform, platform.own_use_case("bank_churn"), MONDAY)
    assert found["logs"] == []
    assert {view["as_of"] for view in found["views"]} == {None}
    assert found["problem"] == ""


@pytest.mark.parametrize(
    ("age", "told"), [(None, ""), (12.7, "12s"), (119, "1m"), (7200, "2h"), (26 * 3600, "1d"), (15 * 86_400, "15d")]
)
def test_age_in_words_has_the_largest_unit_that_is_whole(age: float | None, told: str) -> None:
    assert in_words(age) == told
