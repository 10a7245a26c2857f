"""Parts of the rows."""

import numpy as np
import pandas as pd
import pytest

from components.evaluate.slices import MOST_VALUES, parts


def sizes(values):
    return {name: int(mask.sum()) for name, mask in parts(pd.Series(values))}


@pytest.mark.parametrize(
    "values",
    [
        np.arange(100.0),
        [None, 1.5, 2.5] * 9,
        [f"v{i % 30}" for i in range(100)] + [None],
        pd.array([True, None, False], dtype="boolean"),
        np.r_[np.zeros(90), np.arange(1.0, 20)],
    ],
    ids=["numbers", "few numbers", "many words", "booleans", "one value very common"],
)
def test_every_row_is_in_exactly_one_part(values):
    masks = [mask for _, mask in parts(pd.Series(values))]
    assert (np.sum(masks, axis=0) == 1).all()


def test_numbers_of_many_values_are_cut_at_their_quartiles():
    assert sizes(np.arange(1.0, 101)) == {
        "1 to 25.75": 25,
        "over 25.75 to 50.5": 25,
        "over 50.5 to 75.25": 25,
        "over 75.25 to 100": 25,
    }


def test_numbers_of_few_values_are_parts_of_one_value_each_in_order():
    assert sizes([3, 1, 1, 2, 3, 3]) == {"1": 2, "2": 1, "3": 3}


def test_words_are_parts_from_the_most_common_on_and_missing_ones_come_last():
    assert list(sizes(["b", "a", "b", None])) == ["b", "a", "missing"]


def test_rarer_words_beyond_the_limit_are_taken_together():
    words = [f"v{number:02}" for number in range(MOST_VALUES + 5) for _ in range(number + 1)]
    found = sizes(words)
    assert len(found) == MOST_VALUES
    assert list(found)[-1] == "others"
    assert found["others"] == sum(range(1, 7))


def test_a_column_without_any_value_is_one_part():
    assert sizes([None, None]) == {"missing": 2}
