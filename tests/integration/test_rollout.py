"""A rollout between real predictors behind a real Envoy, under a light load; then which version it takes from MLflow
(on SQLite), and what it leaves there."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.register.run import give_up, register
from components.rollout.controller import Event, Surroundings, roll_out
from components.rollout.deploy import serving_target
from components.rollout.run import roll_out_version
from components.rollout.states import RolloutState
from serin.adapters.local import processes
from serin.adapters.local.lease import held
from serin.adapters.local.metrics import ScrapedMetrics
from serin.adapters.local.serving import CONTROLLER_LOCK, LocalServing, write_status
from serin.artifact import REFERENCE, seal
from serin.errors import SerinError, UnavailableError
from serin.use_case import Rollout, Slo, Step
from serin.workspace import Workspace
from tests.factories import make_artifact
from tests.integration.serving_world import CASE, ROOT, TEMPLATES, Load, World, until

pytestmark = [
    # MLflow uses interfaces of SQLAlchemy, Pydantic and others that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

PLAN = Rollout(
    steps=(Step(weight=30, pause=timedelta(seconds=1)), Step(weight=60, pause=timedelta(seconds=1))),
    interval=timedelta(seconds=1),
    min_requests=5,
    failure_limit=0,
    inconclusive_limit=20,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One version serves all traffic: 1, or 2 once it was promoted."""
    folder = tmp_path_factory.mktemp("rollout")
    made = World(folder)
    make_artifact(folder / "v1")
    made.deploy(1, folder / "v1")
    made.share({"card-fraud-v1": 100})
    made.start()
    made.await_ready(1)
    yield made
    made.close()


def _roll_out(
    world: World, version: int, slo: Slo, events: list[Event], promoted: list[int], given_up: list[int]
) -> RolloutState:
    around = Surroundings(
        target=world.target,
        metrics=ScrapedMetrics(world.target),
        template=TEMPLATES.virtual_service,
        promote=promoted.append,
        give_up=given_up.append,
        report=events.append,
        clock=lambda: datetime.now(UTC),
        sleep=time.sleep,
    )
    case = CASE.model_copy(update={"rollout": PLAN, "slo": slo})
    return roll_out(case, version, around)


def test_a_good_version_is_promoted_and_no_request_is_lost(world: World, tmp_path: Path) -> None:
    make_artifact(tmp_path / "v2", seed=1)
    world.deploy(2, tmp_path / "v2")
    events: list[Event] = []
    promoted: list[int] = []
    given_up: list[int] = []
    with Load(world.port) as load:
        state = _roll_out(world, 2, Slo(error_rate=0, latency_p95_ms=4000), events, promoted, given_up)
        seen = load.versions["2"]
        until(lambda: load.versions["2"] >= seen + 20, "answers of version 2 after its promotion")
    assert state.phase == "Promoted"
    assert load.failed == []
    assert (promoted, given_up) == ([2], [])
    shares = [event.weights.get("card-fraud-v2") for event in events]
    assert sorted(set(shares), key=shares.index) == [30, 60, 100]
    assert load.versions["1"] > 0


def test_a_slow_version_is_rolled_back_and_no_request_is_lost(world: World, tmp_path: Path) -> None:
    _make_slow_artifact(tmp_path / "v3")
    world.deploy(3, tmp_path / "v3")
    events: list[Event] = []
    promoted: list[int] = []
    given_up: list[int] = []
    with Load(world.port) as load:
        state = _roll_out(world, 3, Slo(error_rate=0, latency_p95_ms=5), events, promoted, given_up)
        status = world.target.folder / "status" / "card-fraud-v3.yaml"
        until(lambda: not status.exists(), "the end of version 3")
        good = str(state.stable).removeprefix("card-fraud-v")
        seen = load.versions[good]
        until(lambda: load.versions[good] >= seen + 20, "answers of the good version after the roll back")
    assert state.phase == "RolledBack"
    assert state.reason.startswith("failed (1) > failure_limit (0): latency_p95_ms ")
    assert state.reason.endswith(" > 5")
    assert load.failed == []
    assert load.versions["3"] > 0
    assert (promoted, given_up) == ([], [3])
    assert "card-fraud-v3" not in world.target.names("InferenceService")


