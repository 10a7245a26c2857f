"""Calibration: only where it helps on rows that it was not fitted on."""

import numpy as np
import pytest

from serin.learning.calibrating import calibrate
from serin.learning.metrics import ranking_metrics, row_log_loss

ROWS = 6000


@pytest.fixture(scope="module")
def true():
    rng = np.random.default_rng(0)
    probabilities = rng.beta(1, 8, ROWS)
    labels = (rng.random(ROWS) < probabilities).astype(np.int8)
    return labels, probabilities, np.sort(rng.integers(1, 4, ROWS))


def made(true, twist, asked="auto", in_time=True):
    labels, probabilities, fold = true
    return calibrate(labels, twist(probabilities), fold, asked=asked, in_time=in_time)


def itself(probabilities):
    return probabilities


def stepped(probabilities):
    """No sigmoid mends this: what is likely is said to be a little likely, and what is not, half."""
    return np.where(probabilities < 0.1, 0.4, np.where(probabilities < 0.2, 0.45, 0.97))


@pytest.mark.parametrize("in_time", [True, False])
def test_scores_that_are_probabilities_stay_as_they_are(true, in_time):
    found = made(true, itself, in_time=in_time)
    assert found.calibration is None
    assert found.log_loss.keys() == {"none", "platt", "isotonic"}
    assert "none is better than raw by more than chance" in found.note


@pytest.mark.parametrize("in_time", [True, False])
def test_sigmoid_is_taken_where_it_mends_the_scores(true, in_time):
    found = made(true, np.square, in_time=in_time)
    assert found.calibration.kind == "platt"
    assert found.log_loss["platt"] < found.log_loss["none"]
    mended = found.calibration.apply(true[1] ** 2)
    assert np.abs(mended - true[1]).mean() < 0.01


def test_isotonic_curve_is_taken_where_no_sigmoid_mends_the_scores(true):
    found = made(true, stepped)
    assert found.calibration.kind == "isotonic"
    assert found.log_loss["isotonic"] < found.log_loss["platt"] < found.log_loss["none"]


@pytest.mark.parametrize("asked", ["platt", "isotonic"])
def test_kind_that_the_use_case_asks_for_is_taken_whatever_it_brings(true, asked):
    assert made(true, itself, asked=asked).calibration.kind == asked


def test_none_that_the_use_case_asks_for_is_none(true):
    assert made(true, np.square, asked="none").calibration is None


def test_single_fold_calibrates_nothing_unless_asked_to(true):
    labels, scores, _ = true
    single = np.ones(ROWS, np.int64)
    found = calibrate(labels, scores**2, single, asked="auto", in_time=True)
    assert found.calibration is None
    assert "there is no second fold to judge a calibration on" in found.note
    assert calibrate(labels, scores**2, single, asked="platt", in_time=True).calibration.kind == "platt"


def test_curve_is_judged_on_a_fold_that_comes_after_those_it_was_fitted_on(true):
    labels, scores, fold = true
    losses = []
    for number in (2, 3):
        before, here = fold < number, fold == number
        single = np.ones(before.sum(), np.int64)
        curve = calibrate(labels[before], scores[before], single, asked="platt", in_time=True).calibration
        losses.append(row_log_loss(labels[here], curve.apply(scores[here])))
    assert made(true, itself).log_loss["platt"] == pytest.approx(np.concatenate(losses).mean())


def test_sigmoid_of_scores_that_rank_the_wrong_way_round_is_not_taken(true):
    found = made(true, lambda p: 1 - p, asked="platt")
    assert found.calibration is None
    assert "it would not rise, so scores stay raw" in found.note


@pytest.mark.parametrize("asked", ["platt", "isotonic"])
def test_no_two_rows_are_reversed(true, asked):
    labels, scores, _ = true
    curve = made(true, itself, asked=asked).calibration
    order = np.argsort(scores)
    assert (np.diff(curve.apply(scores[order])) >= 0).all()
    raw, served = ranking_metrics(labels, scores), ranking_metrics(labels, curve.apply(scores))
    assert served["roc_auc"] == pytest.approx(raw["roc_auc"], abs=0.005)
    if asked == "platt":
        assert served == raw


def test_isotonic_curve_is_sure_of_nothing_that_its_rows_can_not_show():
    labels = np.repeat([0, 1], 20).astype(np.int8)
    found = calibrate(labels, np.linspace(0, 1, 40), np.tile([1, 2], 20), asked="isotonic", in_time=False)
    given = found.calibration.apply(np.array([0.0, 1.0]))
    assert given.tolist() == pytest.approx([1 / 42, 41 / 42], rel=2e-3)


def test_isotonic_curve_gives_no_two_scores_one_probability():
    rng = np.random.default_rng(0)
    scores = rng.random(400)
    labels = (rng.random(400) < scores**2).astype(np.int8)
    found = calibrate(labels, scores, np.tile([1, 2], 200), asked="isotonic", in_time=False)
    given = found.calibration.apply(np.linspace(0, 1, 1000))
    assert (np.diff(given) > 0).all()
    # Nor does it make much of a little.
    assert np.diff(given).max() < 0.05


def test_sigmoid_of_scores_that_part_the_classes_has_an_end_to_its_steepness():
    labels = np.repeat([0, 1], 20).astype(np.int8)
    found = calibrate(labels, np.linspace(0, 1, 40), np.tile([1, 2], 20), asked="platt", in_time=False)
    given = found.calibration.apply(np.array([0.0, 0.5, 1.0]))
    assert given[0] < 0.001 < given[1] < 0.999 < given[2] <= 1


def test_isotonic_curve_of_scores_that_differ_in_their_last_digits_has_a_probability_for_each():
    # As a logistic regression gives them that is sure of itself: sklearn's fit takes neighbours like these for one.
    near = 1 - np.arange(1, 8) * 2.0**-53
    scores = np.concatenate([np.linspace(0.001, 0.99, 500), near, 1 - near])
    labels = (scores > 0.7).astype(np.int8)
    labels[::50] = 1 - labels[::50]
    found = calibrate(labels, scores, np.ones(len(scores), np.int64), asked="isotonic", in_time=True).calibration
    given = found.apply(scores)
    assert np.isfinite(found.y).all()
    assert ((given > 0) & (given < 1)).all()
