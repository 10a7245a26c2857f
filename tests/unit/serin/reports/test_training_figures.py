"""Figures of estimates, searches and explanations."""

import numpy as np
import pytest

from serin.errors import DataError
from serin.reports.estimates import Line, Range, estimates
from serin.reports.explanations import MOST_INPUTS, importance, swarms
from serin.reports.searches import search_history
from tests.markup import texts


def test_estimates_name_every_line_and_series():
    lines = [
        Line("a = 1", {"candidate": Range(0.5, 0.4, 0.6), "champion": Range(0.4, 0.3, 0.5)}),
        Line("a = 2", {}, "3 rows, 0 positives"),
    ]
    found = texts(estimates(lines, "Average precision", "By part"))
    assert {"a = 1", "a = 2", "candidate", "champion", "3 rows, 0 positives", "Average precision"} <= set(found)


def test_estimates_of_one_series_need_no_legend():
    assert "validation" not in texts(estimates([Line("a", {"validation": Range(0.5, 0.4, 0.6)})], "m", "t"))


def test_estimates_without_a_line():
    with pytest.raises(DataError, match="needs at least one line; found none"):
        estimates([], "m", "t")


def test_search_history_counts_what_was_finished_and_names_the_best():
    found = texts(search_history({"xgboost": [0.5, None, 0.7], "lightgbm": [None]}, "Average precision"))
    assert "2 finished trials: the lines are the best so far" in found
    assert "xgboost 0.7000" in found
    assert not any("lightgbm" in text for text in found)


def test_search_history_without_a_finished_trial():
    with pytest.raises(DataError, match="needs at least one finished trial; found none"):
        search_history({"xgboost": [None]}, "m")


def test_search_history_of_trials_that_all_came_to_the_same():
    assert texts(search_history({"xgboost": [0.5, 0.5]}, "m"))


def test_importance_shows_the_inputs_that_matter_most_first():
    values = np.tile(np.arange(20.0), (5, 1))
    found = texts(importance([f"f{n}" for n in range(20)], values, "log-odds"))
    shown = [text for text in found if text.startswith("f") and " " not in text]
    assert shown == [f"f{n}" for n in range(19, 19 - MOST_INPUTS, -1)]


def test_swarms_of_many_rows_stay_small():
    random = np.random.default_rng(0)
    values, inputs = random.normal(size=(500, 12)), random.normal(size=(500, 12))
    found = texts(swarms([f"f{n}" for n in range(12)], values, inputs, "log-odds"))
    assert "What the inputs did to the scores of 150 rows" in found
    assert {"low value", "high value", "missing"} <= set(found)


def test_swarms_of_inputs_that_change_nothing_and_of_missing_values():
    assert texts(swarms(["a"], np.zeros((3, 1)), np.full((3, 1), np.nan), "probability"))


@pytest.mark.parametrize("draw", [importance, lambda *given: swarms(given[0], given[1], given[1], given[2])])
def test_figures_of_no_values(draw):
    with pytest.raises(DataError, match=r"needs rows and inputs; found an array of shape \(0, 2\)"):
        draw(["a", "b"], np.empty((0, 2)), "log-odds")
