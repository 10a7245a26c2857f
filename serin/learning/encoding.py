"""Rows of a training set as a model takes them."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.schema import MAX_CATEGORIES, InputColumn, InputSchema
from serin.use_case import UseCase


def input_schema(frame: pd.DataFrame, case: UseCase) -> InputSchema:
    """The model's inputs: text columns are categories (the most frequent ones), all others numbers."""
    return InputSchema(columns=tuple(_input_column(frame[name], name, case) for name in case.feature_names))


def _input_column(values: "pd.Series[Any]", name: str, case: UseCase) -> InputColumn:
    if name not in case.data.columns or case.data.columns[name].type != "text":
        return InputColumn(name=name)
    counts = values.dropna().astype(str).value_counts()
    return InputColumn(name=name, kind="category", categories=tuple(sorted(counts.index[:MAX_CATEGORIES])))


def encode(frame: pd.DataFrame, inputs: InputSchema) -> NDArray[np.float32]:
    """The rows as the model's input matrix, shape (rows, columns)."""
    return inputs.encode({name: _plain(frame[name]) for name in inputs.names})


def _plain(values: "pd.Series[Any]") -> NDArray[Any]:
    """pandas' own missing value, which nullable booleans have, is no number to NumPy."""
    if values.dtype != "boolean":
        return values.to_numpy()
    return np.array([None if value is pd.NA else value for value in values], dtype=object)


def labels(frame: pd.DataFrame, case: UseCase) -> NDArray[np.int8]:
    """The labels, 0 or 1, shape (rows,)."""
    return frame[case.label.column].to_numpy().astype(np.int8)
