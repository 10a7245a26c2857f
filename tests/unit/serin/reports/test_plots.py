"""Figures: well-formed SVG with the numbers in it, whatever the columns are called."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from serin.errors import DataError
from serin.reports import plots
from tests.markup import HOSTILE, texts


def test_curves_name_both_models_with_their_areas(scored):
    labels, good, poor = scored
    found = texts(plots.curves(labels, {"candidate": good, "champion": poor}))
    legends = [text for text in found if text.startswith(("candidate: ", "champion: "))]
    areas = {text.split()[0] + text.split()[1]: float(text.split()[2]) for text in legends}
    assert areas["candidate:AUC"] == pytest.approx(0.98, abs=0.02)
    assert areas["champion:AUC"] < areas["candidate:AUC"]
    assert areas["champion:AP"] < areas["candidate:AP"]
    assert f"chance: AP {np.mean(labels):.3f}" in found


def test_curves_of_perfect_scores():
    labels = np.array([0, 1] * 20)
    assert "m: AUC 1.000" in texts(plots.curves(labels, {"m": labels.astype(float)}))


def test_curves_of_one_class():
    with pytest.raises(DataError, match=r"needs rows of both classes, 0 and 1; the labels hold \[0\]$"):
        plots.curves(np.zeros(5, int), {"m": np.zeros(5)})


def test_curves_of_many_rows_stay_small():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200_000)
    assert texts(plots.curves(labels, {"m": random.random(200_000)}))


def test_confusion_holds_counts_and_rates():
    found = texts(plots.confusion(np.array([[9800, 100], [30, 70]]), ("genuine", "fraud")))
    assert "Finds 70% of fraud; 41% of flags are right" in found
    assert {"9,800", "100", "30", "70", "70.0% of row"} <= set(found)


def test_confusion_where_nothing_is_flagged_and_a_class_is_empty():
    assert "Finds 0% of yes; nothing is flagged" in texts(plots.confusion(np.zeros((2, 2), int), ("no", "yes")))


def test_score_histogram_says_what_the_threshold_flags(scored):
    labels, good, _ = scored
    found = texts(plots.score_histogram(labels, good, 0.5))
    assert f"Flags {np.mean(good[labels == 1] >= 0.5):.0%} of positives, " in " ".join(found)
    assert "threshold 0.500" in found


def test_drift_bars_are_sorted_and_say_how_many_drifted():
    found = texts(plots.drift_bars({"a": 0.1, "b": 2.5, "c": 0.3}, dict.fromkeys("abc", 0.2), ("b", "c")))
    assert [text for text in found if text in ("a", "b", "c")] == ["b", "c", "a"]
    assert {"2.500", "0.300", "0.100", "2 of 3 columns drifted"} <= set(found)


def test_drift_bars_without_drift():
    assert "No column drifted" in texts(plots.drift_bars({"a": 0.0}, {"a": 0.2}, ()))


def test_drift_bars_of_many_columns_show_the_largest():
    measures = {f"c{number}": number / 100 for number in range(40)}
    found = texts(plots.drift_bars(measures, dict.fromkeys(measures, 1.0), ()))
    assert "c39" in found
    assert "c9" not in found
    assert "No column drifted; the first 30 are shown" in found


def test_distribution_of_numbers_names_the_medians_and_what_is_missing():
    found = texts(plots.distribution(pd.Series([1.5, 2.5, 3.5]), pd.Series([5.5, np.nan]), "AMOUNT"))
    assert {"Median 2.5 before, 5.5 now", "AMOUNT", "now (50% missing)", "reference"} <= set(found)


def test_distribution_of_categories_names_the_one_that_moved_most():
    found = texts(plots.distribution(pd.Series(["a"] * 9 + ["b"]), pd.Series(["a", "b", "b", "b"]), "CHANNEL"))
    assert "a: 90% before, 25% now" in found


def test_distribution_of_many_categories_shows_the_rest_as_other():
    many = pd.Series([f"c{number}" for number in range(20)])
    assert "other" in texts(plots.distribution(many, many, "c"))


@pytest.mark.parametrize("values", [[np.nan, np.nan], [3.0, 3.0], [np.inf, 1.0]])
def test_distribution_of_columns_with_little_in_them(values):
    assert texts(plots.distribution(pd.Series(values), pd.Series(values), "x"))


def test_distribution_of_text_that_is_all_missing():
    empty = pd.Series([None, None], dtype=object)
    assert "No values" in texts(plots.distribution(empty, empty, "x"))


def test_names_with_markup_and_mathematics_stay_text(scored):
    labels, good, _ = scored
    for svg in (
        plots.curves(labels, {HOSTILE: good}),
        plots.confusion(np.eye(2, dtype=int), (HOSTILE, HOSTILE)),
        plots.drift_bars({HOSTILE: 1.0}, {HOSTILE: 0.2}, (HOSTILE,)),
        plots.distribution(pd.Series([1.0]), pd.Series([2.0]), HOSTILE),
        plots.distribution(pd.Series([HOSTILE]), pd.Series([HOSTILE]), HOSTILE),
    ):
        assert any(text.startswith(HOSTILE[:9]) for text in texts(svg))


def test_equal_input_gives_equal_text(scored):
    labels, good, _ = scored
    assert plots.score_histogram(labels, good, 0.5) == plots.score_histogram(labels, good, 0.5)


def test_drawing_leaves_the_settings_of_matplotlib_alone(scored):
    before = dict(matplotlib.rcParams)
    plots.drift_bars({"a": 0.1}, {"a": 0.2}, ())
    assert dict(matplotlib.rcParams) == before
