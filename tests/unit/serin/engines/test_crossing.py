"""Where the engine that is quick with few rows is overtaken by the one that is with many."""

import numpy as np
import pytest

from serin.engines.crossing import BUDGET_SECONDS, SIZES, Crossing, crossing, in_single, measure


class Machine:
    """A clock, and scorers that take so many seconds for a call and for each row."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[str, int]] = []

    def clock(self) -> float:
        return self.now

    def scorer(self, name, call, row):
        def score(inputs):
            self.calls.append((name, len(inputs)))
            self.now += call + row * len(inputs)
            return np.full(len(inputs), float(len(name)))

        return score


ROWS = np.zeros((10, 3), np.float32)


def test_crossing_is_where_the_lines_cross():
    machine = Machine()
    fast, native = machine.scorer("onnx", 1e-5, 7e-6), machine.scorer("xgboost", 4e-4, 2e-6)
    found = measure(fast, native, ROWS, machine.clock)
    assert tuple(found.seconds) == SIZES
    assert found.rows == 78  # (4e-4 - 1e-5) / (7e-6 - 2e-6) rows take both the same time
    assert found.told("onnx", "xgboost") == "onnx below 78 rows, xgboost from there on"


def test_few_rows_are_scored_by_the_one_and_many_by_the_other():
    machine = Machine()
    score = Crossing(5, {}).scorer(machine.scorer("onnx", 0, 0), machine.scorer("native", 0, 0))
    for size in (1, 4, 5, 6):
        score(np.zeros((size, 3), np.float32))
    assert machine.calls == [("onnx", 1), ("onnx", 4), ("native", 5), ("native", 6)]


@pytest.mark.parametrize("large", [3.4e38, -3.4e38, 2e18])
def test_inputs_that_single_precision_may_not_standardise_are_the_other_engines(large):
    machine = Machine()
    score = in_single(machine.scorer("onnx", 0, 0), machine.scorer("sklearn", 0, 0))
    for rows in (ROWS, np.full((2, 3), np.nan, np.float32), np.array([[large, np.nan, 0]], np.float32)):
        score(rows)
    assert machine.calls == [("onnx", 10), ("onnx", 2), ("sklearn", 1)]


def test_engine_that_is_never_overtaken_scores_all():
    machine = Machine()
    fast, native = machine.scorer("onnx", 1e-5, 1e-6), machine.scorer("native", 4e-4, 2e-6)
    found = measure(fast, native, ROWS, machine.clock)
    assert found.rows is None
    assert found.scorer(fast, native) is fast
    assert found.told("onnx", "native") == (
        "onnx, which was quicker than native for all numbers of rows up to 4,096"
    )  # fmt: skip


def test_engine_that_is_never_the_quicker_one_scores_nothing():
    found = crossing({1: (2.0, 1.0), 4: (3.0, 1.0)})
    assert found == 1
    assert Crossing(found, {1: (2.0, 1.0)}).told("onnx", "native").startswith("native, which was quicker than onnx")


def test_one_lucky_measurement_is_not_taken_for_the_crossing():
    assert crossing({1: (1.0, 2.0), 4: (2.1, 2.0), 16: (2.0, 3.0), 64: (9.0, 5.0)}) > 16


@pytest.mark.parametrize("row", [5e-5, 1e-4, 1e-3, 1e-2])
def test_slow_models_are_timed_on_fewer_rows_and_not_beyond_the_budget(row):
    machine = Machine()
    found = measure(machine.scorer("onnx", 0, row), machine.scorer("native", 0, row), ROWS, machine.clock)
    assert 0 < len(found.seconds) < len(SIZES)
    assert machine.now <= BUDGET_SECONDS


def test_model_whose_calls_alone_are_slow_is_still_timed_on_more_than_one_row():
    machine = Machine()
    found = measure(machine.scorer("onnx", 1e-5, 1e-5), machine.scorer("forest", 0.02, 1e-6), ROWS, machine.clock)
    assert max(found.seconds) >= 256
    assert machine.now <= BUDGET_SECONDS
