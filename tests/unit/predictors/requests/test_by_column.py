"""Records that are made only once somebody looks at one."""

from datetime import UTC, datetime

import numpy as np

from predictors.requests.by_column import ByColumn, values_at
from predictors.requests.rows import Rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_they_are_tuples_of_plain_values_with_none_for_null() -> None:
    records = ByColumn([np.array([0.5, np.nan, -0.0]), ["a", None, "b"]], 3)
    assert repr(list(records)) == "[(0.5, 'a'), (None, None), (-0.0, 'b')]"
    assert (records[2], records[:2], len(records)) == ((-0.0, "b"), [(0.5, "a"), (None, None)], 3)
    assert all(type(value) is float for value, _ in records if value is not None)
    assert values_at(records, 0) == values_at(list(records), 0) == [0.5, None, -0.0]


def test_rows_without_columns_are_as_many() -> None:
    assert list(ByColumn([], 2)) == [(), ()]


def test_those_of_requests_that_are_answered_together_stay_columns() -> None:
    first = ByColumn([np.array([1.0, np.nan]), [1, 2]], 2)
    second = ByColumn([[None], [3]], 1)
    merged = Rows.merged([Rows.plain(("a", "b"), part, [NOW] * len(part), True) for part in (first, second, first)])
    assert isinstance(merged.records, ByColumn)
    assert list(merged.records) == [(1.0, 1), (None, 2), (None, 3), (1.0, 1), (None, 2)]
    assert list(merged.numbers) == [0, 1, 0, 0, 1]


def test_those_that_meet_tuples_become_tuples() -> None:
    parts = (ByColumn([np.array([1.0])], 1), [(None,)])
    merged = Rows.merged([Rows.plain(("a",), part, [NOW], True) for part in parts])
    assert merged.records == [(1.0,), (None,)]
