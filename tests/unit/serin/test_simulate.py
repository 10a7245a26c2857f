from datetime import date

import numpy as np
import pandas as pd
import pytest

from serin.errors import DataError
from serin.simulate import simulate

START, DRIFT = date(2026, 1, 5), date(2026, 2, 9)
COLUMNS = ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"]


@pytest.fixture(scope="module")
def drifted() -> pd.DataFrame:
    return simulate(seed=3, start=START, days=60, rows=60_000, drift_at=DRIFT)


@pytest.fixture(scope="module")
def steady() -> pd.DataFrame:
    return simulate(seed=3, start=START, days=60, rows=60_000)


def parts(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    is_before = frame["TX_DATETIME"] < pd.Timestamp(DRIFT, tz="UTC")
    return frame[is_before], frame[~is_before]


def test_transactions_have_the_columns_of_card_fraud_in_order_of_time(steady: pd.DataFrame) -> None:
    assert list(steady.columns) == COLUMNS
    assert steady["TX_DATETIME"].is_monotonic_increasing
    assert steady["TRANSACTION_ID"].is_unique
    assert steady["TX_DATETIME"].min() >= pd.Timestamp(START, tz="UTC")
    assert steady["TX_DATETIME"].max() < pd.Timestamp(START, tz="UTC") + pd.Timedelta(days=60)
    assert (steady["TX_AMOUNT"] > 0).all()


def test_rows_are_about_as_many_as_asked_for(steady: pd.DataFrame) -> None:
    assert len(steady) == pytest.approx(60_000, rel=0.1)


def test_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    first, again, other = (simulate(seed=s, start=START, days=5, rows=500) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_fraud_is_rare_before_and_after_the_drift(drifted: pd.DataFrame) -> None:
    for part in parts(drifted):
        assert 0.004 < part["TX_FRAUD"].mean() < 0.016


def test_rows_before_the_drift_do_not_know_of_it(drifted: pd.DataFrame, steady: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(parts(drifted)[0], parts(steady)[0])


def test_amounts_inflate_at_the_drift(drifted: pd.DataFrame, steady: pd.DataFrame) -> None:
    before, after = parts(drifted)
    assert after["TX_AMOUNT"].median() > 1.7 * before["TX_AMOUNT"].median()
    assert population_stability(before["TX_AMOUNT"], after["TX_AMOUNT"]) > 0.4
    assert population_stability(*(part["TX_AMOUNT"] for part in parts(steady))) < 0.02


def test_card_testing_at_night_appears_with_the_drift_only(drifted: pd.DataFrame) -> None:
    before, after = (
        part[(part["TX_AMOUNT"] <= 8) & part["TX_DATETIME"].dt.hour.between(2, 4)] for part in parts(drifted)
    )
    assert before["TX_FRAUD"].sum() <= 2
    assert after["TX_FRAUD"].sum() > 100
    assert after["TX_FRAUD"].mean() > 0.7


def test_frauds_gather_at_compromised_terminals(steady: pd.DataFrame) -> None:
    per_terminal = steady.groupby("TERMINAL_ID")["TX_FRAUD"].sum().sort_values(ascending=False)
    worst_hundredth = per_terminal.head(len(per_terminal) // 100)
    assert worst_hundredth.sum() > 0.25 * per_terminal.sum()


def test_shops_are_quieter_at_night_and_on_sundays(steady: pd.DataFrame) -> None:
    hours = steady["TX_DATETIME"].dt.hour.value_counts()
    weekdays = steady["TX_DATETIME"].dt.weekday.value_counts()
    assert hours[3] < 0.2 * hours[14]
    assert weekdays.idxmin() == 6


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"days": 0, "rows": 1}, "simulate: days is 0; allowed: 1 and more"),
        ({"days": 1, "rows": 0}, "simulate: rows is 0; allowed: 1 and more"),
        ({"days": 30, "rows": 80_000_000}, "rows asked for; allowed: up to 50,000,000"),
    ],
)
def test_sizes_out_of_bounds_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        simulate(seed=1, start=START, **sizes)


@pytest.mark.parametrize("drift_at", [date(2026, 1, 4), date(2026, 1, 10)])
def test_drift_outside_the_simulated_days_is_refused(drift_at: date) -> None:
    with pytest.raises(DataError, match=f"drift_at is {drift_at}; the simulated days are 2026-01-05 to 2026-01-09"):
        simulate(seed=1, start=START, days=5, rows=100, drift_at=drift_at)


def population_stability(reference: "pd.Series[float]", current: "pd.Series[float]") -> float:
    edges = np.quantile(reference, np.linspace(0, 1, 11))[1:-1]
    p, q = (np.bincount(np.searchsorted(edges, s), minlength=10) / len(s) + 1e-6 for s in (reference, current))
    return float(((p - q) * np.log(p / q)).sum())
