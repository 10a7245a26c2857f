"""Which differences between what was served and what was stored are told, and which are none."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from components.features.matching import NONE, SEVERAL, match
from components.features.skew import Comparison, Counts, compare
from serin.schema import InputColumn, InputSchema

INPUTS = InputSchema(columns=(InputColumn(name="x"), InputColumn(name="kind", kind="category", categories=("a",))))
START = datetime(2026, 1, 1, 10, 30, tzinfo=UTC)


def compared(served, offline, kinds=None):
    """Compare numbers, and texts where they are given as pairs; rows are half an hour apart."""
    count = len(served)
    texts = kinds or [("a", "a")] * count
    one = pd.DataFrame({"x": pd.Series(served, dtype=object), "kind": [pair[0] for pair in texts]})
    other = pd.DataFrame({"x": np.array(offline, dtype=float), "kind": [pair[1] for pair in texts]})
    times = pd.Series(pd.date_range(START, periods=count, freq="30min"))
    return compare(one, other, INPUTS, pd.DataFrame({"id": np.arange(count)}), times)


def test_numbers_are_equal_to_a_millionth_and_not_beyond():
    found = compared([1e6, 1e6, 0.0, 1e-12], [1e6 + 0.9, 1e6 + 1.1, 1e-10, 0.0])
    assert (found.rows, found.equal) == (4, 3)
    assert found.columns[0].differing == 1


def test_missing_equals_missing_and_nothing_else():
    column = compared([None, None, float("nan"), 2.0], [np.nan, 1.0, np.nan, np.nan]).columns[0]
    assert (column.differing, column.only_served, column.only_offline) == (2, 1, 1)
    assert (column.mean_difference, column.largest) == (None, None)


def test_number_too_large_for_the_model_equals_a_missing_one():
    assert compared([None, 1e39, 3e38], [1e39, -1e300, np.inf]).equal == 2


def test_difference_has_its_direction_and_its_greatest_distance():
    column = compared([1.0, 2.0, 3.0], [1.0, 4.0, 2.0]).columns[0]
    assert (column.differing, column.mean_difference, column.largest) == (2, -0.5, 2.0)
    assert [(each.keys["id"], each.served, each.offline) for each in column.first] == [(1, 2.0, 4.0), (2, 3.0, 2.0)]
    assert column.first[0].time == datetime(2026, 1, 1, 11, tzinfo=UTC)


def test_texts_are_compared_as_texts():
    found = compared([1.0] * 4, [1.0] * 4, [("a", "a"), ("a", "b"), (None, None), ("a", None)])
    column = found.columns[1]
    assert (column.differing, column.only_served, found.equal) == (2, 1, 2)
    assert (column.first[0].served, column.first[0].offline) == ("a", "b")


def test_row_that_differs_in_two_columns_is_one_row():
    found = compared([1.0, 1.0], [2.0, 1.0], [("a", "b"), ("a", "a")])
    assert (found.rows, found.equal, found.share_equal) == (2, 1, 0.5)


def test_first_rows_only_are_shown():
    assert len(compared([1.0] * 20, [2.0] * 20).columns[0].first) == 5


def test_rows_are_counted_by_the_hour_of_their_event():
    found = compared([1.0] * 4, [1.0, 1.0, 2.0, 1.0])
    assert [(hour.start.hour, hour.rows, hour.equal) for hour in found.hours] == [(10, 1, 1), (11, 2, 1), (12, 1, 1)]


@pytest.mark.parametrize(
    ("rows", "equal", "limit", "verdict"),
    [
        (100, 100, 0.0, "equal"),
        (100, 99, 0.0, "skewed"),
        (100, 99, 0.01, "equal"),
        (100, 98, 0.01, "skewed"),
        (0, 0, 1.0, "nothing_compared"),
    ],
)
def test_verdict_goes_by_the_share_that_may_differ(rows, equal, limit, verdict):
    assert Comparison(rows, equal, (), ()).verdict(limit) == verdict


def test_counts_are_told_where_there_are_any():
    assert Counts(logged=3, by_key=2, ahead=1).sentences() == [
        "2 of 3 rows compared with the event of their key",
        "1 of 3 rows left out: later than the last stored event; ingest, then look again",
    ]


TIMES = pa.array([1, 2, 2, 3], pa.timestamp("us", tz="UTC"))
STORED = pa.table({"tx": [10, 11, 12, 2**62 + 1], "card": [1, 1, 1, 2], "at": TIMES})
ALIKE = {"card": "card", "time": "at"}


def found_of(tx, card, time, key=("tx",)):
    columns = {
        "tx": pa.array(tx, pa.int64()),
        "card": pa.array(card, pa.int64()),
        "time": pa.array(time, pa.timestamp("us", tz="UTC")),
    }
    return match(pa.table(columns), STORED, key, ALIKE)


def test_row_with_a_key_is_the_event_of_that_key_whatever_its_time():
    found = found_of([10, 12, 99], [1, 1, 1], [1, 5, 1])
    assert found.places.tolist() == [0, 2, NONE]
    assert found.by_key.tolist() == [True, True, False]
    assert found.moved.tolist() == [False, True, False]


def test_large_keys_beside_nulls_lose_no_digit():
    found = found_of([2**62 + 1, 2**62, None], [2, 2, 2], [3, 3, 3])
    assert found.places.tolist() == [3, NONE, 3]


def test_row_without_a_key_is_the_one_event_of_its_entity_and_time():
    found = found_of([None] * 4, [1, 1, 2, None], [1, 2, 1, 1])
    assert found.places.tolist() == [0, SEVERAL, NONE, NONE]
    assert not found.by_key.any()
    assert not found.moved.any()


def test_use_case_without_a_key_matches_by_entity_and_time():
    assert found_of([10], [1], [1], key=()).places.tolist() == [0]
