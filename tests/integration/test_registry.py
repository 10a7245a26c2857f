"""The model registry and its aliases, on SQLite, on PostgreSQL and behind MLflow's server."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.register.run import register
from components.rollout.run import find
from pipelines.commands.doctor import registered
from pipelines.commands.status import run as status
from pipelines.console import Console
from serin import artifact, use_case
from serin.adapters.mlflow import MlflowRegistry
from serin.aliases import Aliases
from serin.errors import ArtifactError, ConflictError, NotFoundError, SerinError, UnavailableError
from serin.platform import Platform, build
from serin.schema import InputColumn, InputSchema
from serin.workspace import Workspace
from tests import services

pytestmark = [
    # MLflow uses interfaces of SQLAlchemy, Pydantic and others that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
SHIPPED = use_case.load("card_fraud", Workspace.from_variables({}).use_cases)


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "http"])
def tracking_uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'mlflow.db'}"
        return
    with services.postgres() if request.param == "postgresql" else services.mlflow(folder / "db", folder) as uri:
        yield uri


@pytest.fixture
def platform(tracking_uri: str, tmp_path: Path) -> Platform:
    return at(tmp_path / "workspace", tracking_uri)


@pytest.fixture
def local(tmp_path: Path) -> Platform:
    """A workspace as `serin` finds it without any setting."""
    return at(tmp_path / "workspace")


@pytest.fixture
def case(request: pytest.FixtureRequest) -> use_case.UseCase:
    """card_fraud under the test's own name, so that no test sees another's versions."""
    return SHIPPED.model_copy(update={"name": f"t{abs(hash(request.node.nodeid)) % 10**12}"})


def at(root: Path, tracking_uri: str = "") -> Platform:
    """The platform of a workspace that holds nothing but what marks it as one."""
    mark = root / "feature_repo" / "feature_store.yaml"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return build(Workspace.from_variables({"SERIN_ROOT": str(root), "MLFLOW_TRACKING_URI": tracking_uri}))


def make(
    folder: Path,
    case: use_case.UseCase,
    as_of: str = "2026-01-01",
    precision: float = 0.5,
    *,
    parameters: dict[str, Any] | None = None,
    **metrics: float,
) -> Path:
    folder.mkdir()
    (folder / "model.ubj").write_text(f"{as_of} {precision}")
    manifest = artifact.Manifest(
        use_case=case.name, model_name=case.model_name, estimator="xgboost", engine="xgboost",
        models={"xgboost": "model.ubj"}, feature_service="card_fraud_v1", entities=(),
        inputs=InputSchema(columns=(InputColumn(name="x"),)), threshold=0.5, data_snapshot="s", as_of=as_of,
        metrics={"average_precision": precision, **metrics}, parameters=parameters or {},
    )  # fmt: skip
    artifact.seal(folder, manifest)
    return folder


def enter(platform: Platform, case: use_case.UseCase, folder: Path, count: int = 1) -> Aliases:
    """Register that many versions that pass the gate, each of later data; the aliases they have then."""
    for number in range(1, count + 1):
        register(platform, case, make(folder / f"v{number}", case, f"2026-0{number}-01"), "passed", {}, "")
    return platform.aliases(case.model_name)


def held(platform: Platform, case: use_case.UseCase) -> dict[str, int]:
    found = platform.registry.versions(case.model_name)
    return {alias: version.version for version in found for alias in version.aliases}


class Interrupted:
    """A registry behind which the process ends at the first call of `operation` after `calls` of them."""

    def __init__(self, registry: Any, operation: str, calls: int) -> None:
        self._registry, self._operation, self._calls = registry, operation, calls

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self._counted if name == self._operation else getattr(self._registry, name)

    def _counted(self, *arguments: Any) -> Any:
        if self._calls == 0:
            raise KeyboardInterrupt
        self._calls -= 1
        return getattr(self._registry, self._operation)(*arguments)


# Versions


def test_first_version_that_passes_is_candidate_challenger_and_champion(platform, case, tmp_path):
    found = register(platform, case, make(tmp_path / "a", case), "passed", {"report.html": "<p>well</p>"}, "r1")
    assert (found.version, sorted(found.aliases)) == (1, ["candidate", "challenger", "champion"])
    version = platform.registry.version(case.model_name, 1)
    assert json.loads(version.tags["serin.metrics"]) == {"average_precision": 0.5}
    assert version.tags["serin.code_revision"]
    assert platform.registry.report(version, "report.html") == "<p>well</p>"


def test_version_that_fails_the_gate_is_only_candidate(platform, case, tmp_path):
    found = register(platform, case, make(tmp_path / "a", case), "failed", {}, "")
    assert found.aliases == ("candidate",)


def test_registering_the_same_artifact_again_gives_the_same_version(platform, case, tmp_path):
    folder = make(tmp_path / "a", case)
    first, second = (register(platform, case, folder, "passed", {}, "run") for _ in range(2))
    assert first == second
    assert len(platform.registry.versions(case.model_name)) == 1


def test_version_is_found_by_the_run_that_made_it(platform, case, tmp_path):
    for run, as_of in (("r1", "2026-01-01"), ("r2", "2026-02-01")):
        register(platform, case, make(tmp_path / run, case, as_of), "passed", {}, run)
    found = [platform.registry.by_tag(case.model_name, "serin.run", run) for run in ("r1", "r2", "r3")]
    assert [version and version.version for version in found] == [1, 2, None]


def test_artifact_that_was_changed_is_not_registered(platform, case, tmp_path):
    folder = make(tmp_path / "a", case)
    (folder / "model.ubj").write_text("evil")
    with pytest.raises(ArtifactError, match="was changed"):
        register(platform, case, folder, "passed", {}, "")
    assert platform.registry.versions(case.model_name) == []


def test_version_that_is_not_there_is_told_with_those_that_are(platform, case, tmp_path):
    enter(platform, case, tmp_path)
    with pytest.raises(NotFoundError, match=r"has no version 7; registered: 1$"):
        platform.registry.version(case.model_name, 7)
    with pytest.raises(NotFoundError, match="version=7"):
        platform.registry.set_alias(case.model_name, "champion", 7)


def test_fetched_artifact_is_the_registered_one(platform, case, tmp_path):
    enter(platform, case, tmp_path)
    folder = platform.registry.fetch(platform.registry.version(case.model_name, 1), tmp_path / "fetched")
    assert artifact.verify(folder) == artifact.verify(tmp_path / "v1")


def test_unknown_alias_or_model_names_no_version(platform, case, tmp_path):
    assert platform.registry.by_alias(case.model_name, "champion") is None
    register(platform, case, make(tmp_path / "a", case), "failed", {}, "")
    assert platform.registry.by_alias(case.model_name, "champion") is None


def test_aliases_are_the_same_however_a_version_is_looked_up(platform, case, tmp_path):
    enter(platform, case, tmp_path, 2)
    registry = platform.registry
    versions = registry.versions(case.model_name)
    assert [v.aliases for v in versions] == [("candidate", "challenger"), ("champion",)]
    assert [registry.version(case.model_name, number) for number in (2, 1)] == versions
    assert [registry.by_alias(case.model_name, alias) for alias in ("candidate", "champion")] == versions


def test_alias_is_deleted_once_and_again(platform, case, tmp_path):
    platform.registry.delete_alias(case.model_name, "candidate")
    register(platform, case, make(tmp_path / "a", case), "failed", {}, "")
    for _ in range(2):
        platform.registry.delete_alias(case.model_name, "candidate")
        assert platform.registry.version(case.model_name, 1).aliases == ()


def test_listing_twenty_versions_asks_the_database_no_more_than_listing_two(local, case, tmp_path):
    enter(local, case, tmp_path, 2)
    from mlflow import MlflowClient

    with _statements() as two:
        assert len(local.registry.versions(case.model_name)) == 2
    source = local.registry.version(case.model_name, 1).source
    client = MlflowClient(tracking_uri=local.workspace.tracking_uri)
    for _ in range(18):
        client.create_model_version(case.model_name, source)
    with _statements() as twenty:
        assert len(local.registry.versions(case.model_name)) == 20
    assert 0 < len(twenty) == len(two)


@contextmanager
def _statements() -> Iterator[list[str]]:
    from sqlalchemy import Engine, event

    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


# Aliases


def test_weaker_version_of_the_same_data_does_not_become_challenger(platform, case, tmp_path):
    register(platform, case, make(tmp_path / "strong", case, precision=0.7), "passed", {}, "")
    weak = register(platform, case, make(tmp_path / "weak", case, precision=0.6), "passed", {}, "")
    assert weak.aliases == ("candidate",)
    later = register(platform, case, make(tmp_path / "later", case, "2026-02-01", 0.6), "passed", {}, "")
    assert sorted(later.aliases) == ["candidate", "challenger"]


def test_of_two_evaluations_at_once_the_weaker_never_wins_whichever_ends_first(platform, case, tmp_path):
    """Both were held against version 1, on the same rows; one was rolled out before the other was registered."""
    register(platform, case, make(tmp_path / "v1", case, "2026-01-01"), "passed", {}, "")
    strong = make(tmp_path / "strong", case, "2026-02-01", 0.7)
    weak = make(tmp_path / "weak", case, "2026-02-01", 0.6)
    second = register(platform, case, strong, "passed", {}, "", against=1)
    platform.aliases(case.model_name).promote(second.version, served_before=1)
    platform.aliases(case.model_name).give_up(second.version)
    late = register(platform, case, weak, "passed", {}, "", against=1)
    assert late.aliases == ("candidate",)
    stronger = register(platform, case, make(tmp_path / "v4", case, "2026-02-01", 0.8), "passed", {}, "", against=1)
    assert sorted(stronger.aliases) == ["candidate", "challenger"]


def test_version_that_was_held_against_this_champion_may_be_weaker_within_the_gate(platform, case, tmp_path):
    register(platform, case, make(tmp_path / "v1", case, precision=0.7), "passed", {}, "", against=0)
    platform.aliases(case.model_name).give_up(1)
    weaker = register(platform, case, make(tmp_path / "v2", case, precision=0.69), "passed", {}, "", against=1)
    assert sorted(weaker.aliases) == ["candidate", "challenger"]


def test_first_two_versions_at_once_make_the_first_champion_and_the_weaker_no_challenger(platform, case, tmp_path):
    register(platform, case, make(tmp_path / "v1", case, precision=0.7), "passed", {}, "", against=0)
    platform.aliases(case.model_name).give_up(1)
    weaker = register(platform, case, make(tmp_path / "v2", case, precision=0.6), "passed", {}, "", against=0)
    assert weaker.aliases == ("candidate",)


def test_undecided_version_is_only_candidate_and_says_so(local, case, tmp_path):
    found = register(local, case, make(tmp_path / "a", case), "undecided", {}, "")
    assert found.aliases == ("candidate",)
    assert local.registry.version(case.model_name, 1).gate == "undecided"
    with pytest.raises(SerinError, match=r"version 1 is undecided at the gate; allowed: .* or this one with --force"):
        find(local.registry, case, 1, force=False)
    assert find(local.registry, case, 1, force=True).version == 1


def test_run_in_mlflow_holds_parameters_metrics_with_intervals_and_what_only_the_run_knows(local, case, tmp_path):
    folder = make(tmp_path / "a", case, parameters={"max_depth": 4}, average_precision_low=0.45)
    facts = {"interruptions": 2.0, "lost_seconds": 12.5}
    found = register(local, case, folder, "passed", {}, "", facts=facts)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=local.workspace.tracking_uri)
    run = client.get_run(client.get_model_version(case.model_name, str(found.version)).run_id).data
    assert run.params == {"max_depth": "4"}
    assert run.metrics == {"average_precision": 0.5, "average_precision_low": 0.45, **facts}
    tags = local.registry.version(case.model_name, found.version).tags
    assert (tags["serin.interruptions"], tags["serin.lost_seconds"], tags["serin.seed"]) == ("2", "12.5", "0")
    assert tags["serin.image"]


def test_promotion_keeps_the_old_champion_as_previous_and_can_run_twice(platform, case, tmp_path):
    aliases = enter(platform, case, tmp_path, 2)
    for _ in range(2):
        aliases.promote(2, served_before=1)
        assert held(platform, case) == {"candidate": 2, "challenger": 2, "champion": 2, "previous": 1}


@pytest.mark.parametrize("calls", [0, 1])
def test_promotion_that_was_killed_is_made_whole_by_the_next_run(calls, platform, case, tmp_path):
    aliases = enter(platform, case, tmp_path, 3)
    aliases.promote(2, served_before=1)
    with pytest.raises(KeyboardInterrupt):
        replace(aliases, registry=Interrupted(platform.registry, "set_alias", calls)).promote(3, served_before=2)
    between = held(platform, case)
    assert (between["champion"], between["previous"]) == ((2, 1) if calls == 0 else (3, 1))
    aliases.promote(3, served_before=2)
    assert held(platform, case) == {"candidate": 3, "challenger": 3, "champion": 3, "previous": 2}


def test_third_version_made_champion_meanwhile_is_a_conflict_and_nothing_moves(platform, case, tmp_path):
    aliases = enter(platform, case, tmp_path, 3)
    platform.registry.set_alias(case.model_name, "champion", 3)
    before = held(platform, case)
    with pytest.raises(ConflictError, match=r"version 3 was made champion meanwhile; allowed: 1, .* or 2,"):
        aliases.promote(2, served_before=1)
    assert held(platform, case) == before


def test_version_that_failed_in_serving_gives_up_challenger_once_and_again(platform, case, tmp_path):
    aliases = enter(platform, case, tmp_path, 2)
    for _ in range(2):
        aliases.give_up(2)
        assert held(platform, case) == {"candidate": 2, "champion": 1}


def test_giving_up_waits_for_a_version_that_is_just_entering_and_leaves_it_the_alias(local, case, tmp_path):
    aliases = enter(local, case, tmp_path, 2)
    newer = local.registry.register(make(tmp_path / "v3", case, "2026-03-01"), *_described(tmp_path / "v3"))
    inside, go_on = threading.Event(), threading.Event()

    class Slow(Interrupted):
        def _counted(self, *arguments: Any) -> Any:
            inside.set()
            assert go_on.wait(30)
            return self._registry.set_alias(*arguments)

    slow = replace(aliases, registry=Slow(local.registry, "set_alias", 0))
    entering = threading.Thread(target=slow.enter, args=(newer, "average_precision"))
    entering.start()
    assert inside.wait(30)
    giving_up = threading.Thread(target=aliases.give_up, args=(2,))
    giving_up.start()
    giving_up.join(0.5)
    assert giving_up.is_alive(), "it moved an alias that another was moving"
    go_on.set()
    entering.join()
    giving_up.join()
    assert held(local, case) == {"candidate": 3, "challenger": 3, "champion": 1}


def _described(folder: Path) -> tuple[Any, ...]:
    manifest = artifact.verify(folder)
    tags = {"serin.as_of": manifest.as_of, "serin.metrics": json.dumps(manifest.metrics)}
    return manifest, {}, tags, {}, {}


def test_many_threads_that_enter_at_once_leave_what_one_after_the_other_leaves(platform, case, tmp_path):
    strength = {1: 0.5, 2: 0.9, 3: 0.7, 4: 0.6}
    for number, precision in strength.items():
        register(platform, case, make(tmp_path / f"v{number}", case, precision=precision), "failed", {}, "")
    versions = platform.registry.versions(case.model_name)
    outcomes = []

    def run(version: Any) -> None:
        # An adapter of its own, as another process has.
        aliases = Aliases(MlflowRegistry(platform.workspace, platform.lease), platform.lease, case.model_name)
        outcomes.append(aliases.enter(version, "average_precision"))

    threads = [threading.Thread(target=run, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = held(platform, case)
    assert len(outcomes) == len(strength)
    assert found["challenger"] == 2
    assert sum("champion" in taken for taken in outcomes) == 1


ENTER = """
import sys
from pathlib import Path
from components.register.run import register
from components.rollout.run import find
from serin import artifact, use_case
from serin.platform import build

