"""A rollout between real predictors behind a real Envoy, under a light load; then which version it takes from MLflow
(on SQLite), and what it leaves there."""

import os
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.register.run import register
from components.rollout.controller import Surroundings, Update, roll_out
from components.rollout.deploy import rollout_lease, serve_champion
from components.rollout.run import roll_out_version
from components.rollout.states import RolloutState
from serin.adapters.local import processes
from serin.adapters.local.metrics import ScrapedMetrics
from serin.adapters.local.serving import LocalServing, write_status
from serin.deployments import weights_of
from serin.errors import ConflictError, NotFoundError, SerinError, UnavailableError
from serin.platform import Platform, build
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE
from serin.use_case import Rollout, Slo, Step
from serin.workspace import Workspace
from tests import services
from tests.factories import make_artifact, make_slow_artifact
from tests.integration.serving_world import CASE, TEMPLATES, Load, World, until

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


class Rolled:
    """A rollout of the artifact in `folder` as `version`, and all that it told."""

    def __init__(self, world: World, version: int, folder: Path, slo: Slo) -> None:
        self.updates: list[Update] = []
        self.promoted: list[tuple[int, int | None]] = []
        self.given_up: list[int] = []
        self._around = Surroundings(
            target=world.target,
            metrics=ScrapedMetrics(world.target),
            template=TEMPLATES.virtual_service,
            deploy=lambda number: world.deploy(number, folder),
            promote=lambda new, before: self.promoted.append((new, before)),
            give_up=self.given_up.append,
            report=self.updates.append,
            clock=lambda: datetime.now(UTC),
            sleep=time.sleep,
        )
        self._case, self._version = CASE.model_copy(update={"rollout": PLAN, "slo": slo}), version

    def run(self) -> RolloutState:
        return roll_out(self._case, self._version, self._around)


def test_a_good_version_is_promoted_and_no_request_is_lost(world: World, tmp_path: Path) -> None:
    make_artifact(tmp_path / "v2", seed=1)
    rolled = Rolled(world, 2, tmp_path / "v2", Slo(error_rate=0, latency_p95_ms=4000))
    with Load(world.port) as load:
        state = rolled.run()
        seen = load.versions["2"]
        until(lambda: load.versions["2"] >= seen + 20, "answers of version 2 after its promotion")
    assert state.phase == "Promoted"
    assert load.failed == []
    assert (rolled.promoted, rolled.given_up) == ([(2, 1)], [])
    shares = [update.weights.get("card-fraud-v2") for update in rolled.updates]
    assert sorted(set(shares), key=shares.index) == [30, 60, 100]
    assert load.versions["1"] > 0


def test_a_slow_version_is_rolled_back_and_no_request_is_lost(world: World, tmp_path: Path) -> None:
    make_slow_artifact(tmp_path / "v3")
    rolled = Rolled(world, 3, tmp_path / "v3", Slo(error_rate=0, latency_p95_ms=5))
    with Load(world.port) as load:
        state = rolled.run()
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
    assert (rolled.promoted, rolled.given_up) == ([], [3])
    assert "card-fraud-v3" not in _deployed(world.target)


def test_a_version_whose_artifact_is_lost_is_named_with_the_cause_and_the_others_answer(
    world: World, tmp_path: Path
) -> None:
    rolled = Rolled(world, 4, tmp_path / "lost", Slo())
    lost = f"card-fraud-v4 does not start (3 times): storageUri {tmp_path / 'lost'}: there is no such folder"
    with Load(world.port) as load, pytest.raises(UnavailableError, match=re.escape(lost)):
        rolled.run()
    assert load.failed == []
    assert sum(load.versions.values()) > 0
    assert "card-fraud-v4" not in _deployed(world.target)


