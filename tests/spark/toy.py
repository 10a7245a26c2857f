"""A small table whose answer is known, and what is said of it."""

import numpy as np
import pandas as pd

from serin.estimators.base import Rows
from serin.learning.encoding import encode
from serin.learning.split import FOLD, SPLIT
from serin.schema import InputColumn, InputSchema

INPUTS = InputSchema(
    columns=(
        InputColumn(name="x"),
        InputColumn(name="z"),
        InputColumn(name="city", kind="category", categories=("Bern", "Chur", "Genf")),
    )
)
PARAMETERS = {"n_estimators": 150, "max_depth": 3, "learning_rate": 0.1, "subsample": 0.8}


def table() -> pd.DataFrame:
    """A training set of 4,000 rows without times, in three folds and a test part."""
    rng = np.random.default_rng(0)
    size = 4000
    x, z, city = rng.normal(size=size), rng.normal(size=size), rng.choice(["Bern", "Genf", "Chur"], size)
    y = (x + (city == "Genf") * 1.5 + rng.normal(scale=0.7, size=size) > 1.5).astype(int)
    x[::20] = np.nan
    place = np.arange(size)
    split = np.where(place < size * 3 // 4, "known", "test")
    fold = np.where(split == "known", place % 3 + 1, 0)
    return pd.DataFrame({"id": place, "x": x, "z": z, "city": city, "y": y, SPLIT: split, FOLD: fold})


def rows_of(frame: pd.DataFrame) -> Rows:
    """All its rows, encoded."""
    return Rows(encode(frame, INPUTS), frame["y"].to_numpy(np.int8))
