"""When schedules are due, by a clock that is passed in."""

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.schedules import Scheduled
from pipelines.schedules.due import agenda, following, passed
from serin import use_case
from serin.use_case import Schedule
from serin.workspace import Workspace

CASE = use_case.load("card_fraud", Workspace.from_variables({}).use_cases)
NOW = datetime(2026, 11, 25, 17, 3, 20, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def each(cron: str, name: str = "drift") -> Scheduled:
    return Scheduled(CASE, name, Schedule(cron=cron))


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}+00:00")


@pytest.mark.parametrize(
    ("cron", "moment", "due"),
    [
        ("0 * * * *", NOW, at("25T18:00")),
        ("0 * * * *", at("25T18:00"), at("25T19:00")),
        ("3 17 * * *", NOW, at("26T17:03")),
        ("0 3 * * 1", NOW, at("30T03:00")),
    ],
)
def test_following_time_is_after_the_moment(cron, moment, due):
    assert following(cron, moment) == due


def test_times_that_passed_are_counted_without_the_first_and_with_the_last():
    assert passed("0 * * * *", at("25T18:00"), at("25T18:00")) == 0
    assert passed("0 * * * *", at("25T18:00"), at("25T21:00")) == 3
    assert passed("0 * * * *", at("25T18:00"), at("25T20:59")) == 2


def test_count_of_a_clock_that_was_years_behind_ends():
    assert passed("* * * * *", NOW - timedelta(days=3650), NOW) == 1000


def test_agenda_begins_with_the_next_time_and_makes_up_for_nothing():
    plan = agenda([each("0 * * * *")], NOW)
    assert plan.next() == at("25T18:00")
    assert plan.due(at("25T17:59")) is None


def test_schedule_is_due_at_its_time_and_next_after_it_was_started():
    plan = agenda([each("0 * * * *")], NOW)
    due = plan.due(at("25T18:00"))
    assert due
    assert (due.since, due.missed) == (at("25T18:00"), 0)
    assert plan.started(due, at("25T18:00")).next() == at("25T19:00")


def test_machine_that_slept_runs_once_and_counts_what_it_missed():
    plan = agenda([each("0 * * * *")], NOW)
    woke = at("26T06:30")
    due = plan.due(woke)
    assert due
    assert (due.since, due.missed) == (at("25T18:00"), 12)
    after = plan.started(due, woke)
    assert after.due(woke) is None
    assert after.next() == at("26T07:00")


def test_time_that_comes_while_a_run_is_under_way_is_due_once_after_it():
    plan = agenda([each("*/15 * * * *")], NOW)
    start, end = at("25T17:15"), at("25T18:10")
    plan = plan.started(plan.due(start), start)
    due = plan.due(end)
    assert due
    assert (due.since, due.missed) == (at("25T17:30"), 2)
    assert plan.started(due, end).due(end) is None


def test_what_has_waited_longest_comes_first_and_else_the_order_of_the_pipelines():
    plan = agenda([each("0 4 * * *", "materialisation"), each("0 4 * * *"), each("30 3 * * *", "training")], NOW)
    moment, order = at("26T05:00"), []
    while due := plan.due(moment):
        order.append(due.scheduled.name)
        plan = plan.started(due, moment)
    assert order == ["training", "materialisation", "drift"]


def test_schedule_whose_times_changed_is_due_at_the_new_ones():
    plan = agenda([each("0 * * * *"), each("0 3 * * 1", "training")], NOW)
    later = plan.updated([each("30 * * * *"), each("0 3 * * 1", "training")], NOW + MINUTE)
    assert {title: time for title, (_, time) in later.entries.items()} == {
        "drift of card_fraud": at("25T17:30"),
        "training of card_fraud": at("30T03:00"),
    }


def test_schedule_that_was_taken_out_is_due_no_more():
    plan = agenda([each("0 * * * *")], NOW).updated([], NOW + MINUTE)
    assert plan.next() is None
    assert plan.due(NOW + HOUR) is None


def test_clock_that_was_put_back_makes_all_due_at_its_next_time():
    plan = agenda([each("0 * * * *")], NOW)
    back = plan.updated([each("0 * * * *")], NOW - 5 * HOUR)
    assert back.next() == at("25T13:00")


def test_clock_that_was_set_right_by_seconds_starts_nothing_twice():
    plan = agenda([each("0 * * * *")], NOW)
    moment = at("25T18:00")
    plan = plan.started(plan.due(moment), moment).updated([each("0 * * * *")], moment - timedelta(seconds=5))
    assert plan.due(moment) is None
    assert plan.next() == at("25T19:00")
