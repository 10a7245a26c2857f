"""From a model's score to a probability: a rising curve that is kept with the model."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from serin.logistic import logits, sigmoid

# A score of exactly 0 or 1 has no logit.
LEAST = 1e-12


class Calibration(BaseModel):
    """A curve through the points (`x`, `y`), straight between two of them and level beyond the ends.

    `isotonic`: of the score itself. `platt`: of its logit, where a straight line is Platt's sigmoid; `x` is then
    (intercept, slope) and `y` is empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["platt", "isotonic"]
    x: tuple[float, ...]
    y: tuple[float, ...] = ()

    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities for n scores."""
        if self.kind == "isotonic":
            return np.interp(scores, self.x, self.y)
        intercept, slope = self.x
        return sigmoid(intercept + slope * logits(scores, LEAST))
