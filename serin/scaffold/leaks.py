"""What would flatter a model: a column that tells the label by itself, and time that nobody named."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.scaffold.columns import Described, snake_case

SUSPECT = 0.98  # area under the ROC curve from which a column alone tells too much
_SUPPORT = 20  # rows of each class below which nothing can be said
_FOLDS = 5
_BINS = 32
_ROWS_A_BIN = 20
_ROWS_A_VALUE = 5  # a value that fewer rows have tells nothing of the next row
_PARTS = {
    "year": (1900, 2200), "yr": (1900, 2200), "quarter": (1, 4), "month": (1, 12), "mon": (1, 12),
    "week": (0, 53), "day": (0, 366), "weekday": (0, 7), "dow": (0, 7),
}  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Parts of dates that are not the time of the row.
_OTHER_DATES = {"birth", "born", "built", "founded", "made", "manufactured", "model", "since", "last", "per", "opened"}


def tells(column: Described, label: "pd.Series[Any]") -> float | None:
    """The area under the ROC curve of the column alone, measured out of fold; None without enough support.

    Each row is scored with the mean label of its value (numbers: of its bin of equally many rows) among the rows of
    the other folds. What only a few rows share says nothing, so unique values are not accused for being unique.
    """
    known = label.notna().to_numpy()
    truth = label[known].to_numpy(dtype=np.int64)
    if min(truth.sum(), (truth == 0).sum()) < _SUPPORT:
        return None
    values = column.values[known].reset_index(drop=True)
    fold = np.random.default_rng(0).permutation(len(truth)) % _FOLDS
    scores = np.full(len(truth), 0.5)
    for part in range(_FOLDS):
        held, rest = fold == part, fold != part
        codes = _codes(values, rest, is_number=column.type in ("integer", "number"))
        scores[held] = _means(codes[rest], truth[rest], codes.max() + 1)[codes[held]]
    return _roc_auc(truth, scores)


def parts_of_dates(columns: Mapping[str, Described]) -> list[str]:
    """The columns that hold a part of a date, such as a year or the name of a month."""
    return [name for name, column in columns.items() if _is_part(name, column)]


def _codes(values: "pd.Series[Any]", rest: NDArray[np.bool_], *, is_number: bool) -> NDArray[np.int64]:
    """Each row's value as a small number; missing ones share one."""
    if not is_number or values.nunique() <= _BINS:
        return pd.factorize(values, use_na_sentinel=False)[0].astype(np.int64)
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    count = max(2, min(_BINS, int(rest.sum()) // _ROWS_A_BIN))
    edges = np.unique(np.nanquantile(numbers[rest], np.linspace(0, 1, count + 1)[1:-1]))
    return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))


def _means(codes: NDArray[np.int64], truth: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    rows = np.bincount(codes, minlength=count)
    ones = np.bincount(codes, weights=truth, minlength=count)
    prior = truth.mean()
    means: NDArray[np.float64] = np.where(rows >= _ROWS_A_VALUE, (ones + prior) / (rows + 1), prior)
    return means


def _roc_auc(truth: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    ranks = pd.Series(scores).rank().to_numpy()
    ones = int(truth.sum())
    return float((ranks[truth == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(truth) - ones)))


def _is_part(name: str, column: Described) -> bool:
    words = snake_case(name).split("_")
    if _OTHER_DATES & set(words):
        return False
    return any(_holds(column, low, high) for word in words for part, (low, high) in _PARTS.items() if word == part)


def _holds(column: Described, low: int, high: int) -> bool:
    values = column.values.dropna()
    if not len(values):
        return False
    if column.type in ("integer", "number"):
        return bool(values.between(low, high).all())
    starts = set(_starts(values))
    return column.type == "text" and (starts <= set(_MONTHS) or starts <= set(_DAYS))


def _starts(values: "pd.Series[Any]") -> Iterator[str]:
    return (str(value).strip().lower()[:3] for value in values.unique())
