"""The decision threshold: one rule of the use case each, on rows whose best threshold is known."""

import numpy as np
import pytest

from serin.learning.metrics import decision_metrics
from serin.learning.thresholds import choose
from serin.use_case import Cost, Threshold

LABELS = np.array([1, 0, 1, 1, 0, 0, 0, 0], np.int8)
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])


def flagged(rule, days=None, labels=LABELS, scores=SCORES):
    """How many rows the threshold flags."""
    return int((scores >= choose(labels, scores, rule, days).value).sum())


def test_without_a_rule_f1_is_highest():
    chosen = choose(LABELS, SCORES, Threshold(), None)
    assert decision_metrics(LABELS, SCORES, chosen.value)["f1"] == pytest.approx(6 / 7)
    assert chosen.note == (
        "threshold 0.55: F1 is highest, 0.857; 4 rows are flagged, 75.0% of them right; 3 of 3 positives are found"
    )


def test_threshold_lies_between_two_scores_so_that_a_rounding_decides_nothing():
    assert choose(LABELS, SCORES, Threshold(), None).value == pytest.approx(0.55)


def test_threshold_below_all_scores_is_the_lowest():
    assert choose(np.array([1, 1, 0], np.int8), np.array([0.3, 0.2, 0.9]), Threshold(), None).value == 0.2


@pytest.mark.parametrize(("cost", "rows"), [(Cost(), 4), (Cost(false_positive=2), 1), (Cost(false_positive=10), 1)])
def test_cost_is_lowest_and_of_equal_ones_the_fewest_alarms(cost, rows):
    assert flagged(Threshold(cost=cost)) == rows


def test_nothing_is_flagged_where_every_alarm_costs_more_than_it_saves():
    labels = np.array([0, 1, 0, 0], np.int8)
    chosen = choose(labels, np.array([0.9, 0.5, 0.4, 0.1]), Threshold(cost=Cost(false_positive=3)), None)
    assert chosen.value > 0.9
    assert "0 rows are flagged; 0 of 1 positives are found" in chosen.note


@pytest.mark.parametrize(("precision", "rows"), [(0.75, 4), (0.7, 4), (0.5, 6), (1.0, 1)])
def test_precision_is_kept_by_the_lowest_threshold_that_does(precision, rows):
    assert flagged(Threshold(precision=precision)) == rows


def test_precision_that_no_threshold_reaches_is_told_and_the_nearest_is_taken():
    labels = np.array([0, 1, 1, 0], np.int8)
    chosen = choose(labels, np.array([0.9, 0.8, 0.7, 0.1]), Threshold(precision=0.95), None)
    assert 0.1 < chosen.value < 0.7
    assert "no threshold makes 95.0% of the alarms right (training.threshold.precision), so the one is" in chosen.note
    assert "3 rows are flagged, 66.7% of them right" in chosen.note


@pytest.mark.parametrize(("a_day", "days", "rows"), [(1, 2.0, 2), (3, 2.0, 6), (100, 2.0, 8), (1, 2.9, 2)])
def test_no_more_alerts_than_somebody_can_look_at(a_day, days, rows):
    assert flagged(Threshold(alerts_a_day=a_day), days) == rows


def test_more_rows_of_the_highest_score_than_alerts_are_told():
    chosen = choose(LABELS, np.full(8, 0.5), Threshold(alerts_a_day=2), 2.0)
    assert chosen.value > 0.5
    assert "more rows than that share the highest score, so nothing is flagged" in chosen.note


def test_rows_of_one_score_are_flagged_together():
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1])
    assert flagged(Threshold(alerts_a_day=3), 1.0, scores=scores) == 1


def test_neighbouring_scores_without_a_number_between_are_told_apart():
    low = 0.5
    scores = np.array([np.nextafter(low, 1), low])
    assert flagged(Threshold(), labels=np.array([1, 0], np.int8), scores=scores) == 1
