"""Figures of how far two tables agree."""

from datetime import UTC, datetime, timedelta

import pytest

from serin.errors import DataError
from serin.reports.agreement import MOST_COLUMNS, by_column, over_time
from tests.markup import HOSTILE, texts

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_columns_that_differ_come_first_with_their_rows():
    found = texts(by_column({"a": 0, "b": 25, HOSTILE: 50}, 1000))
    assert "2 of 3 columns differ somewhere, in 1,000 rows" in found
    assert [text for text in found if "differ)" in text] == ["95.00 % (50 differ)", "97.50 % (25 differ)"]
    assert "all" in found


def test_many_columns_are_cut_to_those_that_differ_most():
    found = texts(by_column({f"column {n}": n for n in range(100)}, 1000))
    names = [text for text in found if text.startswith("column ")]
    assert len(names) == MOST_COLUMNS
    assert names[0] == "column 99"


def test_hours_are_drawn_with_their_share():
    starts = [START + timedelta(hours=n) for n in range(24)]
    found = texts(over_time(starts, [10] * 24, [10] * 23 + [5]))
    assert "Equal in all inputs: 97.92% of 240 rows" in found
    assert "Event time (UTC), by the hour" in found


def test_long_periods_take_hours_together():
    found = texts(over_time([START, START + timedelta(days=30)], [5, 5], [5, 0]))
    assert any(text.startswith("Event time (UTC), by 8 hours") for text in found)


def test_nothing_to_draw_is_an_error():
    with pytest.raises(DataError, match="found none"):
        by_column({}, 0)
    with pytest.raises(DataError, match="found none"):
        over_time([], [], [])
