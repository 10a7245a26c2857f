"""Totals from raw samples."""

import pytest

from serin.adapters.cluster.series import Series, buckets, is_sound, lost, restarts, total

MADE = 100.0


def _series(*values: float, start: float = 105.0, step: float = 5.0, **labels: str) -> Series:
    return Series(labels, [(start + step * place, value) for place, value in enumerate(values)])


def _total(*found: Series, starts: tuple[Series, ...] = ()) -> float:
    return total(found, MADE, restarts(found, starts))


def test_a_counter_counts_from_nought():
    assert _total(_series(0, 3, 7)) == 7


def test_a_series_that_began_with_a_count_counts_all_of_it():
    """As the mesh's do: they appear with their first request."""
    assert _total(_series(4, 7)) == 7


def test_replicas_add_up_and_one_that_left_keeps_what_it_counted():
    assert _total(_series(0, 5), _series(2, 3, 4)) == 9


def test_a_restart_loses_nothing_that_was_read():
    assert _total(_series(0, 5, 1, 4)) == 9
    assert _total(_series(5, 0, 0)) == 5


def test_a_restart_of_a_process_is_one_of_all_its_counters():
    """One of them may have passed its old value before the next scrape."""
    fell, passed = _series(20, 1, instance="a"), _series(1, 1, instance="a")
    assert _total(fell, passed, _series(7, 8, instance="b")) == 20 + 1 + 1 + 1 + 8


def test_a_restart_shows_by_the_time_of_the_start():
    """Even where every counter has passed its old value; the gauge is 0 until there is a start to tell of."""
    starts = _series(0, 90, 90, 117, instance="a")
    assert _total(_series(0, 2, 3, 3, instance="a"), starts=(starts,)) == 6


def test_what_was_counted_before_the_deployment_was_made_is_another_ones():
    """The gateway goes on counting for a name that had another deployment before."""
    assert _total(_series(40, 50, 60, start=95.0)) == 10
    assert _total(_series(40, 3, start=98.0)) == 3


def test_totals_never_fall_as_samples_come():
    whole = _series(0, 5, 9, 2, 2, 7, 0, 1)
    seen = [_total(Series({}, whole.samples[:length])) for length in range(1, 9)]
    assert seen == sorted(seen)
    assert seen[-1] == 17


@pytest.mark.parametrize(
    ("unit", "bound", "wanted"), [(1.0, "0.005", "0.005"), (0.001, "250", "0.25"), (0.001, "5000", "5")]
)
def test_buckets_are_by_seconds(unit, bound, wanted):
    found = [_series(1, 2, le=bound, pod="a"), _series(3, le=bound, pod="b"), _series(1, 9, le="+Inf")]
    assert buckets(found, MADE, {}, unit) == {wanted: 5, "+Inf": 9}


def test_a_series_is_fresh_for_three_of_its_own_scrapes():
    series = _series(0, 0, 0, step=10.0)
    assert series.fresh(125.0 + 30)
    assert not series.fresh(125.0 + 31)


def test_a_gap_makes_no_series_fresh_for_longer():
    gap = Series({}, [(time, 0.0) for time in (0, 10, 20, 300, 310, 320)])
    assert not gap.fresh(351)


def test_a_first_sample_is_fresh_for_as_long_as_the_slowest_scrape_may_take():
    assert _series(0).fresh(105 + 180)
    assert not _series(0).fresh(105 + 181)


def test_a_target_that_was_scraped_and_is_down_is_lost():
    stale = _series(0, 1, job="j", instance="1")
    down = [Series({"job": "j", "instance": "1"}, [(500.0, 0.0)])]
    assert lost([stale], down) == ("j", "1")
    assert lost([stale], []) is None
    assert lost([], down) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_value_that_no_counter_can_have_is_not_sound(value):
    assert not is_sound([_series(0, value, 3)])
