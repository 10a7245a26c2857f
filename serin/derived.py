"""Features made of others, by the same function in training and in serving."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.use_case import DerivedFeature


def derived(feature: DerivedFeature, columns: Mapping[str, Any]) -> NDArray[np.float64]:
    """n values, NaN where missing. `columns` has those that the feature names, each of length n: numbers (None or NaN
    where missing), or times (datetime64 in UTC, or datetimes; None or NaT where missing)."""
    raise NotImplementedError
