"""Recurring runs brought to what a use case says, against a stand-in of Kubeflow's API server over HTTP."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.schedules.reconcile import Action, changes, plan
from pipelines.schedules.recurring import carry_out, take_back, wanted
from serin import use_case
from serin.adapters.cluster.endpoints import Endpoints
from serin.adapters.cluster.kfp import Kubeflow
from serin.adapters.cluster.pipelines import ACCOUNTS
from serin.adapters.cluster.recurring import KubeflowRecurringRuns
from serin.errors import ConflictError, NotFoundError, UnavailableError, UseCaseError
from serin.platform import reference_of
from serin.use_case import Schedules, UseCase
from serin.workspace import Workspace
from tests.kfp_server import Fault, KfpServer, kfp_server

SHIPPED = use_case.load("card_fraud", Workspace.from_variables({}).use_cases)
TWO: dict[str, Any] = {"drift": {"cron": "30 4 * * *"}, "rollout": {"cron": "*/15 * * * *"}}
RECURRING = "/apis/v2beta1/recurringruns"


def case(schedules: Mapping[str, Any] = TWO, **changes: Any) -> UseCase:
    return SHIPPED.model_copy(update={"schedules": Schedules.model_validate(schedules), **changes})


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Team:
    """Somebody with a checkout, who applies its use case to a Kubeflow; killed at a write if so asked."""

    def __init__(self, server: KfpServer, endpoints: Endpoints) -> None:
        self.server = server
        self.prepared = 0
        self.published: list[UseCase] = []
        self.told: list[tuple[Action, tuple[str, ...]]] = []
        self.kubeflow = Kubeflow(endpoints)
        self.recurring = KubeflowRecurringRuns(self.kubeflow, ACCOUNTS, self._prepare)

    def apply(self, of: UseCase) -> list[str]:
        done = carry_out(self.recurring, wanted(self.recurring, of), [of.name], self.published.append, self._tell)
        return [f"{one.verb} {one.key[1]}" for one in done]

    def diff(self, of: UseCase) -> list[str]:
        goal = [each.recurrence for each in wanted(self.recurring, of)]
        return [f"{one.verb} {one.key[1]}" for one in changes(plan(goal, self.recurring.found(), [of.name]))]

    def remove(self, name: str) -> list[str]:
        return [f"{one.verb} {one.key[1]}" for one in take_back(self.recurring, [name], self._tell)]

    def die_at(self, write: int, *, after: bool) -> None:
        """Die right before the request of a number that writes something, or right after it."""
        call, left = self.kubeflow.call, [write]

        def dying(doing: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            writes = doing.split()[0] in ("create", "disable", "delete", "take")
            left[0] -= writes
            if writes and left[0] == 0 and not after:
                raise KilledError
            answer = call(doing, method, *args, **kwargs)
            if writes and left[0] == 0:
                raise KilledError
            return answer

        self.kubeflow.call = dying  # type: ignore[method-assign]

    def enabled(self) -> dict[str, str]:
        """The times of the enabled recurring runs by what their marks say, which must differ."""
        found = [one for one in self.server.recurring_runs.values() if one.mode == "ENABLE"]
        marks = [one.description.splitlines()[-1] for one in found]
        assert len(set(marks)) == len(marks), "two of the same schedule are enabled"
        return {mark: one.trigger.cron_schedule.cron for mark, one in zip(marks, found, strict=True)}

    def _prepare(self) -> None:
        self.prepared += 1

    def _tell(self, one: Action, in_flight: Any) -> None:
        self.told.append((one, tuple(in_flight)))


@pytest.fixture
def server() -> Iterator[KfpServer]:
    with kfp_server() as made:
        yield made


@pytest.fixture
def team(server: KfpServer) -> Team:
    return another(server)


def another(server: KfpServer) -> Team:
    return Team(server, Endpoints.from_variables({"SERIN_KFP_HOST": server.url}))


def test_what_is_made_is_what_the_use_case_says(team: Team, server: KfpServer) -> None:
    shipped = SHIPPED.model_copy(update={"schedules": Schedules.model_validate(
        {"training": {"cron": "0 3 * * 7", "data": "s3://lake/events"}}
    )})  # fmt: skip
    assert team.apply(shipped) == ["create training"]
    (made,) = server.recurring_runs.values()
    version = server.versions[made.pipeline_version_reference.pipeline_version_id]
    assert made.trigger.cron_schedule.cron == "0 0 3 * * 0"
    assert (made.mode, made.no_catchup, made.max_concurrency) == ("ENABLE", True, "1")
    assert made.service_account == "serin-pipeline"
    assert made.runtime_config.parameters["data"] == "s3://lake/events"
    assert made.runtime_config.parameters["use_case"].startswith("card_fraud-")
    assert version.name.startswith("serin-training-")
    assert server.experiments[made.experiment_id].display_name == "card_fraud"
    assert made.display_name.startswith("card-fraud-training-")
    assert "0 3 * * 0 UTC, as its use case has it in Git" in made.description
    assert team.prepared == 1


def test_every_pipeline_runs_as_the_account_that_may_do_its_work(team: Team, server: KfpServer) -> None:
    team.apply(SHIPPED)
    accounts = {one.display_name.split("-")[2]: one.service_account for one in server.recurring_runs.values()}
    assert accounts == {
        "training": "serin-pipeline",
        "drift": "serin-drift",
        "materialisation": "serin-drift",
        "rollout": "serin-rollout",
    }


def test_second_apply_writes_nothing_whoever_makes_it(team: Team, server: KfpServer) -> None:
    team.apply(case())
    before = len(server.requests)
    assert team.diff(case()) == []
    assert another(server).apply(case()) == []
    assert {request.method for request in server.requests[before:]} == {"GET"}


def test_the_use_case_is_published_for_what_is_created(team: Team, server: KfpServer) -> None:
    team.apply(case())
    second = another(server)
    second.apply(case())
    assert (len(team.published), second.published, team.prepared, second.prepared) == (2, [], 1, 0)
    given = {one.runtime_config.parameters["use_case"] for one in server.recurring_runs.values()}
    assert given == {reference_of(published) for published in team.published}


def test_changed_time_replaces_that_schedule_alone(team: Team, server: KfpServer) -> None:
    team.apply(case())
    changed = case(TWO | {"drift": {"cron": "45 4 * * *"}})
    assert team.diff(changed) == ["create drift", "disable drift"]
    assert team.apply(changed) == ["create drift", "disable drift"]
    assert team.enabled() == {
        "serin/schedule=card_fraud/drift": "0 45 4 * * *",
        "serin/schedule=card_fraud/rollout": "0 */15 * * * *",
    }
    assert team.diff(changed) == []


def test_changed_use_case_replaces_every_schedule(team: Team) -> None:
    team.apply(case())
    changed = case(drift=SHIPPED.drift.model_copy(update={"min_rows": 5000}))
    assert team.apply(changed) == ["create drift", "disable drift", "create rollout", "disable rollout"]


def test_what_was_replaced_is_deleted_by_the_next_apply_once_its_runs_have_ended(team: Team, server: KfpServer) -> None:
    team.apply(case())
    old = next(one for one in server.recurring_runs.values() if "drift" in one.display_name)
    run = server.fire(old.recurring_run_id)
    changed = case(TWO | {"drift": {"cron": "45 4 * * *"}})
    team.apply(changed)
    assert team.told[-1][1] == (run.display_name,)
    assert team.apply(changed) == []
    assert (run.state, old.recurring_run_id in server.recurring_runs) == ("RUNNING", True)
    run.state = "SUCCEEDED"
    assert team.apply(changed) == ["delete drift"]
    assert run.state == "SUCCEEDED"
    assert old.recurring_run_id not in server.recurring_runs
    assert team.apply(changed) == []


@pytest.mark.parametrize("state", ["PENDING", "PAUSED", "CANCELING", "RUNTIME_STATE_UNSPECIFIED"])
def test_run_that_has_not_ended_is_in_flight_whatever_its_state(team: Team, server: KfpServer, state: str) -> None:
    team.apply(case())
    (one, *_) = server.recurring_runs.values()
    server.fire(one.recurring_run_id, "FAILED")
    waiting = server.fire(one.recurring_run_id, state)
    (found,) = [run for run in team.recurring.found() if run.id == one.recurring_run_id]
    assert team.recurring.in_flight(found) == (waiting.display_name,)


def test_schedule_that_left_the_use_case_is_disabled_and_then_deleted(team: Team) -> None:
    team.apply(case())
    less = case({"drift": TWO["drift"]})
    assert team.apply(less) == ["disable rollout"]
    assert team.apply(less) == ["delete rollout"]


def test_one_that_was_disabled_by_hand_is_made_anew(team: Team, server: KfpServer) -> None:
    team.apply(case({"drift": TWO["drift"]}))
    (one,) = server.recurring_runs.values()
    one.mode = "DISABLE"
    assert team.apply(case({"drift": TWO["drift"]})) == ["create drift", "delete drift"]


@pytest.mark.parametrize(
    "change",
    [
        lambda one: setattr(one.trigger.cron_schedule, "cron", "0 0 5 * * *"),
        lambda one: setattr(one.trigger.cron_schedule, "cron", "7 30 4 * * *"),
        lambda one: setattr(one.trigger.cron_schedule, "end_time", one.created_at),
        lambda one: setattr(one, "runtime_config", None),
        lambda one: setattr(one, "service_account", "default"),
        lambda one: setattr(one, "max_concurrency", "10"),
        lambda one: setattr(one, "no_catchup", None),
        lambda one: setattr(one, "pipeline_version_reference", None),
    ],
)
def test_clone_that_somebody_changed_is_replaced_although_it_has_the_mark(
    team: Team, server: KfpServer, change: Callable[[Any], None]
) -> None:
    team.apply(case({"drift": TWO["drift"]}))
    (one,) = server.recurring_runs.values()
    change(one)
    assert team.apply(case({"drift": TWO["drift"]})) == ["create drift", "disable drift"]


def test_recurring_run_whose_version_was_deleted_is_replaced(team: Team, server: KfpServer) -> None:
    team.apply(case({"drift": TWO["drift"]}))
    server.versions.clear()
    assert another(server).apply(case({"drift": TWO["drift"]})) == ["create drift", "disable drift"]


def test_those_of_others_and_of_other_use_cases_are_left_alone(team: Team, server: KfpServer) -> None:
    team.apply(case())
    other = SHIPPED.model_copy(update={"name": "other", "schedules": Schedules.model_validate(TWO)})
    team.apply(other)
    for one in list(server.recurring_runs.values())[:1]:
        one.description = "by hand"
    assert team.remove("card_fraud") == ["disable rollout", "delete rollout"]
    assert len(server.recurring_runs) == 3
    assert [run.recurrence is None for run in team.recurring.found()] == [True, False, False]


def test_remove_deletes_what_has_no_run_in_flight_and_finishes_later(team: Team, server: KfpServer) -> None:
    team.apply(case())
    (first, _) = server.recurring_runs.values()
    run = server.fire(first.recurring_run_id)
    assert team.remove("card_fraud") == ["disable drift", "disable rollout", "delete rollout"]
    assert run.state == "RUNNING"
    assert team.enabled() == {}
    run.state = "FAILED"
    assert team.remove("card_fraud") == ["delete drift"]
    assert server.recurring_runs == {}
    assert team.remove("card_fraud") == []


# A changed drift schedule, one schedule less and one more: versions are uploaded, recurring runs made and disabled.
WRITES = 6


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, WRITES + 1))
def test_apply_that_is_killed_at_any_write_is_finished_by_the_next(server: KfpServer, write: int, after: bool) -> None:
    first, dying, next_one = another(server), another(server), another(server)
    first.apply(case())
    goal = case({"drift": {"cron": "45 4 * * *"}, "materialisation": {"cron": "5 * * * *"}})
    dying.die_at(write, after=after)
    with pytest.raises(KilledError):
        dying.apply(goal)
    next_one.apply(goal)
    assert next_one.enabled() == {
        "serin/schedule=card_fraud/drift": "0 45 4 * * *",
        "serin/schedule=card_fraud/materialisation": "0 5 * * * *",
    }
    assert next_one.diff(goal) == []
    next_one.apply(goal)
    assert len(server.recurring_runs) == 2
    assert next_one.apply(goal) == []


def test_an_apply_has_as_many_writes_as_are_killed_above(server: KfpServer) -> None:
    another(server).apply(case())
    team = another(server)
    team.die_at(WRITES + 1, after=False)
    team.apply(case({"drift": {"cron": "45 4 * * *"}, "materialisation": {"cron": "5 * * * *"}}))


def test_answer_that_is_lost_is_an_error_and_the_next_apply_finds_what_was_made(team: Team, server: KfpServer) -> None:
    server.faults.append(Fault("POST", RECURRING, drop=True, done=True))
    with pytest.raises(UnavailableError, match="can't be asked to create the recurring run card-fraud-drift-"):
        team.apply(case())
    assert team.apply(case()) == ["create rollout"]
    assert len(team.enabled()) == 2


def test_of_two_applies_at_once_one_stays(server: KfpServer) -> None:
    one, other = another(server), another(server)
    create = one.recurring.create

    def slowly(*args: Any) -> str:
        other.apply(case({"drift": TWO["drift"]}))
        return create(*args)

    one.recurring.create = slowly  # type: ignore[method-assign]
    assert one.apply(case({"drift": TWO["drift"]})) == ["create drift", "disable drift"]
    assert len(one.enabled()) == 1


def test_backend_that_keeps_it_otherwise_is_told(team: Team, server: KfpServer) -> None:
    find = team.recurring.found
    team.recurring.found = lambda: tuple(  # type: ignore[method-assign]
        replace(run, recurrence=run.recurrence and replace(run.recurrence, account="default")) for run in find()
    )
    told = "recurring run of drift of card_fraud is not as it was just made: account: default -> serin-drift"
    with pytest.raises(ConflictError, match=told):
        team.apply(case({"drift": TWO["drift"]}))


def test_path_of_one_machine_is_refused_before_anything_is_asked(team: Team, server: KfpServer) -> None:
    told = (
        "card_fraud: schedules.drift.data is 't.csv', a path of one machine; allowed on a cluster: a URI, such as s3:"
    )
    with pytest.raises(UseCaseError, match=told):
        team.apply(case({"drift": {"cron": "0 4 * * *", "data": "t.csv"}}))
    assert server.requests == []


def test_many_recurring_runs_are_read_over_all_pages(team: Team, server: KfpServer) -> None:
    team.apply(case({"drift": TWO["drift"]}))
    (one,) = server.recurring_runs.values()
    made = type(one)(**{name: getattr(one, name) for name in one.openapi_types})
    made.description = "by hand"
    for number in range(150):
        server.recurring_runs = {f"r-{number}": made, **server.recurring_runs}
    assert len(team.recurring.found()) == 151
    assert team.diff(case({"drift": TWO["drift"]})) == []


def test_one_that_is_gone_by_then_is_no_error(team: Team, server: KfpServer) -> None:
    team.apply(case())
    found = team.recurring.found()
    server.recurring_runs.clear()
    for run in found:
        team.recurring.disable(run)
        team.recurring.delete(run)


def test_namespace_of_many_users_is_asked_and_written_to(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    ann = "system:serviceaccount:serin:ann"
    variables = {"SERIN_KFP_NAMESPACE": "serin", "SERIN_KFP_TOKEN_FILE": str(token)}
    with kfp_server(multi_user=True, tokens={"t": ann}, rights={ann: {"serin"}}) as server:
        team = Team(server, Endpoints.from_variables(variables | {"SERIN_KFP_HOST": server.url}))
        assert team.apply(case()) == ["create drift", "create rollout"]
        (one, *_) = server.recurring_runs.values()
        server.fire(one.recurring_run_id)
        assert team.remove("card_fraud") == ["disable drift", "disable rollout", "delete rollout"]
        assert {one.namespace for one in server.recurring_runs.values()} == {"serin"}


def test_missing_right_is_told(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    variables = {"SERIN_KFP_NAMESPACE": "serin", "SERIN_KFP_TOKEN_FILE": str(token)}
    with kfp_server(multi_user=True, tokens={"t": "bob"}, rights={}) as server:
        team = Team(server, Endpoints.from_variables(variables | {"SERIN_KFP_HOST": server.url}))
        told = r"asked to list the recurring runs, does not allow it \(403\): bob may not list jobs"
        with pytest.raises(UnavailableError, match=told):
            team.apply(case())


def test_nothing_there_is_told_by_its_name(team: Team, server: KfpServer) -> None:
    server.faults.append(Fault("GET", RECURRING, status=404, body="{}"))
    with pytest.raises(NotFoundError, match="asked to list the recurring runs, found nothing"):
        team.recurring.found()
