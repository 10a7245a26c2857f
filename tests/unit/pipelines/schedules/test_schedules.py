"""Which pipeline a schedule runs, and with what."""

from pathlib import Path

import pytest

from pipelines.catalogue import pipelines
from pipelines.schedules import PIPELINES, scheduled, without_schedules
from serin import use_case
from serin.workspace import Workspace

CASE = use_case.load("card_fraud", Workspace.from_variables({}).use_cases)


def with_schedules(**schedules):
    return CASE.model_copy(update={"schedules": use_case.Schedules.model_validate(schedules)})


def test_shipped_use_cases_run_everything_by_itself():
    names = [path.stem for path in Path(Workspace.from_variables({}).use_cases).glob("*.yaml")]
    assert {"card_fraud", "bank_churn"} <= set(names)
    for name in names:
        case = use_case.load(name, Workspace.from_variables({}).use_cases)
        assert [each.name for each in scheduled(case)] == ["materialisation", "drift", "training", "rollout"]


def test_what_a_use_case_does_not_schedule_does_not_run():
    (only,) = scheduled(with_schedules(drift={"cron": "0 4 * * *"}))
    assert (only.title, only.pipeline) == ("drift of card_fraud", "retraining")


@pytest.mark.parametrize("name", PIPELINES)
def test_arguments_are_parameters_of_the_pipeline(name):
    (each,) = scheduled(with_schedules(**{name: {"cron": "0 4 * * *"}}))
    taken = pipelines()[each.pipeline].component_spec.inputs
    arguments = each.arguments("card_fraud-0123")
    assert arguments.keys() <= taken.keys()
    assert arguments["use_case"] == "card_fraud-0123"


def test_rollout_by_the_clock_takes_what_waits_and_nothing_else():
    (each,) = scheduled(with_schedules(rollout={"cron": "*/15 * * * *"}))
    assert each.arguments("c") == {"use_case": "c", "if_waiting": True}


def test_table_of_a_schedule_is_handed_over():
    (each,) = scheduled(with_schedules(materialisation={"cron": "5 * * * *", "data": "s3://lake/events"}))
    assert each.arguments("c") == {"use_case": "c", "data": "s3://lake/events"}


def test_changed_time_leaves_the_use_case_that_a_run_is_given_as_it_is():
    other = with_schedules(training={"cron": "0 5 * * *"})
    assert other != CASE
    assert without_schedules(other) == without_schedules(CASE)
