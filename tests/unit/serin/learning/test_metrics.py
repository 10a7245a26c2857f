"""Metrics, against values worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from serin.learning.metrics import decision_metrics, precision_at_k, ranking_metrics

LABELS = np.array([0, 1, 0, 1], np.int8)
SCORES = np.array([0.1, 0.9, 0.8, 0.7])


def test_ranking_metrics_of_four_rows():
    # Ranked 1 0 1 0: three of four pairs in order; precision 1 at the first hit, 2/3 at the second.
    found = ranking_metrics(LABELS, SCORES)
    assert found["roc_auc"] == pytest.approx(3 / 4)
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)


def test_decision_counts_a_score_at_the_threshold_as_positive():
    assert decision_metrics(LABELS, SCORES, 0.7) == pytest.approx({"precision": 2 / 3, "recall": 1, "f1": 0.8})


def test_decision_that_flags_nothing_is_zero_not_an_error():
    assert decision_metrics(LABELS, SCORES, 2.0) == {"precision": 0, "recall": 0, "f1": 0}


def test_precision_at_k_takes_each_entity_once_a_day_and_averages_days():
    times = pd.to_datetime(
        pd.Series(["2026-01-01T01:00", "2026-01-01T02:00", "2026-01-01T03:00", "2026-01-02T01:00", "2026-01-02T02:00"]),
        utc=True,
    )
    entities = pd.Series(["a", "a", "b", "a", "b"])
    labels = np.array([0, 1, 0, 0, 0], np.int8)
    scores = np.array([0.9, 0.1, 0.5, 0.2, 0.3])
    # Day one: the top card is a, which had a fraud; day two: none has.
    assert precision_at_k(entities, times, labels, scores, 1) == pytest.approx(0.5)
    # With k beyond the number of cards the divisor stays k.
    assert precision_at_k(entities, times, labels, scores, 4) == pytest.approx(0.125)
