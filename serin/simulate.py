"""A card transaction simulator: customers with habits, terminals, and several patterns of fraud.

Columns and the idea of the patterns follow the Fraud Detection Handbook (Le Borgne et al.), so that the use
case `card_fraud` takes either its data or these.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.errors import DataError

DAY = 86_400  # seconds
_RATE = 1.9  # transactions of the average customer on the average day
_MAX_ROWS = 50_000_000
_FAVOURITES = 12  # terminals that a customer usually goes to
_WEEKDAY = np.array([0.95, 0.95, 0.95, 1.0, 1.15, 1.25, 0.75])  # Monday to Sunday
_INFLATION = 2.0

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass
class _Transactions:
    """Columns of equal length n; `second` counts from the start of the simulation."""

    second: Integers
    customer: Integers
    terminal: Integers
    amount: Floats
    fraud: NDArray[np.bool_]


def simulate(*, seed: int, start: date, days: int, rows: int, drift_at: date | None = None) -> pd.DataFrame:
    """Transactions of `days` days from `start` (00:00 UTC), sorted by time; the same seed gives the same rows.

    `rows` asks for about that many and decides on the number of customers; there are two terminals a customer.
    Customers make 1.9 transactions a day on average, near their home, by day rather than by night, most on
    Saturdays. Some 0.7 % of the rows are fraud:

    - large amounts: single transactions of 250 to 900;
    - compromised terminals: for four weeks most transactions at such a terminal are fraud, amounts as usual;
    - compromised cards: for two weeks a third of the card's amounts are multiplied by five.

    From `drift_at` on all amounts double and a fourth pattern appears, card testing: small amounts (0.50 to 8)
    between two and five at night. Rows before that day are the same with and without it.

    Columns: TRANSACTION_ID, TX_DATETIME (UTC, to the second), CUSTOMER_ID, TERMINAL_ID, TX_AMOUNT, TX_FRAUD.
    Raises DataError for a size that is not positive or beyond 50 million rows, or a `drift_at` outside the
    simulated days.
    """
    _check_sizes(rows, days)
    customers = max(1, round(rows / (_RATE * days)))
    terminals = 2 * customers
    people, habits, choices, crime, change = (
        np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(5)
    )
    transactions = _purchases(people, habits, choices, start.weekday(), days, customers, terminals)
    _large_amounts(crime, transactions)
    _compromised_terminals(crime, transactions, terminals, days)
    _compromised_cards(crime, transactions, customers, days)
    if drift_at is not None:
        _drift(change, transactions, _day_of_drift(drift_at, start, days) * DAY)
    return _table(transactions, start)


def _check_sizes(rows: int, days: int) -> None:
    for name, value in (("rows", rows), ("days", days)):
        if value < 1:
            raise DataError(f"simulate: {name} is {value}; allowed: 1 and more")
    if rows > _MAX_ROWS:
        raise DataError(f"simulate: {rows:,} rows asked for; allowed: up to {_MAX_ROWS:,}")


def _day_of_drift(drift_at: date, start: date, days: int) -> int:
    day = (drift_at - start).days
    if not 0 <= day < days:
        last = start + timedelta(days=days - 1)
        raise DataError(f"simulate: drift_at is {drift_at}; the simulated days are {start} to {last}")
    return day


def _purchases(
    people: np.random.Generator,
    habits: np.random.Generator,
    choices: np.random.Generator,
    weekday: int,
    days: int,
    customers: int,
    terminals: int,
) -> _Transactions:
    """Honest transactions: each customer has a frequency, a spending level, a time of day and a home."""
    rate = people.gamma(3.0, _RATE / 3.0, customers)
    level = np.clip(people.lognormal(3.6, 0.5, customers), 5.0, 250.0)
    usual_hour = people.normal(14.0, 2.0, customers)
    favourites = _favourites(people, customers, terminals)

    of_day = _WEEKDAY[(weekday + np.arange(days)) % 7]
    counts = habits.poisson(rate[:, None] * of_day[None, :])
    customer, day = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))

    n = len(customer)
    hour = habits.normal(usual_hour[customer], 4.0) % 24
    awake = np.where((hour < 6) & (habits.random(n) < 0.8), 6 + habits.random(n) * 16, hour)
    # The square makes the first favourites the most visited ones.
    rank = (choices.random(n) ** 2 * _FAVOURITES).astype(np.int64)
    elsewhere = choices.random(n) < 0.05
    terminal = np.where(elsewhere, choices.integers(0, terminals, n), favourites[customer, rank])
    amount = choices.gamma(3.0, level[customer] / 3.0)
    second = day * DAY + np.minimum((awake * 3600).astype(np.int64), DAY - 1)
    return _Transactions(second, customer, terminal, amount, np.zeros(n, bool))


def _favourites(people: np.random.Generator, customers: int, terminals: int) -> Integers:
    """The terminals near each customer's home, of shape (customers, favourites).

    Homes and terminals lie on a ring, in the order of their numbers, so that near means a near number.
    """
    home = people.random(customers) * terminals
    distance = people.laplace(0.0, 15.0, (customers, _FAVOURITES))
    return (home[:, None] + distance).astype(np.int64) % terminals


def _large_amounts(crime: np.random.Generator, transactions: _Transactions) -> None:
    hit = crime.random(len(transactions.amount)) < 0.001
    transactions.amount[hit] = crime.uniform(250.0, 900.0, hit.sum())
    transactions.fraud |= hit


def _compromised_terminals(crime: np.random.Generator, transactions: _Transactions, terminals: int, days: int) -> None:
    exposed = _periods(crime, transactions.terminal, transactions.second, terminals, days, share=0.004, length=28)
    transactions.fraud |= exposed & (crime.random(len(exposed)) < 0.9)


def _compromised_cards(crime: np.random.Generator, transactions: _Transactions, customers: int, days: int) -> None:
    exposed = _periods(crime, transactions.customer, transactions.second, customers, days, share=0.008, length=14)
    hit = exposed & (crime.random(len(exposed)) < 1 / 3) & ~transactions.fraud
    transactions.amount[hit] *= 5.0
    transactions.fraud |= hit


def _periods(
    crime: np.random.Generator,
    who: Integers,
    second: Integers,
    population: int,
    days: int,
    *,
    share: float,
    length: int,
) -> NDArray[np.bool_]:
    """Which transactions fall into a bad period of `length` days; on any day `share` of the population is in one.

    Periods also begin in the `length` days before the start, so that the share is the same from the first day.
    """
    count = max(1, round(population * share * (days + length) / length))
    victim = crime.integers(0, population, count)
    first = crime.integers(-length, days, count)
    within = np.zeros((population, days), bool)
    for offset in range(length):
        day = first + offset
        inside = (day >= 0) & (day < days)
        within[victim[inside], day[inside]] = True
    found: NDArray[np.bool_] = within[who, second // DAY]
    return found


def _drift(change: np.random.Generator, transactions: _Transactions, since: int) -> None:
    later = transactions.second >= since
    transactions.amount[later] *= _INFLATION
    hit = later & (change.random(len(later)) < 0.006) & ~transactions.fraud
    night = change.integers(2 * 3600, 5 * 3600, hit.sum())
    transactions.second[hit] = transactions.second[hit] // DAY * DAY + night
    transactions.amount[hit] = change.uniform(0.5, 8.0, hit.sum())
    transactions.fraud |= hit


def _table(transactions: _Transactions, start: date) -> pd.DataFrame:
    # Ties are broken by customer: rows before a drift must not depend on those after it.
    order = np.lexsort((transactions.customer, transactions.second))
    midnight = np.datetime64(start, "s").astype(np.int64)
    times = pd.DatetimeIndex((transactions.second[order] + midnight) * 1_000_000, dtype="datetime64[us]")
    return pd.DataFrame(
        {
            "TRANSACTION_ID": np.arange(len(order), dtype=np.int64),
            "TX_DATETIME": times.tz_localize("UTC"),
            "CUSTOMER_ID": transactions.customer[order],
            "TERMINAL_ID": transactions.terminal[order],
            "TX_AMOUNT": np.round(np.maximum(transactions.amount[order], 0.01), 2),
            "TX_FRAUD": transactions.fraud[order].astype(np.int64),
        }
    )
