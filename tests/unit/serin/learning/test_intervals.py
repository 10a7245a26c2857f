"""Bootstrap intervals: against scikit-learn on rows that were really drawn, and against what chance must give."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from serin.learning import intervals as module
from serin.learning.assessed import Assessed, Daily, metrics
from serin.learning.intervals import intervals
from serin.learning.metrics import precision_at_k

ROWS = 600


def made(seed=0, rate=0.1, ties=False):
    rng = np.random.default_rng(seed)
    scores = rng.beta(1, 1 / rate, ROWS)
    labels = (rng.random(ROWS) < scores).astype(np.int8)
    return labels, np.round(scores, 1) if ties else scores


def daily(known=frozenset(), k=5):
    rng = np.random.default_rng(5)
    times = pd.Series(pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 96, ROWS), unit="h"))
    return Daily("card", k, pd.Series(rng.integers(0, 40, ROWS)), times, known)


def weighted(on, scores, weights, threshold=0.2):
    """Every metric for one draw."""
    return {name: float(value[0]) for name, value in module._everything(on, scores, threshold)(weights[None]).items()}


@pytest.mark.parametrize("ties", [False, True])
def test_draw_of_every_row_once_has_the_metrics_themselves(ties):
    labels, scores = made(ties=ties)
    on = Assessed(labels, daily(known=frozenset({3, 7, 8})))
    assert weighted(on, scores, np.ones(ROWS)) == pytest.approx(metrics(on, scores, 0.2))


@pytest.mark.parametrize("ties", [False, True])
def test_draw_has_the_metrics_of_the_rows_that_were_drawn(ties):
    labels, scores = made(ties=ties)
    drawn = np.random.default_rng(1).integers(0, ROWS, ROWS)
    found = weighted(Assessed(labels), scores, np.bincount(drawn, minlength=ROWS).astype(float))
    assert found["roc_auc"] == pytest.approx(roc_auc_score(labels[drawn], scores[drawn]))
    assert found["average_precision"] == pytest.approx(average_precision_score(labels[drawn], scores[drawn]))
    expected = metrics(Assessed(labels[drawn]), scores[drawn], 0.2)
    for name in ("log_loss", "brier", "precision", "recall", "f1"):
        assert found[name] == pytest.approx(expected[name])


def test_draw_of_entities_has_the_precision_of_the_entities_that_were_drawn():
    labels, scores = made(rate=0.3)
    on = Assessed(labels, daily(known=frozenset({3})))
    drawn = np.random.default_rng(1).integers(0, 40, 40)
    found = weighted(on, scores, np.bincount(drawn, minlength=40)[on.daily.entities].astype(float))
    # One who was drawn again is another entity of the same rows.
    parts = [np.flatnonzero(on.daily.entities == entity) for entity in drawn]
    rows = np.concatenate(parts)
    names = pd.Series(np.repeat(on.daily.entities.to_numpy()[[p[0] for p in parts]] * 100, [len(p) for p in parts]))
    names += np.repeat(np.arange(40), [len(p) for p in parts])
    times = on.daily.times.iloc[rows].reset_index(drop=True)
    known = {name for name in names if name // 100 == 3}
    given = (names, times, labels[rows], scores[rows], 5)
    assert found["card_precision_at_5"] == pytest.approx(precision_at_k(*given))
    assert found["card_precision_at_5_known_left_out"] == pytest.approx(precision_at_k(*given, leave_out=known))


def test_interval_holds_the_value_and_widens_with_the_confidence():
    labels, scores = made()
    narrow, wide = (
        intervals(Assessed(labels), scores, 0.2, confidence=confidence, seed=0)["roc_auc"] for confidence in (0.8, 0.99)
    )
    assert wide.low < narrow.low < narrow.value == wide.value < narrow.high < wide.high


def test_interval_is_as_wide_as_its_known_standard_error():
    rng = np.random.default_rng(0)
    labels = (rng.random(4000) < 0.2).astype(np.int8)
    found = intervals(Assessed(labels), np.full(4000, 0.9), 0.5, confidence=0.95, seed=0)["precision"]
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.2 * 0.8 / 4000), rel=0.15)


def test_rows_of_one_entity_count_as_one_that_was_drawn():
    labels, scores = made(rate=0.3)
    twins = Daily("card", 5, pd.Series(np.arange(ROWS * 4) // 4), pd.concat([daily().times] * 4), frozenset())
    fourfold = Assessed(np.repeat(labels, 4), twins)
    by_entity = intervals(fourfold, np.repeat(scores, 4), 0.2, confidence=0.95, seed=0)["roc_auc"]
    by_row = intervals(Assessed(fourfold.labels), np.repeat(scores, 4), 0.2, confidence=0.95, seed=0)["roc_auc"]
    assert (by_entity.high - by_entity.low) / (by_row.high - by_row.low) == pytest.approx(2, rel=0.2)


def test_same_seed_has_the_same_interval_and_another_one_another():
    labels, scores = made()
    first, again, other = (intervals(Assessed(labels), scores, 0.2, confidence=0.95, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_draw_without_a_positive_is_passed_over():
    labels = np.zeros(50, np.int8)
    labels[0] = 1
    found = intervals(Assessed(labels), np.linspace(1, 0, 50), 0.5, confidence=0.9, seed=0)
    assert (found["roc_auc"].low, found["roc_auc"].high) == (1, 1)


def test_fewer_draws_of_very_many_rows_are_told(monkeypatch, capsys):
    monkeypatch.setattr(module, "_MOST_CELLS", 200 * ROWS)
    assert sum(len(weights) for weights in module._draws(Assessed(made()[0]), 0)) == 200
    assert "intervals of 600 rows are of 200 draws instead of 500" in capsys.readouterr().out
