"""Logistic regression on standardised inputs: scikit-learn's LogisticRegression."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from serin.estimators.base import Estimator, Model, Parameters, Parts, Rows, Trial, prepared
from serin.estimators.kept import dumps, loads
from serin.progress import say
from serin.schema import InputSchema

# Beyond the library's 100, with which many inputs do not converge.
MAX_ITER = 1000


class LogisticRegressionParameters(Parameters):
    """See sklearn.linear_model.LogisticRegression."""

    C: PositiveFloat = 1.0
    class_weight: Literal["balanced"] | dict[int, float] | None = None
    fit_intercept: bool = True
    l1_ratio: float = Field(default=0.0, ge=0, le=1)
    max_iter: PositiveInt = MAX_ITER
    solver: Literal["lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"] = "lbfgs"
    tol: PositiveFloat = 1e-4


@dataclass(frozen=True)
class Pipeline:
    """A fitted pipeline of scikit-learn, which is given float64: what is standardised may be too large for float32."""

    pipeline: Any

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See Model."""
        found: NDArray[np.float64] = self.pipeline.predict_proba(X.astype(np.float64))
        return found


class LogisticRegression(Estimator):
    """A linear model; the one to beat. Its fit takes seconds, so it is one part."""

    name = "logistic_regression"
    engine = "sklearn"
    parameters = LogisticRegressionParameters
    first: ClassVar[Mapping[str, Any]] = {"C": 1.0, "balanced": False}

    def space(self, trial: Trial) -> dict[str, Any]:
        """See Estimator."""
        balanced = trial.suggest_categorical("balanced", [False, True])
        return {
            "C": trial.suggest_float("C", 1e-3, 1e2, log=True),
            "class_weight": "balanced" if balanced else None,
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
        threads: int = 1,  # noqa: ARG002
    ) -> Model:
        """See Estimator."""
        from sklearn.exceptions import ConvergenceWarning

        if kept := parts.latest():
            return Pipeline(loads(kept[1]))
        pipeline = prepared(core(parameters, seed), inputs)
        weight = {} if rows.weight is None else {"logisticregression__sample_weight": rows.weight}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            # In float64, so that the scores are: in float32, 1 has few neighbours.
            pipeline.fit(rows.X.astype(np.float64), rows.y, **weight)
        _tell(caught)
        parts.done(1, 1, lambda: dumps(pipeline))
        return Pipeline(pipeline)


def core(parameters: dict[str, Any], seed: int) -> Any:
    """scikit-learn's object, unfitted."""
    from sklearn.linear_model import LogisticRegression as Core

    return Core(**{"max_iter": MAX_ITER, "random_state": seed, **parameters})


def _tell(caught: list[warnings.WarningMessage]) -> None:
    from sklearn.exceptions import ConvergenceWarning

    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            say("logistic_regression did not converge; its max_iter or tol is too small for these inputs")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
