"""Fits: the same model however often they are ended, with all that serving needs inside it."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serin import engines, estimators
from serin.estimators import chunks, random_forest
from serin.estimators.base import Rows, Unkept
from serin.schema import InputColumn, InputSchema

CITIES = ("Bern", "Chur", "Genf")
INPUTS = InputSchema(
    columns=(
        InputColumn(name="x"),
        InputColumn(name="y"),
        InputColumn(name="city", kind="category", categories=CITIES),
    )
)
# All that draws lots in a fit is asked for.
PARAMETERS: dict[str, dict[str, Any]] = {
    "logistic_regression": {"class_weight": "balanced"},
    "random_forest": {"n_estimators": 60, "class_weight": "balanced_subsample", "max_samples": 0.5, "max_depth": 5},
    "xgboost": {"n_estimators": 250, "max_depth": 3, "subsample": 0.7, "colsample_bynode": 0.5},
    "lightgbm": {"n_estimators": 250, "num_leaves": 7, "subsample": 0.7, "subsample_freq": 1, "colsample_bytree": 0.7},
}
BOOSTERS = ("lightgbm", "xgboost")


class EndedError(Exception):
    """The process was told to end."""


class Kept:
    """Parts that end the fit after each part that is kept; `told` are the units that were done then."""

    def __init__(self, *, ending: bool = True) -> None:
        self.told: list[tuple[int, int]] = []
        self._ending = ending
        self._part: tuple[int, bytes] | None = None

    def latest(self) -> tuple[int, bytes] | None:
        return self._part

    def done(self, units: int, of: int, model: Callable[[], bytes]) -> None:
        self.told.append((units, of))
        self._part = (units, model())
        if self._ending:
            raise EndedError


@pytest.fixture(scope="module")
def rows() -> Rows:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)).astype(np.float32)
    X[:, 2] = rng.integers(0, len(CITIES), 500)
    y = X[:, 0] + X[:, 1] ** 2 + (X[:, 2] == 1) + rng.normal(0, 0.5, 500) > 2
    X[rng.random(X.shape) < 0.1] = np.nan
    return Rows(X, y.astype(np.int8))


def fit(name: str, rows: Rows, parts: Any = None, seed: int = 5, threads: int = 1, **more: Any) -> Any:
    estimator = estimators.known()[name]
    given = estimator.settings({**PARAMETERS[name], **more})
    return estimator.fit(rows, given, INPUTS, seed, parts=parts or Unkept(), threads=threads)


def scores(model: Any, rows: Rows) -> Any:
    return model.predict_proba(rows.X)[:, 1]


@pytest.mark.parametrize("name", PARAMETERS)
def test_fit_that_is_ended_after_each_part_and_gone_on_with_equals_the_undisturbed_one(name: str, rows: Rows) -> None:
    parts, model = Kept(), None
    while model is None:
        try:
            model = fit(name, rows, parts)
        except EndedError:
            assert len(parts.told) < 10
    done = [units for units, _ in parts.told]
    assert done == sorted(set(done)), "a part was done twice"
    assert len(done) == {"logistic_regression": 1}.get(name, 3)
    assert parts.told[-1][0] == parts.told[-1][1]
    np.testing.assert_array_equal(scores(model, rows), scores(fit(name, rows), rows))


@pytest.mark.parametrize("name", PARAMETERS)
def test_fit_is_the_same_for_a_seed_and_another_for_another(name: str, rows: Rows) -> None:
    few = {} if name == "logistic_regression" else {"n_estimators": 20}
    first = scores(fit(name, rows, **few), rows)
    np.testing.assert_array_equal(first, scores(fit(name, rows, threads=2, **few), rows))
    if few:  # The other draws no lots.
        assert not np.array_equal(first, scores(fit(name, rows, seed=6, **few), rows))


@pytest.mark.parametrize("name", PARAMETERS)
def test_gaps_and_unknown_categories_are_the_models_own_affair(name: str, rows: Rows, tmp_path: Path) -> None:
    model = fit(name, rows)
    engine = engines.known()[estimators.known()[name].engine]
    engine.save(model, tmp_path / engine.file)
    score = engine.load(tmp_path / engine.file)
    np.testing.assert_allclose(score(rows.X), scores(model, rows), atol=1e-12)
    empty = score(np.full((1, 3), np.nan, np.float32))
    assert 0 < empty[0] < 1
    by_city = score(np.array([[1, 1, code] for code in (0, 1, np.nan)], np.float32))
    assert by_city[1] > by_city[0]


@pytest.mark.parametrize("name", PARAMETERS)
def test_weight_of_a_row_counts(name: str, rows: Rows) -> None:
    plain = {"n_estimators": 20} if name in BOOSTERS else {"class_weight": None}
    heavy = Rows(rows.X, rows.y, np.where(rows.y == 1, 20, 1).astype(np.float32))
    assert scores(fit(name, heavy, **plain), rows).mean() > scores(fit(name, rows, **plain), rows).mean() + 0.05


@pytest.mark.parametrize("name", BOOSTERS)
def test_boosting_in_chunks_learns_as_boosting_at_once_does(name: str, rows: Rows, monkeypatch: Any) -> None:
    without_lots = {"subsample": 1.0, "colsample_bynode" if name == "xgboost" else "colsample_bytree": 1.0}
    in_chunks = scores(fit(name, rows, **without_lots), rows)
    monkeypatch.setattr(chunks, "_MOST", 1000)
    np.testing.assert_allclose(in_chunks, scores(fit(name, rows, **without_lots), rows), atol=1e-4)


@pytest.mark.parametrize("name", BOOSTERS)
def test_part_that_ends_within_a_chunk_is_told_and_not_gone_on_with(
    name: str, rows: Rows, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = Kept(ending=False)
    with monkeypatch.context() as other:
        other.setattr(chunks, "_MOST", 30)
        fit(name, rows, parts, n_estimators=30)
    model = fit(name, rows, parts, n_estimators=120)
    assert "has 30 rounds, and its chunks end at others; it is begun anew" in capsys.readouterr().out
    np.testing.assert_array_equal(scores(model, rows), scores(fit(name, rows, n_estimators=120), rows))


def test_chunk_is_shorter_with_more_values() -> None:
    assert chunks.chunk_of((100, 10)) == 100
    assert 10 < chunks.chunk_of((1_750_000, 15)) < 50
    assert chunks.chunk_of((10**9, 15)) == 10


@pytest.mark.parametrize(("given", "taken"), [({}, 300), ({"max_samples": 0.5}, 0.5), ({"bootstrap": False}, None)])
def test_tree_of_a_forest_is_grown_on_a_bounded_number_of_rows_and_it_is_told(
    given: dict[str, Any], taken: float | None, rows: Rows, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(random_forest, "ROWS_A_TREE", 300)
    model = estimators.known()["random_forest"].fit(
        rows, {"n_estimators": 2, **given}, INPUTS, 0, parts=Unkept()
    )  # fmt: skip
    assert model.steps[-1][1].max_samples == taken  # type: ignore[attr-defined]
    told = "serin: random_forest: each tree is grown on 300 of 500 rows" in capsys.readouterr().out
    assert told == (taken == 300)


def test_xgboost_without_cuda_or_gpu_is_trained_on_the_cpu_and_it_is_told(
    rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    from serin.estimators.cuda import reason_against

    if not reason_against():
        pytest.skip("a GPU is here")
    estimator = estimators.known()["xgboost"]
    model = estimator.fit(rows, PARAMETERS["xgboost"], INPUTS, 5, parts=Unkept(), device="cuda")
    assert capsys.readouterr().out.startswith("serin: xgboost trains on the CPU: this ")
    np.testing.assert_array_equal(scores(model, rows), scores(fit("xgboost", rows), rows))


def test_logistic_regression_that_does_not_converge_is_told(rows: Rows, capsys: pytest.CaptureFixture[str]) -> None:
    fit("logistic_regression", rows, max_iter=1)
    assert capsys.readouterr().out == (
        "serin: logistic_regression did not converge; its max_iter or tol is too small for these inputs\n"
    )


def test_lightgbm_on_a_machine_without_libgomp_is_missing_and_says_what_to_install(tmp_path: Path) -> None:
    broken = "raise OSError('libgomp.so.1: cannot open shared object file: No such file or directory')"
    told = missing(tmp_path, broken)
    assert told == ["LightGBM needs the system's libgomp.so.1, which this machine lacks; apt-get install libgomp1"]
    assert missing(tmp_path, "raise ImportError") == ["LightGBM is not installed here; pip install lightgbm"]


def test_estimator_that_is_all_there_misses_nothing() -> None:
    assert [estimator.missing() for estimator in estimators.known().values()] == [""] * 5


def missing(folder: Path, lightgbm: str) -> Sequence[str]:
    """What the estimators miss where `import lightgbm` does this; the others, and all engines, are there."""
    (folder / "lightgbm.py").write_text(lightgbm)
    program = (
        "from serin import engines, estimators; assert 'lightgbm' in engines.known(); "
        "print(*filter(None, (each.missing() for each in estimators.known().values())), sep='\\n')"
    )
    paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()