platform = build()
case = use_case.loads(Path(sys.argv[1]).read_text())
print("ready", flush=True)
sys.stdin.readline()
register(platform, case, Path(sys.argv[2]), "passed", {}, "")
"""


def test_two_processes_that_register_at_once_leave_what_one_after_the_other_leaves(local, case, tmp_path):
    (tmp_path / "case.json").write_text(use_case.dumps(case))
    variables = {**os.environ, **local.workspace.variables(), "PYTHONPATH": str(services.CHECKOUT)}
    processes = []
    for number in (1, 2):
        folder = make(tmp_path / str(number), case, f"2026-0{number}-01")
        line = [sys.executable, "-c", ENTER, str(tmp_path / "case.json"), str(folder)]
        processes.append(
            subprocess.Popen(line, env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    found = held(local, case)
    latest = max(local.registry.versions(case.model_name), key=lambda version: version.tags["serin.as_of"])
    assert found["challenger"] == latest.version
    assert set(found) == {"candidate", "challenger", "champion"}


# What can be lost


def test_version_whose_run_was_deleted_harms_no_other(platform, case, tmp_path):
    from mlflow import MlflowClient

    enter(platform, case, tmp_path, 2)
    client = MlflowClient(tracking_uri=platform.workspace.tracking_uri)
    run = client.get_model_version(case.model_name, "1").run_id
    client.delete_run(run)
    assert [version.version for version in platform.registry.versions(case.model_name)] == [2, 1]
    third = register(platform, case, make(tmp_path / "v3", case, "2026-03-01"), "passed", {}, "")
    assert "challenger" in third.aliases


def test_version_whose_run_is_gone_for_good_is_lost_where_it_is_needed_and_only_there(local, case, tmp_path):
    from mlflow import MlflowClient

    enter(local, case, tmp_path, 2)
    uri = local.workspace.tracking_uri
    run = MlflowClient(tracking_uri=uri).get_model_version(case.model_name, "1").run_id
    MlflowClient(tracking_uri=uri).delete_run(run)
    _forget(local, run)
    versions = local.registry.versions(case.model_name)
    assert [version.version for version in versions] == [2, 1]
    with pytest.raises(NotFoundError, match=rf"the artifact of {case.model_name} version 1 is lost: nothing is stored"):
        local.registry.fetch(versions[1], tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
    artifact.verify(local.registry.fetch(versions[0], tmp_path / "fetched"))


def _forget(platform: Platform, run: str) -> None:
    """What `mlflow gc` does to a deleted run: its rows and its artifacts are removed."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(platform.workspace.tracking_uri, "mlflow-artifacts:/")
    store._hard_delete_run(run)
    store.engine.dispose()
    (folder,) = Path(platform.workspace.storage).rglob(run)
    shutil.rmtree(folder)


