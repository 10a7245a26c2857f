"""Random forest: scikit-learn's RandomForestClassifier."""

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from serin.estimators.base import Estimator, Model, Parameters, Parts, Rows, Trial, prepared
from serin.estimators.kept import dumps, loads
from serin.progress import say
from serin.schema import InputSchema

# With more rows than these each tree is grown on as many, unless `max_samples` says otherwise: a tree's time grows
# faster than its rows, and all trees together still see nearly all. Card fraud, 182,042 and 249,470 rows: average
# precision 0.642 and 0.497 in 9 s, against 0.622 and 0.483 in 25 s with 50,000 rows a tree.
ROWS_A_TREE = 20_000
# Trees between two looks at whether to go on: a few seconds' work. The forest does not depend on it.
_ROWS_A_CHUNK = 3_000_000
_MOST = 25

# Of the rows, or of the inputs; a whole number counts them.
Share = Annotated[float, Field(gt=0, le=1)]


class RandomForestParameters(Parameters):
    """See sklearn.ensemble.RandomForestClassifier."""

    bootstrap: bool = True
    ccp_alpha: NonNegativeFloat = 0.0
    class_weight: Literal["balanced", "balanced_subsample"] | dict[int, float] | None = None
    criterion: Literal["gini", "entropy", "log_loss"] = "gini"
    max_depth: PositiveInt | None = None
    max_features: Literal["sqrt", "log2"] | PositiveInt | Share | None = "sqrt"
    max_leaf_nodes: PositiveInt | None = None
    max_samples: PositiveInt | Share | None = None
    min_impurity_decrease: NonNegativeFloat = 0.0
    min_samples_leaf: PositiveInt | Share = 1
    min_samples_split: PositiveInt | Share = 2
    n_estimators: PositiveInt = 100
    n_jobs: int | None = None


_TREES: int = RandomForestParameters.model_fields["n_estimators"].default


class RandomForest(Estimator):
    """Many trees, each on a sample of the rows and inputs; robust, large and slow to serve."""

    name = "random_forest"
    engine = "sklearn"
    parameters = RandomForestParameters
    # The library's own.
    first: ClassVar[Mapping[str, Any]] = {"min_samples_leaf": 1, "max_features": "sqrt", "balanced": False}
    # Which parameters are better, fewer trees tell as well.
    in_trials: ClassVar[Mapping[str, Any]] = {"n_estimators": 40}

    def space(self, trial: Trial) -> dict[str, Any]:
        """See Estimator."""
        balanced = trial.suggest_categorical("balanced", [False, True])
        return {
            "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 50, log=True),
            "max_features": trial.suggest_categorical("max_features", ["sqrt", 0.3, 0.5, 0.8]),
            "class_weight": "balanced_subsample" if balanced else None,
        }

    def fit(
        self,
        rows: Rows,
        parameters: dict[str, Any],
        inputs: InputSchema,
        seed: int,
        *,
        parts: Parts,
        device: Literal["cpu", "cuda"] = "cpu",  # noqa: ARG002
        threads: int = 1,
    ) -> Model:
        """See Estimator. A forest that goes on growing draws what it would have drawn, so it is the same."""
        kept = parts.latest()
        pipeline = loads(kept[1]) if kept else prepared(core(_sampled(parameters, rows), seed), inputs, scaled=False)
        preparation, forest = pipeline.steps[0][1], pipeline.steps[1][1]
        X = preparation.transform(rows.X) if kept else preparation.fit_transform(rows.X, rows.y)
        trees = parameters.get("n_estimators", _TREES)
        forest.set_params(warm_start=True, n_jobs=parameters.get("n_jobs") or threads)
        step = max(1, min(_MOST, _ROWS_A_CHUNK // len(X)))
        for done in range((kept[0] if kept else 0) + step, trees + step, step):
            _grow(forest, min(done, trees), X, rows)
            parts.done(min(done, trees), trees, lambda: dumps(pipeline))
        # Requests are spread over threads already; a second level of them only makes both wait.
        forest.set_params(warm_start=False, n_jobs=1)
        model: Model = pipeline
        return model


def core(parameters: dict[str, Any], seed: int) -> Any:
    """scikit-learn's object, unfitted."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=seed, **parameters)


def _sampled(parameters: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """The parameters, with ROWS_A_TREE where there are more rows and the parameters leave it open; that is told."""
    if len(rows.y) <= ROWS_A_TREE or "max_samples" in parameters or not parameters.get("bootstrap", True):
        return parameters
    say(
        f"random_forest: each tree is grown on {ROWS_A_TREE:,} of {len(rows.y):,} rows, drawn anew for each "
        "(its parameter max_samples says how many)"
    )
    return {**parameters, "max_samples": ROWS_A_TREE}


def _grow(forest: Any, trees: int, X: Any, rows: Rows) -> None:
    with warnings.catch_warnings():
        # The weights are worked out anew from the same labels each time, so they stay the same.
        warnings.filterwarnings("ignore", message="class_weight presets", category=UserWarning)
        forest.set_params(n_estimators=trees).fit(X, rows.y, sample_weight=rows.weight)