def _make_slow_artifact(folder: Path) -> None:
    """A random forest of so many trees that one row takes it longer than 5 ms anywhere."""
    from sklearn.ensemble import RandomForestClassifier
    from skops import io

    manifest = make_artifact(folder, engine="sklearn", estimator="random_forest")
    reference = pq.read_table(folder / REFERENCE)
    rows = manifest.inputs.encode({name: reference[name].to_pylist() for name in manifest.inputs.names})
    forest = RandomForestClassifier(n_estimators=400, max_depth=2, random_state=0)
    score = forest.fit(rows, reference["label"].to_numpy()).predict_proba(rows)[:, 1]
    io.dump(forest, folder / "model.skops")
    place = reference.schema.get_field_index("score")
    pq.write_table(reference.set_column(place, "score", pa.array(score)), folder / REFERENCE)
    seal(folder, manifest)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Versions 1, 2 and 3 are registered: the champion, the challenger, and one that failed the gate."""
    root = tmp_path_factory.mktemp("workspace")
    for folder in ("manifests", "istio"):
        (root / folder).symlink_to(ROOT / folder)
    uri = f"sqlite:///{root / 'mlflow.db'}"
    made = replace(Workspace.from_variables({}), root=root, tracking_uri=uri, profile="local")
    for version, passed in ((1, True), (2, True), (3, False)):
        make_artifact(root / f"v{version}", seed=version)
        assert register(made, CASE, root / f"v{version}", passed, {}).version == version
    return made


@pytest.fixture
def challenger(workspace: Workspace) -> None:
    """Version 2 is the challenger again, whatever another test made of it."""
    registry = ModelRegistry(workspace)
    holder = registry.by_alias(CASE.model_name, "challenger")
    registry.move_alias(CASE.model_name, "challenger", 2, holder.version if holder else None)


@pytest.fixture
def target(workspace: Workspace, challenger: None) -> Iterator[LocalServing]:
    """A target that is being served, and where no version starts."""
    made = serving_target(workspace, CASE)
    for version in (2, 3):
        known = {"pid": os.getpid(), "identity": processes.identity(os.getpid()), "http_port": None}
        write_status(
            made.folder, f"card-fraud-v{version}", {"ready": False, "message": "broken", "restarts": 3, **known}
        )
    with held(made.folder / CONTROLLER_LOCK, "serving"):
        yield made


def _alias(workspace: Workspace, alias: str) -> int | None:
    holder = ModelRegistry(workspace).by_alias(CASE.model_name, alias)
    return holder.version if holder else None


def test_a_version_that_failed_the_gate_is_refused(workspace: Workspace, target: LocalServing) -> None:
    with pytest.raises(SerinError, match=r"card-fraud version 3 failed the gate; allowed: .* or this one with --force"):
        roll_out_version(workspace, CASE, 3, print)
    assert target.names("InferenceService") == ()


def test_a_version_that_failed_the_gate_is_deployed_by_force(workspace: Workspace, target: LocalServing) -> None:
    with pytest.raises(UnavailableError, match=r"card-fraud-v3 does not start \(3 times\): broken"):
        roll_out_version(workspace, CASE, 3, print, force=True)
    assert target.names("InferenceService") == ()
    assert _alias(workspace, "challenger") == 2


def test_a_challenger_that_does_not_start_is_not_taken_again(workspace: Workspace, target: LocalServing) -> None:
    with pytest.raises(UnavailableError, match=r"card-fraud-v2 does not start"):
        roll_out_version(workspace, CASE, None, print)
    assert target.names("InferenceService") == ()
    assert (_alias(workspace, "challenger"), _alias(workspace, "champion")) == (None, 1)
    with pytest.raises(UnavailableError, match="card_fraud has no challenger: no version passed the gate since"):
        roll_out_version(workspace, CASE, None, print)


def test_giving_up_another_version_leaves_the_challenger(workspace: Workspace, challenger: None) -> None:
    give_up(workspace, CASE, 1)
    assert _alias(workspace, "challenger") == 2


def test_giving_up_the_challenger_can_be_repeated(workspace: Workspace, challenger: None) -> None:
    for _ in range(2):
        give_up(workspace, CASE, 2)
        assert _alias(workspace, "challenger") is None
