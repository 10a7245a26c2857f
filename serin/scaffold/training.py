"""How the proposed use case trains, and when its inputs have drifted: periods that fit the table at hand."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pandas as pd

from serin.use_case import UseCase
from serin.use_case.periods import choose

_BALANCED = 0.05  # share of positives from which ROC AUC says enough
_ESTIMATORS = ("logistic_regression", "random_forest", "xgboost", "lightgbm", "stacking")
_FEW_DAYS = 14  # of which several validation periods would be shorter than a day or two
_FEW_POSITIVES = 60  # of which a twelfth, in each of several validation periods, would say nothing
_DRIFT_DAYS = (7, 14, 28)
_YEAR = 365
_DRIFT_ROWS = 1000
_FEWEST_DRIFT_ROWS = 100  # below, chance alone moves a population stability index past its limit


def training(label: "pd.Series[Any]", times: "pd.Series[Any] | None", notes: list[str]) -> dict[str, Any]:
    """The part `training` of a use case as plain data; says in `notes` what it chose."""
    values = label.dropna()
    share = float(values.mean())
    metric = "roc_auc" if share >= _BALANCED else "average_precision"
    notes.append(f"{values.sum():,} of {len(values):,} labels are 1 ({share:.2%}): estimators compete by {metric}.")
    chosen: dict[str, Any] = {"estimators": {name: {} for name in _ESTIMATORS}, "primary_metric": metric}
    if times is None:
        return chosen
    notes.append("Labels count as known at once (label.delay: 0d); set it if yours arrive later, e.g. 7d.")
    days = (times.max() - times.min()) / timedelta(days=1)
    if days < _FEW_DAYS or values.sum() < _FEW_POSITIVES:
        chosen["folds"] = 1
        del chosen["estimators"]["stacking"]
        notes.append(
            f"{values.sum():,} positives in {days:.1f} days are few: there is one validation period instead of several "
            "(training.folds), and no stacking, which needs two."
        )
    return chosen


def periods(case: UseCase, label: "pd.Series[Any]", times: "pd.Series[Any]") -> list[str]:
    """What the split of this table will be where its end is trained on, in whole sentences.

    `times` are those that are known, with the index of `label`.
    """
    known = label.reindex(times.index).dropna()
    at = times[known.index].dt.tz_convert(None)
    # The midnight after the last event is what `serin train` takes for the end of the data.
    end = (at.max().floor("D") + timedelta(days=1)).to_datetime64()
    chosen = choose(at.to_numpy(), known.to_numpy(), case, end)
    folds = "one period" if case.training.folds == 1 else f"{case.training.folds} periods"
    return [
        f"The rows span {(at.max() - at.min()).days:,} days. Each training tests on the last of them, and validates on "
        f"{folds} before: as many days as hold the positives that an interval needs "
        "(training.positives). Today:",
        *(f"{note}." for note in chosen.notes),
    ]


def drift(rows: int, times: "pd.Series[Any] | None", notes: list[str]) -> dict[str, Any]:
    """The part `drift`: a window that holds enough rows at the density of the table, and half of them as minimum."""
    if times is None:
        least = _least(rows // 2)
        notes.append(
            f"Drift is looked for in {_DRIFT_DAYS[0]}d of requests, of which there must be {least:,}; set drift.window "
            "and min_rows to what your requests a day are."
        )
        return {"min_rows": least}
    a_day = rows / max(1.0, (times.max() - times.min()) / timedelta(days=1))
    enough = [days for days in _DRIFT_DAYS if days * a_day >= 2 * _DRIFT_ROWS]
    longest = min(_YEAR, max(_DRIFT_DAYS[-1], math.ceil(2 * _FEWEST_DRIFT_ROWS / a_day)))
    days = enough[0] if enough else longest
    least = _least(int(days * a_day / 2))
    notes.append(
        f"The table has {a_day:,.3g} rows a day: drift is looked for in {days}d, about {days * a_day:,.0f} rows, of "
        f"which at least {least:,} must be there (drift.window, drift.min_rows)."
    )
    return {"window": f"{days}d", "min_rows": least}


def _least(half: int) -> int:
    """Half of the expected rows within limits, in round numbers."""
    return max(_FEWEST_DRIFT_ROWS, min(_DRIFT_ROWS, half // 50 * 50))


def schedules(features: Mapping[str, Any]) -> dict[str, Any]:
    """The part `schedules`; materialisation where there is a feature view."""
    materialisation = {"materialisation": {"cron": "5 * * * *"}} if features.keys() & {"windows", "tables"} else {}
    return {
        "training": {"cron": "0 3 * * 1"},
        "drift": {"cron": "30 4 * * *"},
        **materialisation,
        "rollout": {"cron": "*/15 * * * *"},
    }