def test_lost_champion_is_followed_by_the_next_version_that_passes(local, case, tmp_path):
    enter(local, case, tmp_path)
    _lose(local, case)
    failed = register(local, case, make(tmp_path / "bad", case, "2026-02-01"), "failed", {}, "")
    assert failed.aliases == ("candidate",)
    passed = register(local, case, make(tmp_path / "good", case, "2026-03-01"), "passed", {}, "")
    assert sorted(passed.aliases) == ["candidate", "challenger", "champion"]


def test_doctor_and_status_name_the_lost_version_that_an_alias_names(local, case, tmp_path, capsys):
    enter(local, case, tmp_path, 2)
    assert registered(local.workspace, case).found == "every version that an alias names is there"
    _lose(local, case)
    told = f"the artifact of {case.model_name} version 1 is lost: nothing is stored at "
    check = registered(local.workspace, case)
    assert (check.ok, check.what) == (False, f"model {case.model_name}")
    assert told in check.found
    assert "`serin rollout " in check.advice
    local.workspace.use_cases.mkdir(parents=True)
    (local.workspace.use_cases / f"{case.name}.yaml").write_text(use_case.dumps(case))
    status(Console(), local, case.name)
    assert told in " ".join(capsys.readouterr().out.split())


def test_doctor_names_a_registry_that_can_not_be_asked_beside_its_other_checks(local, case):
    check = registered(replace(local.workspace, tracking_uri="ftp://x"), case)
    assert not check.ok
    assert check.found.startswith("MLFLOW_TRACKING_URI is 'ftp://x'")


