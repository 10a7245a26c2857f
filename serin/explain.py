"""Which input moved a score by how much: SHAP values of the model that an artifact holds.

A row's values add up, with `base`, to what the model gives before it is calibrated (S. Lundberg, S. Lee, "A Unified
Approach to Interpreting Model Predictions", 2017). How they are had depends on the model:

    boosted trees            the libraries' own exact TreeSHAP, in log-odds
    random forest            shap's TreeExplainer, in probability, for as many rows as trees of that size allow
    logistic regression      exact: the weight times the distance from the background's mean, in log-odds
    all others, the stack    shap's KernelExplainer against the background, in log-odds: an estimate

It stands on the ground floor, as evaluation and predictor explain alike.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serin import engines
from serin.artifact import Manifest
from serin.engines import Scorer
from serin.errors import UnavailableError
from serin.estimators.kept import loads

MAX_ROWS = 500
# A forest's leaves times the square of their depth, over all trees and rows: some 20 s on one core.
MAX_TREE_WORK = 2e10
# Fewer rows of a forest than this show nothing of it as a whole.
LEAST_ROWS = 20
# Rows that the kernel explainer may have scored: rows to explain x coalitions x rows of background.
MAX_EVALUATIONS = 200_000
BACKGROUND_ROWS = 20
# What the values may miss the score by; single precision alone makes 1e-6 of it.
TOLERANCE = 1e-4
# A probability of 0 or 1 has no logarithm of its odds.
_LEAST = 1e-7

Scale = Literal["log-odds", "probability"]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """SHAP values of n rows: `values` of shape (n, columns) on `scale`, `inputs` as the model got them, of that shape.

    `method` says in words how the values were had. `gap` is the most by which base and values of a row miss its score.
    """

    names: tuple[str, ...]
    values: Matrix
    base: float
    inputs: NDArray[np.float32]
    scale: Scale
    method: str
    gap: float

    @property
    def importance(self) -> dict[str, float]:
        """Mean absolute value by input, the largest first."""
        means = np.abs(self.values).mean(axis=0)
        order = np.argsort(-means, kind="stable")
        return {self.names[place]: float(means[place]) for place in order}

    @property
    def adds_up(self) -> bool:
        """Whether base and values give each row's score again, within TOLERANCE."""
        return self.gap <= TOLERANCE


@dataclass(frozen=True)
class _Values:
    places: NDArray[np.int64]
    values: Matrix
    base: float
    scale: Scale
    method: str


def explain(
    folder: Path, manifest: Manifest, inputs: NDArray[np.float32], background: NDArray[np.float32], seed: int
) -> Explanation:
    """Explain up to MAX_ROWS of the encoded rows `inputs`, shape (n, columns), drawn by `seed`.

    `folder` is a verified artifact, `background` encoded rows of its training. Raises UnavailableError where shap is
    needed and missing here.
    """
    drawn = _drawn(len(inputs), MAX_ROWS, seed)
    rows = inputs[drawn]
    name = manifest.engine
    path = folder / manifest.models[name]
    scorer = engines.known()[name].load(path)
    found = _by_engine(name, path, rows, background) or _kernel(scorer, rows, background, seed)
    rows = rows[found.places]
    sums = found.base + found.values.sum(axis=1)
    again = _probability(sums) if found.scale == "log-odds" else sums
    gap = float(np.max(np.abs(again - scorer(rows)), initial=0.0))
    return Explanation(manifest.inputs.names, found.values, found.base, rows, found.scale, found.method, gap)


def _by_engine(name: str, path: Path, rows: NDArray[np.float32], background: NDArray[np.float32]) -> _Values | None:
    """What an engine's own model tells; None where only its scores are left to explain it by."""
    if name == "xgboost":
        return _xgboost(path, rows)
    if name == "lightgbm":
        return _lightgbm(path, rows)
    return _sklearn(path, rows, background) if name == "sklearn" else None


def _xgboost(path: Path, rows: NDArray[np.float32]) -> _Values:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(path)
    matrix = xgboost.DMatrix(rows, feature_types=booster.feature_types, enable_categorical=True)
    return _contributions(booster.predict(matrix, pred_contribs=True), "XGBoost's own TreeSHAP, exact")


def _lightgbm(path: Path, rows: NDArray[np.float32]) -> _Values:
    import lightgbm

    booster = lightgbm.Booster(model_file=str(path))
    found = np.asarray(booster.predict(rows, pred_contrib=True, num_threads=1))
    return _contributions(found, "LightGBM's own TreeSHAP, exact")


def _contributions(found: NDArray[Any], method: str) -> _Values:
    """Both libraries give the base as one column more, the last."""
    return _Values(np.arange(len(found)), found[:, :-1].astype(np.float64), float(found[0, -1]), "log-odds", method)


