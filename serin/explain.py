"""Which input moved a score by how much: SHAP values of the model that an artifact holds.

A row's values add up, with `base`, to what the model gives before it is calibrated (S. Lundberg, S. Lee, "A Unified
Approach to Interpreting Model Predictions", 2017). How they are had depends on the model:

    boosted trees            the libraries' own exact TreeSHAP, in log-odds
    random forest            shap's TreeExplainer, in probability, for as many rows as trees of that size allow, where
                             shap may be used; as all others where not
    logistic regression      exact: the weight times the distance from the background's mean, in log-odds
    all others, the stack    Kernel SHAP against the background (serin.kernel_shap), in log-odds: an estimate, but for
                             models of few inputs

It stands on the ground floor, as evaluation and predictor explain alike; the predictor's environment has no shap.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serin import engines
from serin.artifact import Manifest
from serin.engines import Scorer
from serin.estimators.kept import loads
from serin.kernel_shap import coalitions, kernel_shap
from serin.logistic import logits, sigmoid

MAX_ROWS = 500
# A forest's leaves times the square of their depth, over all trees and rows: some 20 s on one core.
MAX_TREE_WORK = 2e10
# Fewer rows of a forest than this show nothing of it as a whole.
LEAST_ROWS = 20
# Rows that the kernel may have scored: rows to explain x coalitions x rows of background.
MAX_EVALUATIONS = 200_000
BACKGROUND_ROWS = 20
# What the values may miss the score by; single precision alone makes 1e-6 of it.
TOLERANCE = 1e-4
# A probability of 0 or 1 has no logarithm of its odds.
_LEAST = 1e-7

Scale = Literal["log-odds", "probability"]
Matrix = NDArray[np.float64]
# From n rows, as encoded or prepared, to their values, of their shape, and the base.
Values = Callable[[NDArray[Any]], tuple[Matrix, float]]


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
class _Way:
    """How the values of a model are had; `most` rows at a time, None where there is no limit."""

    values: Values
    scale: Scale
    method: str
    most: int | None = None


class Explainer:
    """Explains rows of one model, which is read once. Any thread may call it; one at a time is answered."""

    def __init__(
        self, folder: Path, manifest: Manifest, background: NDArray[np.float32], seed: int = 0, walked: int = 0
    ) -> None:
        """`folder` is a verified artifact, `background` encoded rows of its training, of which some are drawn by
        `seed`. `walked` is for how many rows shap may walk a forest's trees, where it is installed.
        """
        name = manifest.engine
        path = folder / manifest.models[name]
        self._names = manifest.inputs.names
        self._score = engines.known()[name].load(path)
        self._way = _by_engine(name, path, background, walked) or _kernel(self._score, background, seed)
        self._lock = threading.Lock()

    @property
    def method(self) -> str:
        """How the values are had, in words."""
        return self._way.method

    @property
    def most(self) -> int | None:
        """How many rows can be explained at a time; None where there is no limit."""
        return self._way.most

    def explain(self, rows: NDArray[np.float32]) -> Explanation:
        """Explain encoded rows, shape (n, columns): the first `most` of them."""
        rows = rows[: self.most]
        way = self._way
        # See serin.engines.sklearn, of which the preparation is.
        with self._lock, np.errstate(over="ignore", invalid="ignore"):
            values, base = way.values(rows)
        sums = base + values.sum(axis=1)
        again = sigmoid(sums) if way.scale == "log-odds" else sums
        gap = float(np.max(np.abs(again - self._score(rows)), initial=0.0))
        return Explanation(self._names, values, base, rows, way.scale, way.method, gap)


def explain(
    folder: Path, manifest: Manifest, inputs: NDArray[np.float32], background: NDArray[np.float32], seed: int
) -> Explanation:
    """Explain up to MAX_ROWS of the encoded rows `inputs`, shape (n, columns), drawn by `seed`; see `Explainer`."""
    rows = inputs[_drawn(len(inputs), MAX_ROWS, seed)]
    return Explainer(folder, manifest, background, seed, walked=len(rows)).explain(rows)


def _by_engine(name: str, path: Path, background: NDArray[np.float32], walked: int) -> _Way | None:
    """What an engine's own model tells; None where only its scores are left to explain it by."""
    if name == "xgboost":
        return _xgboost(path)
    if name == "lightgbm":
        return _lightgbm(path)
    return _sklearn(path, background, walked) if name == "sklearn" else None


