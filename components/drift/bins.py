"""Values into bins: the form in which reference and current rows are compared.

Evidently 0.7 computes PSI of a numeric column over equal-width bins of both samples together and drops missing
values first. One large amount then leaves most rows in a single bin, and a column that went missing looks
unchanged. So each column is turned into labels here, by deciles of the reference, with a label for missing values,
and Evidently compares the labels.
"""

from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.drift.decision import SCORE
from serin.errors import DataError
from serin.schema import InputColumn, InputSchema, as_single

BINS = 10
# A rarer category shares one label with the other rare and the unseen ones: at 1,000 rows each label then
# expects ten rows, enough for the chi-square approximation of PSI.
RARE = 0.01
MISSING = "missing"
OTHER = "other"


def binned(reference: pd.DataFrame, current: pd.DataFrame, inputs: InputSchema) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables with the model's inputs and the score as labels (text), the bins taken from `reference`.

    Raises DataError for a table without rows or without one of the columns.
    """
    columns = (*inputs.columns, InputColumn(name=SCORE))
    for title, table in (("reference", reference), ("current rows", current)):
        missing = [column.name for column in columns if column.name not in table.columns]
        if missing:
            raise DataError(f"drift: the {title} lack {', '.join(missing)}; found {', '.join(table.columns)}")
        if table.empty:
            raise DataError(f"drift: the {title} hold no rows; at least one is needed")
    labels = {column.name: _labels(column, reference, current) for column in columns}
    return (
        pd.DataFrame({name: pair[0] for name, pair in labels.items()}),
        pd.DataFrame({name: pair[1] for name, pair in labels.items()}),
    )


def vanished(reference: pd.DataFrame, current: pd.DataFrame, inputs: InputSchema) -> tuple[str, ...]:
    """The inputs of which the current rows hold no value at all, and the reference does."""
    return tuple(
        name for name in inputs.names if current[name].isna().all() and reference[name].notna().any() and len(current)
    )


def _labels(
    column: InputColumn, reference: pd.DataFrame, current: pd.DataFrame
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    before, after = reference[column.name], current[column.name]
    if column.kind == "category":
        kept = _common(before)
        return _categories(before, kept), _categories(after, kept)
    edges = _edges(_numbers(before))
    return _intervals(_numbers(before), edges), _intervals(_numbers(after), edges)


def _common(values: pd.Series) -> set[str]:
    shares = values.dropna().astype(str).value_counts() / len(values)
    return set(shares.index[shares >= RARE])


def _categories(values: pd.Series, kept: set[str]) -> NDArray[np.object_]:
    text = values.astype(object).map(str)
    known = text.where(text.isin(list(kept)), OTHER).where(values.notna(), MISSING)
    return known.to_numpy(dtype=object)


def _numbers(values: pd.Series) -> NDArray[np.float32]:
    # As the model sees them: a log in float64 and a reference in float32 agree on ties, and on what is too large.
    return as_single(pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan))


def _edges(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inner edges of half-open bins [a, b): deciles, and a bin for a value alone where it holds several of them.

    Without a bin of its own, a value that most rows share (a rate of 0, a constant) would hide a shift to a side.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.empty(0, np.float32)
    cuts = np.quantile(finite, np.arange(1, BINS) / BINS, method="lower")
    value, times = np.unique(cuts, return_counts=True)
    above = np.nextafter(value[times > 1], np.float32(np.inf))
    return np.unique(np.concatenate([value, above])).astype(np.float32)


def _intervals(values: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.object_]:
    names = np.array([*_names(edges), MISSING], dtype=object)
    codes = np.searchsorted(edges, values, side="right")
    codes[np.isnan(values)] = len(names) - 1
    return np.asarray(names[codes], dtype=object)


def _names(edges: NDArray[np.float32]) -> list[str]:
    """One text a bin; the number in front keeps them apart and in order."""
    if not len(edges):
        return ["01: any value"]
    texts = [f"below {edges[0]:.4g}"]
    for low, high in pairwise(edges):
        alone = high == np.nextafter(low, np.float32(np.inf))
        texts.append(f"{low:.4g}" if alone else f"{low:.4g} to {high:.4g}")
    texts.append(f"{edges[-1]:.4g} and above")
    return [f"{number:02d}: {text}" for number, text in enumerate(texts, start=1)]