def _sklearn(path: Path, rows: NDArray[np.float32], background: NDArray[np.float32]) -> _Values | None:
    """Of a pipeline that prepares the inputs (see serin.estimators.base); None for a model of another kind."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    model = loads(path.read_bytes())
    owners = _owners(model[:-1]) if isinstance(model, Pipeline) else None
    if owners is None:
        return None
    preparation, core = model[:-1], model[-1]
    prepared = np.asarray(preparation.transform(rows), dtype=np.float64)
    found = None
    if isinstance(core, LogisticRegression):
        found = _linear(core, prepared, np.asarray(preparation.transform(background), dtype=np.float64))
    elif isinstance(core, RandomForestClassifier):
        found = _forest(core, prepared)
    return replace(found, values=_summed(found.values, owners, rows.shape[1])) if found else None


def _owners(preparation: Any) -> NDArray[np.int64] | None:
    """Of each prepared column the input that it was made of; None where that can't be told."""
    from sklearn.compose import ColumnTransformer

    if len(preparation) != 1 or not isinstance(preparation[0], ColumnTransformer):
        return None
    columns = preparation[0]
    owners = np.full(max((part.stop for part in columns.output_indices_.values()), default=0), -1)
    for name, transformer, places in columns.transformers_:
        made = columns.output_indices_[name]
        encoder = transformer[-1] if hasattr(transformer, "__getitem__") else transformer
        widths = [len(known) for known in encoder.categories_] if hasattr(encoder, "categories_") else [1] * len(places)
        if sum(widths) != made.stop - made.start:
            return None
        owners[made] = np.repeat(places, widths)
    return owners.astype(np.int64) if (owners >= 0).all() else None


def _summed(values: Matrix, owners: NDArray[np.int64], inputs: int) -> Matrix:
    """Values of prepared columns, shape (n, prepared), as those of the inputs, shape (n, inputs)."""
    belongs = (owners[:, None] == np.arange(inputs)).astype(np.float64)
    summed: Matrix = values @ belongs
    return summed


def _linear(core: Any, prepared: Matrix, background: Matrix) -> _Values:
    """A linear model's SHAP values where inputs are taken as independent (Lundberg and Lee, corollary 1)."""
    weights, means = core.coef_[0], background.mean(axis=0)
    base = float(core.intercept_[0] + means @ weights)
    places = np.arange(len(prepared))
    return _Values(places, (prepared - means) * weights, base, "log-odds", "weight times distance from the mean, exact")


def _forest(core: Any, prepared: Matrix) -> _Values | None:
    """None where LEAST_ROWS would take too long."""
    work = sum(int(tree.tree_.n_leaves) * int(tree.tree_.max_depth) ** 2 for tree in core.estimators_)
    count = min(len(prepared), int(MAX_TREE_WORK // max(work, 1)))
    if count < min(LEAST_ROWS, len(prepared)) or len(core.classes_) != 2:
        return None
    places = np.arange(count)  # Drawn by chance already.
    explainer = _shap().TreeExplainer(core)
    values = np.asarray(explainer.shap_values(prepared[places], check_additivity=False), dtype=np.float64)[..., 1]
    return _Values(places, values, float(explainer.expected_value[1]), "probability", "shap's TreeExplainer, exact")


def _kernel(scorer: Scorer, rows: NDArray[np.float32], background: NDArray[np.float32], seed: int) -> _Values:
    """An estimate from coalitions drawn by `seed`, for as many rows as MAX_EVALUATIONS allows."""
    drawn = background[_drawn(len(background), BACKGROUND_ROWS, seed)]
    coalitions = 2 * rows.shape[1] + 128
    places = np.arange(min(len(rows), max(1, MAX_EVALUATIONS // (coalitions * len(drawn)))))

    def bounded(matrix: NDArray[Any]) -> Matrix:
        return np.clip(scorer(matrix.astype(np.float32)), _LEAST, 1 - _LEAST)

    with _seeded(seed):
        explainer = _shap().KernelExplainer(bounded, drawn.astype(np.float64), link="logit")
        values = explainer.shap_values(
            rows[places].astype(np.float64), nsamples=coalitions, l1_reg=False, silent=True, gc_collect=False
        )
    method = f"shap's KernelExplainer, an estimate from {coalitions} coalitions and {len(drawn)} rows of background"
    return _Values(places, np.asarray(values, dtype=np.float64), float(explainer.expected_value), "log-odds", method)


def _shap() -> Any:
    try:
        import shap
    except ImportError as error:
        raise UnavailableError(f"this model is explained by shap, which can't be imported here: {error}") from None
    return shap


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """shap draws from NumPy's global generator: seeded for the block, and as it was after."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def _drawn(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """Places of up to `most` of `count` rows, in an order of chance: the first of them are a sample too."""
    return np.random.default_rng(seed).permutation(count)[:most]


def _probability(margin: Matrix) -> Matrix:
    odds: Matrix = 1 / (1 + np.exp(-margin))
    return odds