def _lose(platform: Platform, case: use_case.UseCase) -> None:
    shutil.rmtree(Path(platform.workspace.storage) / "mlflow" / "artifacts" / case.name)


def test_report_that_is_not_there_is_told_with_its_place(platform, case, tmp_path):
    enter(platform, case, tmp_path)
    version = platform.registry.version(case.model_name, 1)
    with pytest.raises(UnavailableError, match=rf"report.html of {case.model_name} version 1 can't be read from \w+"):
        platform.registry.report(version, "report.html")


# What can be moved


def test_copied_workspace_has_its_own_artifacts_and_not_the_originals(local, case, tmp_path):
    enter(local, case, tmp_path)
    copy = tmp_path / "a copy"
    shutil.copytree(local.workspace.root, copy)
    shutil.rmtree(local.workspace.root)
    moved = at(copy)
    champion = moved.registry.by_alias(case.model_name, "champion")
    assert artifact.verify(moved.registry.fetch(champion, tmp_path / "fetched")) == artifact.verify(tmp_path / "v1")
    assert moved.registry.storage_uri(champion).startswith((copy / ".serin" / "mlflow" / "artifacts").as_uri())
    enter(moved, case, copy, 2)
    assert not local.workspace.root.exists()


def test_local_database_holds_no_path(local, case, tmp_path):
    enter(local, case, tmp_path)
    database = Path(local.workspace.storage) / "mlflow" / "mlflow.db"
    assert str(tmp_path).encode() not in database.read_bytes()


