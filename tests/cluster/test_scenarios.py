"""The scenarios that the quick tests run against a stand-in of the API server, against a real one; in a namespace of
their own, where the stand-in for KServe is that of the scenarios."""

import pytest

from serin.adapters.cluster.api import Api
from serin.errors import ConflictError
from serin.ports import VIRTUAL_SERVICE
from tests.cluster.world import World
from tests.cluster_scenarios import (
    MODEL,
    PROMOTED,
    ROLLED_BACK,
    Killed,
    KServeStandIn,
    edit,
    failing,
    killed_between_any_two_writes,
    managers,
    says_why,
    served,
)


@pytest.fixture
def api(world: World) -> Api:
    world.plane.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "scenarios"}})
    return Api("scenarios", world.plane.admin)


def test_a_good_version_is_promoted_and_every_write_is_serins(api: Api) -> None:
    with served(api) as world, KServeStandIn(api):
        assert world.roll_out(2) == "Promoted"
        assert world.end() == PROMOTED
        assert managers(world.target.get(VIRTUAL_SERVICE, MODEL)) == {("serin", "Apply")}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("error_share", "wanted"), [(0.0, PROMOTED), (0.3, ROLLED_BACK)])
def test_a_rollout_killed_at_any_write_ends_as_one_that_was_not(
    api: Api, error_share: float, wanted: tuple[object, ...], after: bool
) -> None:
    assert killed_between_any_two_writes(api, error_share, wanted, after=after) >= 5


def test_a_version_that_the_controller_can_not_follow_is_not_waited_for(api: Api) -> None:
    told = says_why(api, failing("RuntimeNotRecognized", "serving runtime x is not known"))
    assert told == f"{MODEL}-v2 can't get ready: RuntimeNotRecognized: serving runtime x is not known"


def test_a_rollout_stops_where_somebody_else_moved_the_traffic(api: Api) -> None:
    with served(api) as world, KServeStandIn(api):
        world.kill_at(2)
        with pytest.raises(Killed):
            world.roll_out(2)
        edit(api, VIRTUAL_SERVICE, MODEL, {"spec": {"hosts": ["elsewhere"]}}, "kubectl-edit")
        world.kill_at(-5)
        with pytest.raises(ConflictError, match=r"changed by somebody else: \.spec\.hosts"):
            world.roll_out(2)
