from typing import Any

import numpy as np
import pandas as pd
import pytest

from serin.scaffold.columns import describe
from serin.scaffold.leaks import SUSPECT, parts_of_dates, tells


def area(values: Any, label: Any) -> float | None:
    return tells(describe(pd.Series(values)), pd.Series(label).astype("Int64"))


@pytest.mark.parametrize("share", [0.5, 0.1, 0.05])
@pytest.mark.parametrize("kind", ["index", "far", "category", "missing", "two sides"])
def test_column_that_tells_the_label_is_found_whatever_its_kind(kind: str, share: float) -> None:
    random = np.random.default_rng(7)
    label = random.permutation((np.arange(3000) < share * 3000).astype(int))
    noise = random.normal(size=3000)
    values = {
        "index": np.argsort(np.argsort(label + noise / 1e6)),
        "far": label * 100 + noise,
        "category": np.where(label == 1, random.choice(["moved", "sold"], 3000), "none"),
        "missing": np.where(label == 1, np.nan, noise),
        "two sides": np.where(label == 1, np.sign(noise) * 100, noise),
    }[kind]
    found = area(values, label)
    assert found is not None
    assert found >= SUSPECT


@pytest.mark.parametrize("rows", [20, 60, 100, 3000])
@pytest.mark.parametrize("kind", ["unique numbers", "unique texts", "pairs", "noise", "constant"])
def test_column_that_knows_nothing_is_not_accused_however_few_rows_share_a_value(kind: str, rows: int) -> None:
    random = np.random.default_rng(7)
    label = random.permutation(np.arange(rows) % 2)
    values = {
        "unique numbers": random.permutation(rows) * 1.5,
        "unique texts": [f"name {place}" for place in range(rows)],
        "pairs": [f"name {place}" for place in (np.argsort(label, kind="stable") // 2)],
        "noise": random.choice(["a", "b", "c"], rows),
        "constant": ["a"] * rows,
    }[kind]
    found = area(values, label)
    assert found is None or found < 0.7


def test_good_column_is_not_accused() -> None:
    random = np.random.default_rng(7)
    label = np.arange(3000) % 2
    found = area(label + random.normal(size=3000), label)
    assert found is not None
    assert 0.7 < found < 0.85


def test_nothing_is_said_without_enough_rows_of_each_class() -> None:
    label = np.array([1] * 19 + [0] * 500)
    assert area(label.astype(float), label) is None


def test_rows_without_a_label_do_not_count() -> None:
    label = pd.Series([1, 0] * 100 + [None] * 50, dtype="Int64")
    values = pd.Series([5.0, 1.0] * 100 + [5.0] * 50)
    assert tells(describe(values), label) == 1.0


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("year", [2024, 2025], True),
        ("arrival_date_month", ["July", "August"], True),
        ("Month", [1, 12], True),
        ("day_of_week", ["mon", "fri"], True),
        ("arrivalDateWeekNumber", [1, 53], True),
        ("birth_year", [1970, 1980], False),
        ("year", [3, 7], False),
        ("month", ["one", "two"], False),
        ("days_left", [1, 2], False),
        ("age", [30, 40], False),
    ],
)
def test_parts_of_dates_are_known_by_name_and_values(name: str, values: list[Any], expected: bool) -> None:
    assert parts_of_dates({name: describe(pd.Series(values))}) == ([name] if expected else [])