def test_mlflow_server_over_a_local_workspace_gives_out_its_artifacts(local, case, tmp_path):
    register(local, case, make(tmp_path / "v1", case), "passed", {"report.html": "<p>well</p>"}, "")
    folder = Path(local.workspace.storage) / "mlflow"
    with services.mlflow(folder / "mlflow.db", folder / "artifacts") as uri:
        registry = at(tmp_path / "workspace", uri).registry
        champion = registry.by_alias(case.model_name, "champion")
        assert registry.report(champion, "report.html") == "<p>well</p>"
        assert artifact.verify(registry.fetch(champion, tmp_path / "f")) == artifact.verify(tmp_path / "v1")


# What does not answer or can't be written


def test_failed_upload_names_the_place_and_registers_nothing(local, case, tmp_path):
    from mlflow import MlflowClient

    place = Path(local.workspace.storage) / "mlflow" / "artifacts" / case.name
    place.parent.mkdir(parents=True)
    place.touch()
    told = rf"^nothing was registered: .* {re.escape(place.as_uri())}/.*: .*Not a directory"
    with pytest.raises(UnavailableError, match=told):
        register(local, case, make(tmp_path / "a", case), "passed", {}, "")
    client = MlflowClient(tracking_uri=local.workspace.tracking_uri)
    experiment = client.get_experiment_by_name(case.name).experiment_id
    assert [run.info.status for run in client.search_runs([experiment])] == ["FAILED"]
    assert local.registry.versions(case.model_name) == []
    place.unlink()
    assert register(local, case, tmp_path / "a", "passed", {}, "").version == 1


