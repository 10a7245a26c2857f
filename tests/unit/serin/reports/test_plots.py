"""Figures: well-formed SVG with the numbers in it, whatever the columns are called."""

import re

import matplotlib
import numpy as np
import pytest

from serin.errors import DataError
from serin.reports import plots
from tests.markup import HOSTILE, texts


def test_curves_name_both_models_with_their_areas(scored):
    labels, good, poor = scored
    found = texts(plots.curves(labels, {"candidate": good, "champion": poor}))
    areas = {match[1]: float(match[2]) for text in found if (match := re.match(r"(\w+ \(\w+) = ([\d.]+)\)", text))}
    assert areas["candidate (AUC"] == pytest.approx(0.98, abs=0.02)
    assert areas["champion (AUC"] < areas["candidate (AUC"]
    assert areas["champion (AP"] < areas["candidate (AP"]
    assert sum(text.startswith("Chance level") for text in found) == 2


def test_curves_of_perfect_scores():
    labels = np.array([0, 1] * 20)
    assert "Ranks 100.0% of pairs in the right order" in texts(plots.curves(labels, {"m": labels.astype(float)}))


def test_curves_of_one_class():
    with pytest.raises(DataError, match=r"needs rows of both classes, 0 and 1; the labels hold \[0\]$"):
        plots.curves(np.zeros(5, int), {"m": np.zeros(5)})


def test_curves_of_many_rows_stay_small():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200_000)
    assert texts(plots.curves(labels, {"m": random.random(200_000)}))


def test_confusion_holds_counts_and_rates():
    labels, decisions = np.repeat([0, 0, 1, 1], [9800, 100, 30, 70]), np.repeat([0, 1, 0, 1], [9800, 100, 30, 70])
    found = " ".join(texts(plots.confusion(labels, decisions)))
    assert "Finds 70% of positives; 41% of flags are right" in found
    for count in ("9,800", "100", "30", "70", "70.0% of row"):
        assert count in found


def test_confusion_where_nothing_is_flagged_and_a_class_is_empty():
    none = np.zeros(5, int)
    assert "Finds 0% of positives; nothing is flagged" in texts(plots.confusion(none, none))


def test_score_histogram_says_what_the_threshold_flags(scored):
    labels, good, _ = scored
    found = texts(plots.score_histogram(labels, good, 0.5))
    assert f"Flags {np.mean(good[labels == 1] >= 0.5):.0%} of positives, " in " ".join(found)
    assert "threshold 0.500" in found


def test_names_with_markup_and_mathematics_stay_text(scored):
    labels, good, _ = scored
    assert any(text.startswith(HOSTILE[:9]) for text in texts(plots.curves(labels, {HOSTILE: good})))


def test_equal_input_gives_equal_text(scored):
    labels, good, _ = scored
    assert plots.score_histogram(labels, good, 0.5) == plots.score_histogram(labels, good, 0.5)


def test_drawing_leaves_the_settings_of_matplotlib_alone(scored):
    before = dict(matplotlib.rcParams)
    labels, good, _ = scored
    plots.score_histogram(labels, good, 0.5)
    assert dict(matplotlib.rcParams) == before


def test_reliability_of_rare_labels_says_how_mean_score_and_positives_compare(scored):
    labels, good, poor = scored
    found = texts(plots.reliability(labels, {"candidate": good, "champion": poor}))
    assert f"Mean score {good.mean():.1%}, positives {labels.mean():.2%}" in found
    assert {"candidate", "champion"} <= set(found)


def test_reliability_of_scores_that_are_all_the_same():
    labels = np.array([0, 1] * 50)
    assert "Mean score 50.0%, positives 50.0%" in texts(plots.reliability(labels, {"m": np.full(100, 0.5)}))


def test_reliability_of_one_class():
    with pytest.raises(DataError, match="needs rows of both classes"):
        plots.reliability(np.zeros(5, int), {"m": np.zeros(5)})
