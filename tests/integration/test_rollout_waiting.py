"""Rollouts by the clock: what waits is rolled out, and that nothing does is a good end."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.register.run import register
from components.rollout.controller import ANNOTATION
from components.rollout.deploy import rollout_lease
from components.rollout.states import RolloutState
from components.rollout.waiting import Idle, roll_out_waiting
from serin.adapters.local.serving import LocalServing
from serin.deployments import inference_service, virtual_service
from serin.errors import ConflictError, UnavailableError
from serin.platform import Platform, build
from serin.ports import VIRTUAL_SERVICE
from serin.workspace import Workspace
from tests import services
from tests.factories import make_artifact
from tests.integration.serving_world import CASE

pytestmark = [
    # MLflow uses interfaces of SQLAlchemy, Pydantic and others that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
NOBODY = "nothing serves card_fraud on this machine"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """A workspace in which version 1 is champion, challenger and candidate, and nobody serves."""
    root = services.workspace_copy(tmp_path / "workspace")
    made = build(Workspace.from_variables({"SERIN_ROOT": str(root)}))
    _train(made, 1)
    return made


def _train(platform: Platform, version: int) -> None:
    folder = platform.workspace.root / f"v{version}"
    make_artifact(folder, seed=version)
    assert register(platform, CASE, folder, "passed", {}, "").version == version


def _serve(platform: Platform, weights: dict[str, int], state: RolloutState | None = None) -> None:
    target = platform.serving("card-fraud")
    assert isinstance(target, LocalServing)
    for name in weights:
        version = int(name.rpartition("v")[2])
        target.create(inference_service(CASE, version, "file:///nowhere", platform.templates.inference_service))
    document = virtual_service(CASE, weights, platform.templates.virtual_service)
    if state:
        document["metadata"]["annotations"] = {ANNOTATION: state.model_dump_json()}
    target.create(document)


def _idle(platform: Platform) -> str:
    ended = roll_out_waiting(platform, CASE, print)
    assert isinstance(ended, Idle)
    return ended.reason


def test_first_version_is_served_by_hand_and_waits_for_no_rollout(platform: Platform) -> None:
    assert _idle(platform) == "no challenger waits: v1 is the champion, and nothing is served yet"


def test_challenger_that_has_all_traffic_does_not_wait(platform: Platform) -> None:
    _serve(platform, {"card-fraud-v1": 100})
    assert _idle(platform) == "no challenger waits: v1 has all traffic already"


def test_challenger_that_was_given_up_does_not_wait(platform: Platform) -> None:
    _serve(platform, {"card-fraud-v1": 100})
    _train(platform, 2)
    platform.aliases("card-fraud").give_up(2)
    assert _idle(platform) == "no challenger waits"


def test_challenger_that_was_replaced_by_hand_does_not_wait(platform: Platform) -> None:
    _train(platform, 2)
    aliases = platform.aliases("card-fraud")
    aliases.promote(2, 1)
    aliases.promote(1, 2)
    _serve(platform, {"card-fraud-v1": 100})
    assert _idle(platform) == "no challenger waits"


def test_rollout_that_somebody_is_at_is_left_to_them(platform: Platform) -> None:
    _serve(platform, {"card-fraud-v1": 100})
    _train(platform, 2)
    locks = platform.workspace.state / "locks"
    with services.lease_holder(locks, rollout_lease(CASE)) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        told = f"a rollout is under way: rollout-card-fraud: process {other.pid} is at it already"
        assert _idle(platform).startswith(told)


def test_new_challenger_is_rolled_out_and_fails_where_nobody_serves(platform: Platform) -> None:
    _serve(platform, {"card-fraud-v1": 100})
    _train(platform, 2)
    with pytest.raises(UnavailableError, match=NOBODY):
        roll_out_waiting(platform, CASE, print)


def test_interrupted_rollout_goes_on_although_there_is_a_newer_challenger(platform: Platform) -> None:
    _train(platform, 2)
    state = RolloutState(
        phase="Promoted", canary="card-fraud-v2", stable="card-fraud-v1", step_started=datetime.now(UTC)
    )
    _serve(platform, {"card-fraud-v2": 100}, state)
    _train(platform, 3)
    target = platform.serving("card-fraud")
    assert isinstance(target, LocalServing)
    with platform.lease.hold(target.controller_lease):
        ended = roll_out_waiting(platform, CASE, print)
    assert isinstance(ended, RolloutState)
    assert (ended.canary, ended.phase, ended.settled) == ("card-fraud-v2", "Promoted", True)
    champion = platform.registry.by_alias("card-fraud", "champion")
    assert champion
    assert champion.version == 2


def test_rollout_state_that_somebody_else_wrote_is_an_error(platform: Platform) -> None:
    _serve(platform, {"card-fraud-v1": 100})
    target = platform.serving("card-fraud")
    document = target.get(VIRTUAL_SERVICE, "card-fraud")
    document["metadata"]["annotations"] = {ANNOTATION: "{}"}
    target.replace(document)
    with pytest.raises(ConflictError, match="the rollout state can't be read"):
        roll_out_waiting(platform, CASE, print)