def test_bucket_that_is_not_there_is_named_and_nothing_is_registered(case, tmp_path, monkeypatch):
    with services.s3("serin") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        platform = at(tmp_path / "workspace")
        elsewhere = replace(platform.workspace, storage="s3://elsewhere/data")
        registry = MlflowRegistry(elsewhere, platform.lease)
        with pytest.raises(UnavailableError, match=r"^nothing was registered: .* s3://elsewhere/data/mlflow/.*NoSuchB"):
            registry.register(make(tmp_path / "a", case), *_described(tmp_path / "a"))
        assert registry.versions(case.model_name) == []
        # The experiment has its place for good; another use case gets one of its own.
        other = case.model_copy(update={"name": f"{case.name}b"})
        well = MlflowRegistry(replace(platform.workspace, storage="s3://serin/data"), platform.lease)
        version = well.register(make(tmp_path / "b", other), *_described(tmp_path / "b"))
        assert well.storage_uri(version).startswith("s3://serin/data/mlflow/artifacts/")
        assert artifact.verify(well.fetch(version, tmp_path / "fetched")) == artifact.verify(tmp_path / "b")


@pytest.mark.parametrize("scheme", ["http", "postgresql+psycopg2"])
@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_registry_that_is_away_is_told_within_ten_seconds_and_without_its_password(scheme, silent, case, tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}/mlflow"
        registry = at(tmp_path, f"{scheme}://me:secret@{address}").registry
        _import_mlflow()
        start = time.monotonic()
        with pytest.raises(UnavailableError, match=f"registry at {re.escape(scheme)}://{address} does not") as told:
            registry.versions(case.model_name)
        assert time.monotonic() - start < 10
        assert "secret" not in str(told.value)


def _import_mlflow() -> None:
    """It takes seconds, which are no waiting for the server."""
    import mlflow  # noqa: F401
    import requests  # noqa: F401
    import sqlalchemy  # noqa: F401


def test_file_that_is_no_database_is_told_with_its_path(case, tmp_path):
    file = tmp_path / "mlflow.db"
    file.write_text("certainly no database, and long enough to be read as one" * 100)
    registry = at(tmp_path / "workspace", f"sqlite:///{file}").registry
    with pytest.raises(UnavailableError, match=re.escape(str(file))):
        registry.versions(case.model_name)


def test_sqlite_file_that_is_not_there_holds_no_version_and_is_not_created(local, case):
    registry = local.registry
    assert registry.versions(case.model_name) == []
    assert registry.by_alias(case.model_name, "champion") is None
    with pytest.raises(NotFoundError, match="has no version 1; registered: none"):
        registry.version(case.model_name, 1)
    registry.delete_alias(case.model_name, "champion")
    assert not local.workspace.state.exists()
