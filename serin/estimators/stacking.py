"""A logistic regression over the scores of the other estimators."""

from typing import Any, Literal, NoReturn

from pydantic import PositiveFloat

from serin.estimators.base import Estimator, Parameters, Parts, Rows, Trial
from serin.schema import InputSchema


class StackingParameters(Parameters):
    """Of the logistic regression on the logits of the others' scores; see sklearn.linear_model.LogisticRegression."""

    C: PositiveFloat = 1.0


class Stacking(Estimator):
    """Combines the others; see components.train.stacking for its fit, and serin.engines.stack for how it scores."""

    name = "stacking"
    engine = "stack"
    parameters = StackingParameters
    combines = True

    def space(self, trial: Trial) -> dict[str, Any]:  # noqa: ARG002
        """Nothing: it is not searched."""
        return {}

    def fit(
        self,
        rows: Rows,  # noqa: ARG002
        parameters: dict[str, Any],  # noqa: ARG002
        inputs: InputSchema,  # noqa: ARG002
        seed: int,  # noqa: ARG002
        *,
        parts: Parts,  # noqa: ARG002
        device: Literal["cpu", "cuda"] = "cpu",  # noqa: ARG002
        threads: int = 1,  # noqa: ARG002
    ) -> NoReturn:
        """Refuse with TypeError."""
        raise TypeError("stacking is fitted on the scores of the other estimators, not on rows")
