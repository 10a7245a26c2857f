"""Features made of others: ratios and elapsed times, and where they are missing."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from serin.derived import derived
from serin.use_case import DerivedFeature

RATIO = DerivedFeature(name="amount_ratio", ratio=("amount", "mean"))
ELAPSED = DerivedFeature(name="age", elapsed=("signed_up", "at"))


def test_ratio_divides_the_first_by_the_second():
    values = derived(RATIO, {"amount": [3.0, -1.0, 0.0], "mean": np.array([2.0, 4.0, 5.0])})
    assert values.tolist() == [1.5, -0.25, 0.0]


@pytest.mark.parametrize(
    ("amount", "mean"),
    [(1.0, 0.0), (0.0, 0.0), (None, 2.0), (2.0, None), (float("nan"), 2.0), (2.0, float("nan")), (1e300, 1e-300)],
)
def test_ratio_is_missing_where_it_is_no_number(amount, mean):
    assert np.isnan(derived(RATIO, {"amount": [amount], "mean": [mean]})).all()


def test_ratio_of_whole_numbers_has_fractions():
    assert derived(RATIO, {"amount": np.array([1, 2]), "mean": np.array([2, 4])}).tolist() == [0.5, 0.5]


def test_elapsed_is_in_days_and_negative_where_the_second_is_earlier():
    start = datetime(2018, 4, 1, 12, tzinfo=UTC)
    ends = [start + timedelta(days=2), start + timedelta(hours=6), start - timedelta(days=1)]
    assert derived(ELAPSED, {"signed_up": [start] * 3, "at": ends}).tolist() == [2.0, 0.25, -1.0]


def test_elapsed_counts_microseconds_and_never_the_zone():
    start = datetime(2018, 4, 1, tzinfo=timezone(timedelta(hours=2)))  # 22:00 of March 31 in UTC
    end = np.array(["2018-03-31T22:00:00.000001"], dtype="datetime64[us]")
    assert derived(ELAPSED, {"signed_up": [start], "at": end}) == pytest.approx([1e-6 / 86400], rel=1e-12)


@pytest.mark.parametrize("nothing", [None, pd.NaT, np.datetime64("NaT")])
def test_elapsed_is_missing_where_a_time_is(nothing):
    moment = datetime(2018, 4, 1, tzinfo=UTC)
    assert np.isnan(derived(ELAPSED, {"signed_up": [nothing], "at": [moment]})).all()
    assert np.isnan(derived(ELAPSED, {"signed_up": [moment], "at": [nothing]})).all()


def test_arrays_and_lists_give_the_same():
    starts = [datetime(2018, 4, 1, 3, 4, 5, 678, tzinfo=UTC), datetime(2020, 2, 29, tzinfo=UTC)]
    ends = [datetime(2021, 1, 1, tzinfo=UTC), datetime(2018, 4, 1, tzinfo=UTC)]
    arrays = {
        "signed_up": np.array([moment.replace(tzinfo=None) for moment in starts], dtype="datetime64[ns]"),
        "at": np.array([moment.replace(tzinfo=None) for moment in ends], dtype="datetime64[s]"),
    }
    assert derived(ELAPSED, arrays).tolist() == derived(ELAPSED, {"signed_up": starts, "at": ends}).tolist()


def test_no_rows_have_no_values():
    assert derived(RATIO, {"amount": [], "mean": []}).shape == (0,)
    assert derived(ELAPSED, {"signed_up": [], "at": []}).shape == (0,)
