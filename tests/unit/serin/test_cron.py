"""Schedules: what is accepted, and that every scheduler takes it for the same times."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from serin.cron import checked
from tests.examples import examples

WEDNESDAY = datetime(2026, 11, 25, 17, 3, tzinfo=UTC)


def following(text: str, count: int) -> list[str]:
    times = croniter(checked(text), WEDNESDAY)
    return [f"{times.get_next(datetime):%a %m-%d %H:%M}" for _ in range(count)]


# The times are those that robfig/cron 1.2.0, which Kubeflow Pipelines runs, gave for `0 ` and the text that is checked.
@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("0 3 * * 1", ["Mon 11-30 03:00", "Mon 12-07 03:00"]),
        ("0 3 * * 0", ["Sun 11-29 03:00", "Sun 12-06 03:00"]),
        ("0 3 * * 7", ["Sun 11-29 03:00", "Sun 12-06 03:00"]),
        ("0 3 * * Sun", ["Sun 11-29 03:00", "Sun 12-06 03:00"]),
        ("0 3 * * 5-7", ["Fri 11-27 03:00", "Sat 11-28 03:00", "Sun 11-29 03:00", "Fri 12-04 03:00"]),
        ("0 3 * * mon-fri", ["Thu 11-26 03:00", "Fri 11-27 03:00", "Mon 11-30 03:00"]),
        ("0 3 * * */2", ["Thu 11-26 03:00", "Sat 11-28 03:00", "Sun 11-29 03:00", "Tue 12-01 03:00"]),
        ("*/15 * * * *", ["Wed 11-25 17:15", "Wed 11-25 17:30", "Wed 11-25 17:45", "Wed 11-25 18:00"]),
        ("5 8-18/5 * * *", ["Wed 11-25 18:05", "Thu 11-26 08:05", "Thu 11-26 13:05"]),
        ("0 0 1,15 * *", ["Tue 12-01 00:00", "Tue 12-15 00:00", "Fri 01-01 00:00"]),
        ("0 0 */10 * *", ["Tue 12-01 00:00", "Fri 12-11 00:00", "Mon 12-21 00:00", "Thu 12-31 00:00"]),
        ("30 12 29 feb *", ["Tue 02-29 12:30"]),
        ("0 0 1 6-6 *", ["Tue 06-01 00:00", "Thu 06-01 00:00"]),
    ],
)
def test_schedule_is_due_at_the_times_that_kubeflow_runs_it(text, times):
    assert following(text, len(times)) == times


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("00 03 * * 7", "0 3 * * 0"),
        ("0 3 * JAN-mar fri-7", "0 3 * 1-3 0,5,6"),
        ("  0\t3 * *  1 ", "0 3 * * 1"),
        ("0 0 1 6-6 *", "0 0 1 6 *"),
        ("0 3 * * */2", "0 3 * * 0,2,4,6"),
    ],
)
def test_checked_schedule_is_in_words_that_all_schedulers_share_and_stays_as_it_is(text, same):
    assert checked(text) == same
    assert checked(same) == same


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "0 3 * *",
            "'0 3 * *' is no schedule; write five fields: minute hour day month weekday, in UTC, such as '0 3 * *",
        ),
        ("0 0 3 * * 1", "is no schedule; write five fields"),
        ("@hourly", "'@hourly' is no schedule; write five fields"),
        (5, "5 is no schedule; write five fields"),
        (None, "None is no schedule"),
        ("60 3 * * *", "minute: allowed are 0 to 59, found '60'"),
        ("0 24 * * *", "hour: allowed are 0 to 23, found '24'"),
        ("0 3 0 * *", "day: allowed are 1 to 31, found '0'"),
        ("0 3 * 13 *", "month: allowed are 1 to 12, jan, feb, mar"),
        ("0 3 * * 8", "weekday: allowed are 0 to 7, sun, mon, tue, wed, thu, fri, sat, found '8'"),
        ("0 3 * * lun", "found 'lun'"),
        ("0 3 L * *", "day: allowed are 1 to 31, found 'L'"),
        ("0 3 * * 1#2", "weekday: '1#2' is none of *, */2, 1, 1-5, 1-5/2"),
        ("0 3 * * ?", "weekday: '?' is none of"),
        ("0 3 15W * *", "day: allowed are 1 to 31, found '15W'"),
        ("H 3 * * *", "minute: allowed are 0 to 59, found 'H'"),
        ("5/10 * * * *", "minute: '5/10' is none of"),
        ("1,,2 * * * *", "minute: '' is none of"),
        ("*,5 * * * *", "minute: '*,5' lists values beside *"),
        ("0 22-4 * * *", "hour: '22-4' runs backwards; write two ranges"),
        ("*/0 * * * *", "minute: a step is 1 to 59, found 0"),
        ("*/90 * * * *", "minute: a step is 1 to 59, found 90"),
        ("0 3 1 * 1", "names days and weekdays, and cron runs where either matches; leave one of them *"),
        ("0 3 30 2 *", "never comes: no such month has a day 30"),
        ("0 3 31 4,jun,9,11 *", "never comes"),
        ("٣ 3 * * *", "minute: allowed are 0 to 59"),
    ],
)
def test_schedule_that_somebody_reads_differently_is_refused_with_what_is_allowed(text, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        checked(text)


def _fields(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    steps = st.integers(1, high - low)
    spans = st.tuples(number, number).map(lambda two: f"{min(two)}-{max(two)}")
    element = st.one_of(
        number.map(str),
        spans,
        st.tuples(spans, steps).map(lambda parts: f"{parts[0]}/{parts[1]}"),
        steps.map(lambda step: f"*/{step}"),
    )
    return st.one_of(st.just("*"), st.lists(element, min_size=1, max_size=3).map(",".join))


def _values(field: str, low: int, high: int) -> set[int]:
    """What a field means, spelled out."""
    values: set[int] = set()
    for element in field.split(","):
        span, _, step = element.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        values |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return values


@given(minute=_fields(0, 59), hour=_fields(0, 23), weekday=_fields(0, 7))
@examples(100)
def test_next_time_is_the_first_minute_that_matches_all_fields(minute, hour, weekday):
    minutes, hours = _values(minute, 0, 59), _values(hour, 0, 23)
    weekdays = {day % 7 for day in _values(weekday, 0, 7)}
    day = next(
        day
        for day in (WEDNESDAY.replace(hour=0, minute=0) + timedelta(days=after) for after in range(9))
        if day.isoweekday() % 7 in weekdays
        and (day.date() > WEDNESDAY.date() or any((h, m) > (17, 3) for h in hours for m in minutes))
    )
    times = sorted((h, m) for h in hours for m in minutes if day.date() > WEDNESDAY.date() or (h, m) > (17, 3))
    expected = day.replace(hour=times[0][0], minute=times[0][1])
    assert croniter(checked(f"{minute} {hour} * * {weekday}"), WEDNESDAY).get_next(datetime) == expected
