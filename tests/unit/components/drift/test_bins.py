"""Binning: every way in which a column can move must show in its labels."""

import numpy as np
import pandas as pd
import pytest

from components.drift.bins import binned, vanished
from serin.errors import DataError
from serin.schema import InputColumn, InputSchema

NUMBER = InputSchema(columns=(InputColumn(name="x"),))
TEXT = InputSchema(columns=(InputColumn(name="x", kind="category", categories=("a", "b")),))


def labels(before, after, schema=NUMBER):
    """The labels of column x, given plain lists."""
    tables = [pd.DataFrame({"x": values, "score": np.zeros(len(values))}) for values in (before, after)]
    reference, current = binned(*tables, schema)
    return list(reference["x"]), list(current["x"])


def test_numbers_fall_into_deciles_of_the_reference():
    before, after = labels(np.arange(1000.0), [-5.0, 250.0, 5000.0])
    counts = pd.Series(before).value_counts()
    assert len(counts) == 10
    assert counts.between(98, 102).all()
    assert after == ["01: below 99", "03: 199 to 299", "10: 899 and above"]


def test_outliers_do_not_move_the_bins():
    before, _ = labels([*np.arange(1000.0), 1e12], [1.0])
    assert len(set(before)) == 10


def test_missing_values_have_their_own_label():
    before, after = labels([1.0, 2.0, np.nan], [np.nan, None])
    assert before.count("missing") == 1
    assert after == ["missing", "missing"]


def test_a_reference_that_is_all_missing():
    assert labels([np.nan, np.nan], [np.nan, 3.0]) == (["missing", "missing"], ["missing", "01: any value"])


def test_a_current_column_that_is_all_missing():
    assert labels(np.arange(100.0), [np.nan])[1] == ["missing"]


def test_values_that_the_model_is_not_given_for_their_size_are_missing():
    before, after = labels([*np.arange(1000.0), 1e39], [-np.inf, 1e39, 3.4e38])
    assert before[-1] == "missing"
    assert after == ["missing", "missing", "10: 899 and above"]


def test_a_constant_shows_shifts_to_both_sides():
    before, after = labels([5.0] * 10, [4.0, 5.0, 6.0])
    assert set(before) == {"02: 5"}
    assert after == ["01: below 5", "02: 5", "03: 5 and above"]


def test_a_value_that_most_rows_share_has_its_own_bin():
    before, after = labels([0.0] * 80 + list(np.linspace(0.1, 1, 20)), [0.0, 0.01])
    assert before.count("02: 0") == 80
    assert after[0] == "02: 0"
    assert after[1] != "02: 0"


def test_values_equal_in_the_models_precision_share_a_bin():
    before, after = labels(np.full(10, 0.1, np.float32), np.full(3, 0.1))
    assert set(before) == set(after)


def test_integers_booleans_and_nullable_integers_are_numbers():
    assert labels([1, 2, 3], [2])[1] == labels([1.0, 2.0, 3.0], [2.0])[1]
    assert len(set(labels([True, False] * 10, [True, False])[1])) == 2
    assert labels([1, 2], pd.array([1, None], dtype="Int64"))[1][1] == "missing"


def test_close_edges_keep_different_labels():
    before, _ = labels(1e6 + np.arange(1000) / 8, [1e6])
    assert len(set(before)) == 10


def test_categories_keep_their_names_and_rare_ones_share_a_label():
    before, after = labels(["a"] * 60 + ["b"] * 140 + ["rare"], ["a", "rare", "new", None, "b"], TEXT)
    assert set(before) == {"a", "b", "other"}
    assert after == ["a", "other", "other", "missing", "b"]


def test_categories_that_are_booleans():
    assert labels([True, False], [True, None], TEXT)[1] == ["True", "missing"]


@pytest.mark.parametrize(("before", "after", "named"), [([], [1.0], "reference"), ([1.0], [], "current rows")])
def test_a_table_without_rows(before, after, named):
    with pytest.raises(DataError, match=f"^drift: the {named} hold no rows; at least one is needed$"):
        labels(before, after)


def test_a_table_without_a_column():
    table = pd.DataFrame({"x": [1.0], "score": [0.5]})
    with pytest.raises(DataError, match=r"^drift: the current rows lack x; found score$"):
        binned(table, table[["score"]], NUMBER)


def test_input_without_any_value_has_vanished_only_where_the_reference_has_some():
    full, half, none = ({"x": values, "score": [0.5, 0.5]} for values in ([1.0, 2.0], [1.0, None], [None, None]))
    cases = [(full, none), (half, none), (full, half), (none, none), (none, full)]
    found = [vanished(pd.DataFrame(before), pd.DataFrame(after), NUMBER) for before, after in cases]
    assert found == [("x",), ("x",), (), (), ()]
