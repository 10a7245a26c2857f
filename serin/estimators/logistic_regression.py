"""Logistic regression on standardised inputs: scikit-learn's LogisticRegression."""

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from serin.estimators.base import Estimator, Model, Parameters, prepared
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


class LogisticRegression(Estimator):
    """A linear model; the one to beat."""

    name = "logistic_regression"
    engine = "sklearn"
    parameters = LogisticRegressionParameters

    def make(self, parameters: dict[str, Any], inputs: InputSchema, seed: int) -> Model:
        """See Estimator."""
        from sklearn.linear_model import LogisticRegression as Core

        model: Model = prepared(Core(**{"max_iter": MAX_ITER, "random_state": seed, **parameters}), inputs)
        return model
