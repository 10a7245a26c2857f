"""Metrics, against values worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from serin.learning.assessed import assessed, metrics
from serin.learning.metrics import (
    calibration_bins,
    decision_metrics,
    precision_at_k,
    probability_metrics,
    ranking_metrics,
)
from serin.learning.split import EVENT_TIME
from tests.factories import make_case

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


def test_probability_metrics_of_four_rows():
    found = probability_metrics(LABELS, SCORES)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.9, 0.2, 0.7]).mean())
    assert found["brier"] == pytest.approx((0.01 + 0.01 + 0.64 + 0.09) / 4)
    # Each row has a bin of its own.
    assert found["calibration_error"] == pytest.approx((0.1 + 0.1 + 0.8 + 0.3) / 4)


def test_calibration_error_is_zero_where_each_bin_holds_its_share():
    probabilities = np.repeat([0.25, 0.75], 8)
    truth = np.array([0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1], np.int8)
    assert len(set(calibration_bins(probabilities))) == 2
    assert probability_metrics(truth, probabilities)["calibration_error"] == 0


def test_probability_of_zero_for_what_happened_costs_a_finite_loss():
    assert probability_metrics(np.array([1], np.int8), np.array([0.0]))["log_loss"] == pytest.approx(-np.log(1e-15))


def days(*texts):
    return pd.to_datetime(pd.Series(list(texts)), utc=True)


def test_precision_at_k_takes_each_entity_once_a_day_and_averages_days():
    times = days("2026-01-01T01", "2026-01-01T02", "2026-01-01T03", "2026-01-02T01", "2026-01-02T02")
    entities = pd.Series(["a", "a", "b", "a", "b"])
    labels = np.array([0, 1, 0, 0, 0], np.int8)
    scores = np.array([0.9, 0.1, 0.5, 0.2, 0.3])
    # Day one: the top card is a, which had a fraud; day two: none has.
    assert precision_at_k(entities, times, labels, scores, 1) == pytest.approx(0.5)
    # With k beyond the number of cards the divisor stays k.
    assert precision_at_k(entities, times, labels, scores, 4) == pytest.approx(0.125)


THREE_DAYS = days(*[f"2026-01-0{day}T0{hour}" for day in (1, 2, 3) for hour in (1, 2)])
CARDS = pd.Series(["a", "b"] * 3)
A_LEADS = np.array([0.9, 0.1] * 3)
BOTH_FRAUD = np.ones(6, np.int8)


def test_card_that_was_found_leaves_the_count_of_later_days():
    assert precision_at_k(CARDS, THREE_DAYS, BOTH_FRAUD, A_LEADS, 1) == 1
    # a is found on the first day, b on the second; nobody is left on the third.
    assert precision_at_k(CARDS, THREE_DAYS, BOTH_FRAUD, A_LEADS, 1, leave_out=()) == pytest.approx(2 / 3)


def test_card_beyond_the_first_k_is_not_found_and_stays():
    labels = np.array([0, 1] * 3, np.int8)
    assert precision_at_k(CARDS, THREE_DAYS, labels, A_LEADS, 1, leave_out=()) == 0


def test_card_that_was_known_counts_on_no_day():
    # b alone is left, and is found on the first day.
    assert precision_at_k(CARDS, THREE_DAYS, BOTH_FRAUD, A_LEADS, 1, leave_out={"a"}) == pytest.approx(1 / 3)


def cards(**training):
    return make_case(
        {"at": "timestamp", "id": "text", "x": "number", "y": "integer"},
        request=["x"],
        timestamp="at",
        label={"column": "y", "delay": "2d"},
        training={"estimators": {"xgboost": {}}} | training,
    )


def test_each_precision_is_named_for_what_it_is_and_known_is_whose_label_was_visible_at_the_start():
    frame = pd.DataFrame(
        {
            EVENT_TIME: days("2026-01-01", "2026-01-04", "2026-01-05", "2026-01-05", "2026-01-05"),
            "id": ["a", "b", "a", "b", "c"],
            "y": [1, 1, 1, 1, 0],
        }
    )
    case = cards(precision_at={"k": 1, "entity": "thing"})
    on = assessed(frame, np.array([2, 3, 4]), pd.Timestamp("2026-01-05", tz="UTC"), case)
    # The fraud of b was three days ago at most: nobody had reported it.
    assert on.daily.known == {"a"}
    found = metrics(on, np.array([0.9, 0.3, 0.5]), 0.5)
    assert found["thing_precision_at_1"] == 1
    assert found["thing_precision_at_1_known_left_out"] == 0
    assert on.only(np.array([True, False, True])).daily.entities.tolist() == ["a", "c"]


def test_use_case_without_precision_at_has_the_other_metrics():
    frame = pd.DataFrame({"y": [0, 1, 0, 1]})
    case = make_case({"id": "integer", "x": "number", "y": "integer"}, request=["x"])
    found = metrics(assessed(frame, np.arange(4), None, case), SCORES, 0.5)
    assert found.keys() == {
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier",
        "calibration_error",
        "precision",
        "recall",
        "f1",
    }
