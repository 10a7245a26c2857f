"""Evidently's measure of drift of each column, and its report."""

import warnings
from dataclasses import dataclass
from typing import Any

import pandas as pd

from components.drift.bins import binned
from components.drift.decision import column_limits
from serin.schema import InputSchema
from serin.use_case import Drift


@dataclass(frozen=True)
class Measured:
    """PSI and limit by column (the model's inputs in order, then the score), and Evidently's page about them.

    `html` is self-contained, about 4 MB.
    """

    psi: dict[str, float]
    limits: dict[str, float]
    html: str


def measure(reference: pd.DataFrame, current: pd.DataFrame, inputs: InputSchema, limits: Drift) -> Measured:
    """Compare the model's inputs and score in `current` with those in `reference`, by PSI in every column.

    Evidently would choose its test by the size of the reference; PSI is named for all columns instead. The limits
    of `column_limits` go into its report, so that the page and the decision agree.
    Raises DataError for a table without rows or without one of the columns.
    """
    before, after = binned(reference, current, inputs)
    bins = {name: len(set(before[name]) | set(after[name])) for name in before.columns}
    bounds = column_limits(bins, len(after), len(before), limits)
    snapshot = _run(before, after, bounds, limits.max_share)
    values = {
        metric["config"]["column"]: float(metric["value"])
        for metric in snapshot.dict()["metrics"]
        if metric["config"]["type"].endswith(":ValueDrift")
    }
    return Measured(
        psi={name: values[_plain(name)] for name in before.columns},
        limits=bounds,
        html=snapshot.get_html_str(as_iframe=False),
    )


def _run(before: pd.DataFrame, after: pd.DataFrame, bounds: dict[str, float], max_share: float) -> Any:
    with warnings.catch_warnings():
        # At its import Evidently reaches into a deprecated module of NumPy.
        warnings.simplefilter("ignore", DeprecationWarning)
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset
    before, after = _harmless(before), _harmless(after)
    definition = DataDefinition(categorical_columns=list(before.columns))
    preset = DataDriftPreset(
        method="psi",
        drift_share=max_share,
        per_column_threshold={_plain(name): limit for name, limit in bounds.items()},
    )
    return Report([preset]).run(
        Dataset.from_pandas(after, data_definition=definition),
        Dataset.from_pandas(before, data_definition=definition),
    )


def _harmless(labels: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({_plain(name): labels[name].map(_plain) for name in labels.columns})


def _plain(text: str) -> str:
    """Evidently writes names and categories into a script element as they are; these can't end it."""
    return text.replace("<", "‹").replace(">", "›")
