"""From the recurring runs that there are to those that are wanted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.schedules.reconcile import changes, plan
from serin.ports import Recurrence, RecurringRun

TRAINING = Recurrence("fraud", "training", "0 3 * * 1", "serin-training-aa", {"use_case": "fraud-1"}, "serin-pipeline")
DRIFT = replace(TRAINING, schedule="drift", cron="30 4 * * *", version="serin-retraining-bb", account="serin-drift")
CASES = {"fraud"}


def run(number: int, recurrence: Recurrence | None, *, enabled: bool = True) -> RecurringRun:
    """A recurring run; a higher number was made later."""
    created = datetime(2026, 11, 25, tzinfo=UTC) + timedelta(hours=number)
    return RecurringRun(f"id-{number}", f"run-{number}", enabled, created, recurrence)


def written(wanted, found, cases=CASES) -> list[tuple[str, str]]:
    return [(one.verb, one.run.name if one.run else one.key[1]) for one in plan(wanted, found, cases)]


def test_what_is_not_there_is_created():
    assert written([TRAINING, DRIFT], []) == [("create", "training"), ("create", "drift")]


def test_what_is_there_as_wanted_is_left_alone():
    assert written([TRAINING, DRIFT], [run(1, TRAINING), run(2, DRIFT)]) == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"cron": "0 4 * * 1"}, "cron: 0 3 * * 1 -> 0 4 * * 1"),
        ({"version": "serin-training-cc"}, "version: serin-training-aa -> serin-training-cc"),
        (
            {"parameters": {"use_case": "fraud-2"}},
            "parameters: {'use_case': 'fraud-1'} -> {'use_case': 'fraud-2'}",
        ),
        ({"account": "other"}, "account: serin-pipeline -> other"),
        ({"at_a_time": 2}, "at a time: 1 -> 2"),
        ({"catches_up": True}, "catches up: False -> True"),
    ],
)
def test_change_makes_a_new_one_first_and_disables_the_old_one_after(changed, why):
    actions = plan([replace(TRAINING, **changed)], [run(1, TRAINING)], CASES)
    assert [(one.verb, one.why) for one in actions] == [("create", why), ("disable", "replaced")]


def test_schedule_that_left_the_use_case_is_disabled():
    (action,) = plan([TRAINING], [run(1, TRAINING), run(2, DRIFT)], CASES)
    assert (action.verb, action.run.name, action.why) == ("disable", "run-2", "no longer in the use case")


def test_apply_that_was_killed_after_it_created_is_finished():
    new = replace(TRAINING, cron="0 4 * * 1")
    assert written([new], [run(1, TRAINING), run(2, new)]) == [("disable", "run-1")]


def test_of_two_that_are_as_wanted_the_older_stays():
    found = [run(2, TRAINING), run(1, TRAINING)]
    assert written([TRAINING], found) == [("disable", "run-2")]
    (action,) = plan([TRAINING], found, CASES)
    assert action.why == "there are two"


def test_what_was_disabled_is_deleted_last():
    new = replace(TRAINING, cron="0 4 * * 1")
    found = [run(1, TRAINING, enabled=False), run(2, DRIFT)]
    assert written([new], found) == [("create", "training"), ("disable", "run-2"), ("delete", "run-1")]


def test_disabled_one_that_is_as_wanted_is_replaced_and_never_enabled_again():
    (create, delete) = plan([TRAINING], [run(1, TRAINING, enabled=False)], CASES)
    assert (create.verb, create.why) == ("create", "the one there is disabled")
    assert delete.verb == "delete"


def test_deleting_what_is_disabled_is_no_change():
    actions = plan([TRAINING], [run(1, DRIFT, enabled=False), run(2, TRAINING)], CASES)
    assert [one.verb for one in actions] == ["delete"]
    assert changes(actions) == ()


def test_those_of_others_and_of_other_use_cases_are_left_alone():
    found = [run(1, None), run(2, replace(DRIFT, use_case="churn")), run(3, None, enabled=False)]
    assert written([], found) == []
    assert written([], found, {"churn"}) == [("disable", "run-2")]


def test_plan_carried_out_leaves_nothing_to_do():
    new = replace(TRAINING, cron="0 4 * * 1")
    found = [run(1, TRAINING), run(2, TRAINING), run(3, DRIFT), run(4, DRIFT, enabled=False)]
    after = [*(replace(each, enabled=False) for each in found), run(5, new)]
    assert changes(plan([new], after, CASES)) == ()