def _xgboost(path: Path) -> _Way:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(path)
    booster.set_param({"nthread": 1})

    def values(rows: NDArray[np.float32]) -> tuple[Matrix, float]:
        matrix = xgboost.DMatrix(rows, feature_types=booster.feature_types, enable_categorical=True, nthread=1)
        return _contributions(booster.predict(matrix, pred_contribs=True))

    return _Way(values, "log-odds", "XGBoost's own TreeSHAP, exact")


def _lightgbm(path: Path) -> _Way:
    import lightgbm

    booster = lightgbm.Booster(model_file=str(path))

    def values(rows: NDArray[np.float32]) -> tuple[Matrix, float]:
        return _contributions(np.asarray(booster.predict(rows, pred_contrib=True, num_threads=1)))

    return _Way(values, "log-odds", "LightGBM's own TreeSHAP, exact")


def _contributions(found: NDArray[Any]) -> tuple[Matrix, float]:
    """Both libraries give the base as one column more, the last."""
    return found[:, :-1].astype(np.float64), float(found[0, -1])


def _sklearn(path: Path, background: NDArray[np.float32], walked: int) -> _Way | None:
    """Of a pipeline that prepares the inputs (see serin.estimators.base); None for a model of another kind."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    model = loads(path.read_bytes())
    owners = _owners(model[:-1]) if isinstance(model, Pipeline) else None
    if owners is None:
        return None
    preparation, core = model[:-1], model[-1]

    def prepared(rows: NDArray[np.float32]) -> Matrix:
        # As the engine has it: what is standardised may be too large for float32.
        return np.asarray(preparation.transform(rows.astype(np.float64)), dtype=np.float64)

    way = None
    if isinstance(core, LogisticRegression):
        way = _linear(core, prepared(background))
    elif isinstance(core, RandomForestClassifier) and walked:
        way = _forest(core, walked)
    if way is None:
        return None

    of_prepared = way.values

    def values(rows: NDArray[np.float32]) -> tuple[Matrix, float]:
        found, base = of_prepared(prepared(rows))
        return _summed(found, owners, rows.shape[1]), base

    return replace(way, values=values)


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


def _linear(core: Any, background: Matrix) -> _Way:
    """A linear model's SHAP values where inputs are taken as independent (Lundberg and Lee, corollary 1)."""
    weights, means = core.coef_[0], background.mean(axis=0)
    base = float(core.intercept_[0] + means @ weights)
    return _Way(
        lambda prepared: ((prepared - means) * weights, base),
        "log-odds",
        "weight times distance from the mean, exact",
    )


def _forest(core: Any, rows: int) -> _Way | None:
    """None where shap is missing, or LEAST_ROWS of `rows` would take too long."""
    work = sum(int(tree.tree_.n_leaves) * int(tree.tree_.max_depth) ** 2 for tree in core.estimators_)
    most = int(MAX_TREE_WORK // max(work, 1))
    if most < min(LEAST_ROWS, rows) or len(core.classes_) != 2:
        return None
    try:
        import shap
    except ImportError:
        return None
    explainer = shap.TreeExplainer(core)

    def values(prepared: NDArray[Any]) -> tuple[Matrix, float]:
        found = np.asarray(explainer.shap_values(prepared, check_additivity=False), dtype=np.float64)[..., 1]
        return found, float(explainer.expected_value[1])

    return _Way(values, "probability", "shap's TreeExplainer, exact", most)


def _kernel(scorer: Scorer, background: NDArray[np.float32], seed: int) -> _Way:
    """For as many rows at a time as MAX_EVALUATIONS allows."""
    drawn = background[_drawn(len(background), BACKGROUND_ROWS, seed)]
    inputs = background.shape[1]
    count = 2 * inputs + 128
    found = coalitions(inputs, count) if inputs > 1 else None
    scored = len(found.members) if found else 1

    def bounded(matrix: NDArray[np.float32]) -> Matrix:
        return np.clip(scorer(matrix), _LEAST, 1 - _LEAST)

    def values(rows: NDArray[np.float32]) -> tuple[Matrix, float]:
        return kernel_shap(bounded, lambda scores: logits(scores, _LEAST), rows, drawn, count)

    told = "exact, of all" if found is None or found.exact else "an estimate from"
    method = f"Kernel SHAP, {told} {scored} coalitions and {len(drawn)} rows of background"
    return _Way(values, "log-odds", method, max(1, MAX_EVALUATIONS // (count * len(drawn))))


def _drawn(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """Places of up to `most` of `count` rows, in an order of chance: the first of them are a sample too."""
    return np.random.default_rng(seed).permutation(count)[:most]
