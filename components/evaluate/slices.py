"""Parts of the rows: those that have one value of a column in common."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# A column with more different values is cut at its quartiles (numbers), or its rarer values are taken together.
MOST_VALUES = 10
OTHERS, MISSING = "others", "missing"

Mask = NDArray[np.bool_]


def parts(values: "pd.Series[Any]") -> Iterator[tuple[str, Mask]]:
    """The parts that a column cuts rows into, each with its name and the rows (a mask of shape (n,)) that are in it.

    Every row is in one part; missing values are a part of their own, the last.
    """
    known = values.notna().to_numpy()
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    many = values.nunique() > MOST_VALUES
    if numeric and many:
        yield from _quartiles(values.to_numpy(dtype=np.float64, na_value=np.nan), known)
    else:
        yield from _values(values, known, numeric)
    if not known.all():
        yield MISSING, ~known


def _quartiles(values: NDArray[np.float64], known: Mask) -> Iterator[tuple[str, Mask]]:
    """Up to four; equal values stay together, so there are fewer where one value is very common."""
    edges = np.unique(np.quantile(values[known], [0, 0.25, 0.5, 0.75, 1]))
    for place, (low, high) in enumerate(pairwise(edges)):
        above = values >= low if place == 0 else values > low
        part = known & above & (values <= high)
        yield f"{low:.4g} to {high:.4g}" if place == 0 else f"over {low:.4g} to {high:.4g}", part


def _values(values: "pd.Series[Any]", known: Mask, numeric: bool) -> Iterator[tuple[str, Mask]]:
    counts = values.dropna().value_counts()
    # Equally common ones in the order of their names, so that the same rows give the same parts.
    common = sorted(counts.index, key=lambda value: (-counts[value], str(value)))
    kept = common if len(common) <= MOST_VALUES else common[: MOST_VALUES - 1]
    for value in sorted(kept) if numeric else kept:
        yield f"{value:g}" if numeric else str(value), known & (values == value).to_numpy(dtype=bool, na_value=False)
    if len(kept) < len(common):
        yield OTHERS, known & ~values.isin(kept).to_numpy(dtype=bool, na_value=False)
