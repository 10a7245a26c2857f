"""The model registry: aliases moved by compare-and-set, on SQLite and on PostgreSQL."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.register.run import promote, register
from serin import artifact, use_case
from serin.errors import ArtifactError, ConflictError, UnavailableError
from serin.schema import InputColumn, InputSchema
from serin.workspace import Workspace
from tests import services

pytestmark = [
    # MLflow uses interfaces of SQLAlchemy, Pydantic and others that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def tracking_uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
        return
    with services.postgres() as uri:
        yield uri


@pytest.fixture
def workspace(tracking_uri: str, tmp_path: Path) -> Workspace:
    base = Workspace.from_variables({})
    return replace(base, root=tmp_path, tracking_uri=tracking_uri, profile="local")


@pytest.fixture
def case(request: pytest.FixtureRequest) -> use_case.UseCase:
    """card_fraud under the test's own name, so that no test sees another's versions."""
    shipped = use_case.load("card_fraud", Workspace.from_variables({}).use_cases)
    return shipped.model_copy(update={"name": f"t{abs(hash(request.node.nodeid)) % 10**12}"})


@pytest.fixture(autouse=True)
def artifacts_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(folder: Path, case: use_case.UseCase, as_of: str = "2026-01-01", precision: float = 0.5) -> Path:
    folder.mkdir()
    (folder / "model.ubj").write_text(f"{as_of} {precision}")
    manifest = artifact.Manifest(
        use_case=case.name, model_name=case.model_name, candidate="xgboost", engine="xgboost",
        feature_service="card_fraud_v1", entities=(), inputs=InputSchema(columns=(InputColumn(name="x"),)),
        threshold=0.5, data_snapshot="s", as_of=as_of, metrics={"average_precision": precision},
    )  # fmt: skip
    artifact.seal(folder, manifest)
    return folder


def test_first_version_that_passes_is_candidate_challenger_and_champion(workspace, case, tmp_path):
    found = register(workspace, case, make(tmp_path / "a", case), True, {"report.html": "<p>well</p>"})
    assert (found.version, sorted(found.aliases)) == (1, ["candidate", "challenger", "champion"])
    registry = ModelRegistry(workspace)
    version = registry.version(case.model_name, 1)
    assert json.loads(version.tags["serin.metrics"]) == {"average_precision": 0.5}
    assert version.tags["serin.code_revision"]
    assert registry.report(version, "report.html") == "<p>well</p>"


def test_version_that_fails_the_gate_is_only_candidate(workspace, case, tmp_path):
    found = register(workspace, case, make(tmp_path / "a", case), False, {})
    assert found.aliases == ("candidate",)


def test_registering_the_same_artifact_again_gives_the_same_version(workspace, case, tmp_path):
    folder = make(tmp_path / "a", case)
    assert register(workspace, case, folder, True, {}) == register(workspace, case, folder, True, {})
    assert len(ModelRegistry(workspace).versions(case.model_name)) == 1


def test_weaker_version_of_the_same_data_does_not_become_challenger(workspace, case, tmp_path):
    register(workspace, case, make(tmp_path / "strong", case, precision=0.7), True, {})
    weak = register(workspace, case, make(tmp_path / "weak", case, precision=0.6), True, {})
    assert weak.aliases == ("candidate",)
    later = register(workspace, case, make(tmp_path / "later", case, "2026-02-01", 0.6), True, {})
    assert sorted(later.aliases) == ["candidate", "challenger"]


def test_artifact_that_was_changed_is_not_registered(workspace, case, tmp_path):
    folder = make(tmp_path / "a", case)
    (folder / "model.ubj").write_text("evil")
    with pytest.raises(ArtifactError, match="was changed"):
        register(workspace, case, folder, True, {})
    assert ModelRegistry(workspace).versions(case.model_name) == []


def test_promotion_keeps_the_old_champion_as_previous_and_can_run_twice(workspace, case, tmp_path):
    register(workspace, case, make(tmp_path / "a", case), True, {})
    register(workspace, case, make(tmp_path / "b", case, "2026-02-01"), True, {})
    for _ in range(2):
        promote(workspace, case, 2)
    registry = ModelRegistry(workspace)
    assert {name: registry.by_alias(case.model_name, name).version for name in ("champion", "previous")} == {
        "champion": 2,
        "previous": 1,
    }


def test_alias_that_was_moved_meanwhile_is_a_conflict(workspace, case, tmp_path):
    register(workspace, case, make(tmp_path / "a", case), True, {})
    register(workspace, case, make(tmp_path / "b", case, "2026-02-01"), True, {})
    registry = ModelRegistry(workspace)
    registry.move_alias(case.model_name, "champion", 2, expected=1)
    with pytest.raises(ConflictError, match=r"alias champion of .* names version 2, not 1: it was moved meanwhile"):
        registry.move_alias(case.model_name, "champion", 3, expected=1)


def test_of_many_who_move_an_alias_at_once_one_wins(workspace, case, tmp_path):
    for number in range(4):
        register(workspace, case, make(tmp_path / str(number), case, f"2026-0{number + 1}-01"), True, {})
    outcomes: list[str] = []

    def move(to: int) -> None:
        try:
            ModelRegistry(workspace).move_alias(case.model_name, "champion", to, expected=1)
            outcomes.append("moved")
        except ConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=move, args=(to,)) for to in (2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "conflict", "moved"]


def test_version_that_is_not_there_is_told_with_those_that_are(workspace, case, tmp_path):
    register(workspace, case, make(tmp_path / "a", case), True, {})
    with pytest.raises(UnavailableError, match=r"has no version 7; registered: 1$"):
        ModelRegistry(workspace).version(case.model_name, 7)


def test_fetched_artifact_is_the_registered_one(workspace, case, tmp_path):
    register(workspace, case, make(tmp_path / "a", case), True, {})
    registry = ModelRegistry(workspace)
    folder = registry.fetch(registry.version(case.model_name, 1), tmp_path / "fetched")
    assert artifact.verify(folder) == artifact.verify(tmp_path / "a")


def test_unknown_alias_or_model_names_no_version(workspace, case, tmp_path):
    registry = ModelRegistry(workspace)
    assert registry.by_alias(case.model_name, "champion") is None
    register(workspace, case, make(tmp_path / "a", case), False, {})
    assert registry.by_alias(case.model_name, "champion") is None


def test_aliases_are_the_same_however_a_version_is_looked_up(workspace, case, tmp_path):
    register(workspace, case, make(tmp_path / "a", case), True, {})
    register(workspace, case, make(tmp_path / "b", case, "2026-02-01"), True, {})
    registry = ModelRegistry(workspace)
    versions = registry.versions(case.model_name)
    assert [v.aliases for v in versions] == [("candidate", "challenger"), ("champion",)]
    assert [registry.version(case.model_name, number) for number in (2, 1)] == versions
    assert [registry.by_alias(case.model_name, alias) for alias in ("candidate", "champion")] == versions


def test_alias_is_deleted_once_and_again(workspace, case, tmp_path):
    registry = ModelRegistry(workspace)
    registry.delete_alias(case.model_name, "candidate")
    register(workspace, case, make(tmp_path / "a", case), False, {})
    for _ in range(2):
        registry.delete_alias(case.model_name, "candidate")
        assert registry.version(case.model_name, 1).aliases == ()


def test_failed_upload_ends_the_run_as_failed(workspace, case, tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=workspace.tracking_uri)
    (tmp_path / "file").touch()
    experiment = client.create_experiment(case.name, artifact_location=(tmp_path / "file" / "below").as_uri())
    with pytest.raises(OSError, match="Not a directory"):
        register(workspace, case, make(tmp_path / "a", case), True, {})
    assert [run.info.status for run in client.search_runs([experiment])] == ["FAILED"]
    assert ModelRegistry(workspace).versions(case.model_name) == []


@pytest.mark.parametrize("scheme", ["http", "postgresql+psycopg2"])
def test_unreachable_registry_is_told_without_its_password(scheme, case, tmp_path):
    address = f"127.0.0.1:{services.free_port()}/mlflow"
    base = Workspace.from_variables({})
    away = replace(base, root=tmp_path, tracking_uri=f"{scheme}://me:secret@{address}")
    with pytest.raises(UnavailableError, match=f"model registry at {re.escape(scheme)}://{address} does not") as told:
        ModelRegistry(away).versions(case.model_name)
    assert "secret" not in str(told.value)


def test_sqlite_file_that_is_not_there_holds_no_version_and_is_not_created(case, tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}"
    registry = ModelRegistry(replace(Workspace.from_variables({}), root=tmp_path, tracking_uri=uri))
    assert registry.versions(case.model_name) == []
    assert registry.by_alias(case.model_name, "champion") is None
    with pytest.raises(UnavailableError, match="has no version 1; registered: none"):
        registry.version(case.model_name, 1)
    registry.delete_alias(case.model_name, "champion")
    assert list(tmp_path.iterdir()) == []
