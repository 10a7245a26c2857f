"""The choice of the candidate among estimators, on validation rows alone."""

import numpy as np
import pandas as pd
import pytest

from components.evaluate.choice import Common, Single, best_single, choose, common
from serin.errors import DataError
from serin.learning.intervals import Estimate
from serin.learning.paired import Paired

METRIC = "average_precision"


def table(places, scores, labels=None):
    truth = [0, 1] * (len(places) // 2) if labels is None else labels
    return pd.DataFrame({"place": places, "fold": 1, "label": np.array(truth, np.int8), "score": scores})


def rows(**scores):
    made = {name: np.array(values, np.float64) for name, values in scores.items()}
    return Common(np.arange(4), np.array([0, 1, 0, 1], np.int8), made, 4)


def beside(value, gap=0.0, low=0.0, high=0.0):
    return Paired({METRIC: Estimate(value, value - 0.1, value + 0.1)}, {METRIC: Estimate(gap, low, high)})


def chosen(stack):
    found = {"xgboost": beside(0.7), "stacking": stack}
    both = rows(xgboost=[0, 1, 0, 1], stacking=[0, 1, 0, 1])
    return choose(both, found, Single("xgboost", 0.7, 4), {"stacking"}, METRIC)


def test_rows_in_common_are_those_that_all_assessed_in_the_order_of_their_places():
    found = common({"a": table([4, 1, 2, 3], [0.4, 0.1, 0.2, 0.3]), "b": table([2, 3, 4, 9], [0.5, 0.6, 0.7, 0.9])})
    assert found.places.tolist() == [2, 3, 4]
    assert found.scores["a"].tolist() == [0.2, 0.3, 0.4]
    assert found.scores["b"].tolist() == [0.5, 0.6, 0.7]
    assert found.of == 4


def test_no_row_in_common_is_an_error_that_names_the_estimators():
    with pytest.raises(DataError, match="that a, b have in common hold no row; the choice of the candidate needs both"):
        common({"a": table([1, 2], [0, 1]), "b": table([3, 4], [0, 1])})


def test_rows_in_common_of_one_class_are_an_error():
    with pytest.raises(DataError, match="hold all of class 0; the choice"):
        common({"a": table([1, 2], [0.1, 0.2], [0, 0])})


def test_the_best_single_estimator_is_the_highest_and_the_first_of_equals():
    scores = rows(poor=[1, 0, 1, 0], good=[0, 1, 0, 1], same=[0, 1, 0, 1])
    assert best_single(scores, METRIC) == Single("good", 1.0, 4)


def test_a_stack_that_is_better_is_chosen():
    found = chosen(beside(0.75, 0.05, 0.01, 0.09))
    assert found.name == "stacking"
    assert found.reasons[1].endswith("+0.0500 [+0.0100, +0.0900] against xgboost; it is chosen")


def test_a_stack_whose_gain_may_be_chance_is_chosen_and_that_is_told():
    found = chosen(beside(0.75, 0.05, -0.001, 0.1))
    assert found.name == "stacking"
    assert found.reasons[1].endswith("it is chosen, though these rows can't tell the two apart")


@pytest.mark.parametrize(("gap", "low", "high"), [(0.0, 0.0, 0.0), (-0.05, -0.1, -0.01)], ids=["tie", "worse"])
def test_a_stack_that_is_no_better_leaves_it_to_the_simpler_model(gap, low, high):
    found = chosen(beside(0.7 + gap, gap, low, high))
    assert found.name == "xgboost"
    assert "no better, so the simpler model is taken" in found.reasons[1]


def test_a_single_estimator_is_told_with_its_value_and_the_rows():
    found = choose(rows(xgboost=[0, 1, 0, 1]), {"xgboost": beside(0.7)}, Single("xgboost", 0.7, 4), set(), METRIC)
    assert found.reasons == ("xgboost is the best single estimator by average_precision, 0.7000 on 4 validation rows",)
