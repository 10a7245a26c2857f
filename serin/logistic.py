"""The logistic function and its inverse, in float64: between log odds and probabilities."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def sigmoid(values: ArrayLike) -> NDArray[np.float64]:
    """1 / (1 + exp(-value)), of any shape, by a form that does not overflow."""
    return np.exp(-np.logaddexp(0, -np.asarray(values, dtype=np.float64)))


def logits(scores: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """log(p / (1 - p)) of scores of any shape, each taken as no less than `least` and no more than 1 - `least`."""
    inside = np.clip(scores, least, 1 - least)
    return np.log(inside / (1 - inside))
