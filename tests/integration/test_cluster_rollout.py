"""Rollouts on a cluster, over HTTP against the stand-in API server. `make cluster-test` runs the same scenarios against
a real one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serin.adapters.cluster.api import Api
from serin.errors import ConflictError
from serin.ports import VIRTUAL_SERVICE
from tests import kubernetes_api
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
def api(tmp_path: Path) -> Iterator[Api]:
    with kubernetes_api.running(tmp_path) as (_, kubeconfig):
        yield Api(kubeconfig=kubeconfig)


def test_a_good_version_is_promoted_and_every_write_is_serins(api: Api) -> None:
    with served(api) as world, KServeStandIn(api):
        assert world.roll_out(2) == "Promoted"
        assert world.end() == PROMOTED
        assert managers(world.target.get(VIRTUAL_SERVICE, MODEL)) == {("serin", "Apply")}


def test_a_version_with_errors_is_rolled_back_and_removed(api: Api) -> None:
    with served(api, error_share=0.3) as world, KServeStandIn(api):
        assert world.roll_out(2) == "RolledBack"
        assert world.end() == ROLLED_BACK


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("error_share", "wanted"), [(0.0, PROMOTED), (0.3, ROLLED_BACK)])
def test_a_rollout_killed_at_any_write_ends_as_one_that_was_not(api: Api, error_share, wanted, after) -> None:
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
        with pytest.raises(
            ConflictError, match=r"changed by somebody else: \.spec\.hosts \(conflict with \"kubectl-edit"
        ):
            world.roll_out(2)
