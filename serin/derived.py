"""Features made of others, by the same function in training and in serving."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.schema import as_numbers, as_single, as_times
from serin.use_case import DerivedFeature

_DAY = np.timedelta64(1, "D") / np.timedelta64(1, "us")


def derived(feature: DerivedFeature, columns: Mapping[str, Any]) -> NDArray[np.float64]:
    """n values, NaN where missing. `columns` has those that the feature names, each of length n: numbers (None or NaN
    where missing), or times (datetime64 in UTC, or datetimes; None or NaT where missing).

    A ratio is missing where it is no number that a model takes: where it is divided by 0, or too large for single
    precision.
    """
    if feature.ratio:
        return _ratio(*(as_numbers(columns[name]) for name in feature.ratio))
    return _elapsed(*(as_times(columns[name]) for name in feature.elapsed or ()))


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = above / below
    return np.where(np.isnan(as_single(ratio)), np.nan, ratio)


def _elapsed(start: NDArray[np.datetime64], end: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Days. In whole microseconds first, so that a time of day costs no precision."""
    microseconds = (end.astype(np.int64) - start.astype(np.int64)).astype(np.float64)
    return np.where(np.isnat(start) | np.isnat(end), np.nan, microseconds / _DAY)