def _deployed(target: LocalServing) -> list[str]:
    return [document["metadata"]["name"] for document in target.list(INFERENCE_SERVICE)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Versions 1, 2 and 3 are registered: the champion, the challenger, and one that failed the gate."""
    root = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    made = build(Workspace.from_variables({"SERIN_ROOT": str(root)}))
    for version, gate in ((1, "passed"), (2, "passed"), (3, "failed")):
        make_artifact(root / f"v{version}", seed=version)
        assert register(made, CASE, root / f"v{version}", gate, {}, "").version == version
    return made


@pytest.fixture
def target(platform: Platform) -> Iterator[LocalServing]:
    """A target that is being served, and where no version starts; version 2 is the challenger."""
    platform.registry.set_alias(CASE.model_name, "challenger", 2)
    made = platform.serving(CASE.model_name)
    assert isinstance(made, LocalServing)
    for version in (2, 3):
        known = {"pid": os.getpid(), "identity": processes.identity(os.getpid()), "http_port": None}
        write_status(
            made.folder, f"card-fraud-v{version}", {"ready": False, "message": "broken", "restarts": 3, **known}
        )
    with platform.lease.hold(made.controller_lease):
        yield made
    made.delete(VIRTUAL_SERVICE, "card-fraud")
    for name in _deployed(made):
        made.delete(INFERENCE_SERVICE, name)


def _alias(platform: Platform, alias: str) -> int | None:
    holder = platform.registry.by_alias(CASE.model_name, alias)
    return holder.version if holder else None


def test_a_version_that_failed_the_gate_is_refused(platform: Platform, target: LocalServing) -> None:
    with pytest.raises(SerinError, match=r"card-fraud version 3 failed the gate; allowed: .* or this one with --force"):
        roll_out_version(platform, CASE, 3, print)
    assert _deployed(target) == []


def test_a_version_that_failed_the_gate_is_deployed_by_force(platform: Platform, target: LocalServing) -> None:
    with pytest.raises(UnavailableError, match=r"card-fraud-v3 does not start \(3 times\): broken"):
        roll_out_version(platform, CASE, 3, print, force=True)
    assert _deployed(target) == []
    assert _alias(platform, "challenger") == 2


def test_a_challenger_that_does_not_start_is_not_taken_again(platform: Platform, target: LocalServing) -> None:
    with pytest.raises(UnavailableError, match=r"card-fraud-v2 does not start"):
        roll_out_version(platform, CASE, None, print)
    assert _deployed(target) == []
    assert (_alias(platform, "challenger"), _alias(platform, "champion")) == (None, 1)
    with pytest.raises(UnavailableError, match="card_fraud has no challenger: no version passed the gate since"):
        roll_out_version(platform, CASE, None, print)


def test_a_second_rollout_deploys_nothing_and_says_who_is_at_it(platform: Platform, target: LocalServing) -> None:
    locks = platform.workspace.state / "locks"
    with services.lease_holder(locks, rollout_lease(CASE)) as other:
        until(lambda: platform.lease.holder(rollout_lease(CASE)), "the other rollout")
        with pytest.raises(ConflictError, match=f"rollout-card-fraud: process {other.pid} is at it already"):
            roll_out_version(platform, CASE, None, print)
    assert _deployed(target) == []


def test_a_rollout_that_nobody_serves_deploys_nothing(platform: Platform) -> None:
    target = platform.serving(CASE.model_name)
    with pytest.raises(UnavailableError, match="nothing serves card_fraud"):
        roll_out_version(platform, CASE, None, print)
    assert target.list(INFERENCE_SERVICE) == ()


def test_the_champion_is_served_where_nothing_is(platform: Platform, target: LocalServing) -> None:
    for _ in range(2):
        serve_champion(platform, CASE)
        assert _deployed(target) == ["card-fraud-v1"]
        assert weights_of(target.get(VIRTUAL_SERVICE, "card-fraud")) == {"card-fraud-v1": 100}


def test_serving_anew_deploys_a_version_that_has_traffic_and_was_deleted(
    platform: Platform, target: LocalServing
) -> None:
    serve_champion(platform, CASE)
    target.delete(INFERENCE_SERVICE, "card-fraud-v1")
    before = target.get(VIRTUAL_SERVICE, "card-fraud")
    serve_champion(platform, CASE)
    assert _deployed(target) == ["card-fraud-v1"]
    assert target.get(VIRTUAL_SERVICE, "card-fraud") == before


def test_serving_anew_waits_for_no_rollout_that_shares_traffic(platform: Platform, target: LocalServing) -> None:
    serve_champion(platform, CASE)
    with services.lease_holder(platform.workspace.state / "locks", rollout_lease(CASE)):
        until(lambda: platform.lease.holder(rollout_lease(CASE)), "the rollout")
        serve_champion(platform, CASE)


def test_serving_a_first_version_waits_until_its_rollout_has_ended(platform: Platform, target: LocalServing) -> None:
    heard: list[str] = []
    serving = threading.Thread(target=serve_champion, args=(platform, CASE, heard.append))
    with services.lease_holder(platform.workspace.state / "locks", rollout_lease(CASE)) as other:
        until(lambda: platform.lease.holder(rollout_lease(CASE)), "the rollout")
        serving.start()
        serving.join(1.0)
        assert serving.is_alive()
        told = f"rollout-card-fraud: process {other.pid} is at it; waiting until it has ended or let go"
        assert heard == [told]
        with pytest.raises(NotFoundError):
            target.get(VIRTUAL_SERVICE, "card-fraud")
    serving.join(30)
    assert weights_of(target.get(VIRTUAL_SERVICE, "card-fraud")) == {"card-fraud-v1": 100}
