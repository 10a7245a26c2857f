"""Several models on the same draws: the numbers of serin.learning.intervals, and differences."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from serin.learning.assessed import Assessed, Daily
from serin.learning.intervals import intervals
from serin.learning.paired import paired

ROWS = 600


def made(seed=0, ties=False):
    rng = np.random.default_rng(seed)
    scores = rng.beta(1, 10, ROWS)
    labels = (rng.random(ROWS) < scores).astype(np.int8)
    return labels, np.round(scores, 1) if ties else scores


def daily():
    rng = np.random.default_rng(5)
    times = pd.Series(pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 96, ROWS), unit="h"))
    return Daily("card", 5, pd.Series(rng.integers(0, 40, ROWS)), times, frozenset())


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("by_entity", [False, True])
def test_metrics_have_the_intervals_that_they_have_alone(ties, by_entity):
    labels, scores = made(ties=ties)
    on = Assessed(labels, daily() if by_entity else None)
    alone = intervals(on, scores, 0.2, confidence=0.9, seed=3)
    found = paired(on, {"one": scores}, "one", confidence=0.9, seed=3)["one"].metrics
    for name in ("roc_auc", "average_precision"):
        expected = (alone[name].value, alone[name].low, alone[name].high)
        assert (found[name].value, found[name].low, found[name].high) == pytest.approx(expected)


def test_values_are_scikit_learns():
    labels, scores = made(ties=True)
    found = paired(Assessed(labels), {"one": scores}, "one", confidence=0.9, seed=3)["one"].metrics
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(labels, scores))
    assert found["average_precision"].value == pytest.approx(average_precision_score(labels, scores))


def test_model_held_against_itself_differs_by_nothing():
    labels, scores = made()
    found = paired(Assessed(labels), {"one": scores, "same": scores}, "one", confidence=0.95, seed=0)
    for gap in (*found["one"].differences.values(), *found["same"].differences.values()):
        assert (gap.value, gap.low, gap.high) == (0, 0, 0)


def test_difference_is_surer_than_the_two_intervals_as_it_takes_the_same_draws():
    labels, scores = made()
    other = np.clip(scores + np.random.default_rng(3).normal(0, 0.01, ROWS), 0, 1)
    found = paired(Assessed(labels), {"one": scores, "other": other}, "other", confidence=0.95, seed=0)["one"]
    gap, single = found.differences["roc_auc"], found.metrics["roc_auc"]
    assert gap.low < gap.value < gap.high
    assert gap.high - gap.low < (single.high - single.low) / 3
    assert gap.value == pytest.approx(roc_auc_score(labels, scores) - roc_auc_score(labels, other))


def test_draws_without_a_class_are_left_out_of_the_interval():
    on = Assessed(np.array([0, 0, 1], np.int8))
    found = paired(on, {"a": np.array([0.1, 0.2, 0.9])}, "a", confidence=0.9, seed=0)["a"].metrics["roc_auc"]
    assert (found.value, found.low, found.high) == (1, 1, 1)
