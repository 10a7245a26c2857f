"""Whether the inputs or the scores have moved so far from the training reference that the model is trained anew.

The measure is the population stability index (PSI) of each column over bins,
sum((p - q) * ln(p / q)) with p and q the shares of the bins in the reference and in the current rows.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from serin.errors import DataError
from serin.use_case import Drift

SCORE = "score"
# The chance that a check without any shift marks at least one column, where the noise sets the limit.
ALPHA = 0.001


@dataclass(frozen=True)
class Decision:
    """What a check found and what follows from it.

    `share` is the part of the judged inputs that drifted (0 to 1); `drifted` lists these and, where it drifted,
    the score; `reasons` are sentences for a person, at least one.
    """

    retrain: bool
    verdict: Literal["no_drift", "drift", "too_few_rows"]
    share: float
    drifted: tuple[str, ...]
    reasons: tuple[str, ...]


def noise_floor(bins: int, rows: int, reference_rows: int, columns: int) -> float:
    """The PSI that chance alone stays below, in all of `columns` columns together, with probability 1 - ALPHA.

    Without a shift, PSI over B bins of n current and m reference rows is distributed as
    (1/n + 1/m) * chi2(B - 1) (B. Yurdakul, J. Naranjo, "Statistical properties of the population stability index",
    Journal of Risk Model Validation 14(4), 2020). The quantile is taken at ALPHA / columns (Bonferroni). It holds
    for independent rows; many rows of one customer count as fewer, which is one reason why the fixed limit of the
    use case stays in force beside it.
    """
    from scipy.special import chdtri

    return float((1 / rows + 1 / reference_rows) * chdtri(max(bins - 1, 1), ALPHA / columns))


def column_limits(bins: Mapping[str, int], rows: int, reference_rows: int, limits: Drift) -> dict[str, float]:
    """Each column's limit: that of the use case, or the noise floor where the sample is too small for it.

    `bins` is the number of bins in use by column; both row counts are at least 1.
    """
    return {
        name: max(limits.column_limit, noise_floor(count, rows, reference_rows, len(bins)))
        for name, count in bins.items()
    }


def too_few_rows(rows: int, limits: Drift) -> Decision | None:
    """The decision where the window holds fewer than `min_rows` rows, which never is a retraining; else None."""
    if rows >= limits.min_rows:
        return None
    reason = f"{rows:,} rows of the served version in the window; at least {limits.min_rows:,} (min_rows) are needed"
    return Decision(retrain=False, verdict="too_few_rows", share=0.0, drifted=(), reasons=(reason,))


def decide(
    measures: Mapping[str, float],
    column_limits: Mapping[str, float],
    *,
    rows: int,
    limits: Drift,
    ignore: Collection[str] = (),
    vanished: Collection[str] = (),
) -> Decision:
    """Drift if the score drifted, an input vanished, or at least `max_share` of the inputs drifted; at its limit a
    column drifts.

    `measures` is the PSI by column, the score among them, and may be empty below `min_rows`. `ignore` names inputs
    that are measured but not judged: calendar features, because a window of a few days never holds the hours and
    weekdays in the shares of a longer reference, which says nothing about the model. `vanished` names inputs without
    any value where the reference has some: one is enough, for the model was never fitted to rows without it.
    Raises DataError where the score, or the limit of a column, is missing or a measure is not finite: no data is
    never a pass.
    """
    if few := too_few_rows(rows, limits):
        return few
    _check(measures, column_limits)
    inputs = [name for name in measures if name != SCORE and name not in ignore]
    drifted = [name for name in inputs if measures[name] >= column_limits[name] or name in vanished]
    gone = [name for name in drifted if name in vanished]
    share = len(drifted) / len(inputs) if inputs else 0.0
    score_drifted = measures[SCORE] >= column_limits[SCORE]
    too_many = bool(drifted) and share >= limits.max_share
    named = sorted(drifted, key=lambda name: -measures[name]) + [SCORE] * score_drifted
    retrain = score_drifted or too_many or bool(gone)
    return Decision(
        retrain=retrain,
        verdict="drift" if retrain else "no_drift",
        share=share,
        drifted=tuple(named),
        reasons=(
            *([f"the score drifted: PSI {measures[SCORE]:.3f}, limit {column_limits[SCORE]:.3f}"] * score_drifted),
            *(f"{name}: no row has a value, which is a drift of its own" for name in gone),
            f"{len(drifted)} of {len(inputs)} inputs drifted ({share:.0%}); "
            f"{limits.max_share:.0%} (max_share) make a drift of their own",
            *(f"{name}: PSI {measures[name]:.3f}, limit {column_limits[name]:.3f}" for name in named if name != SCORE),
        ),
    )


def _check(measures: Mapping[str, float], column_limits: Mapping[str, float]) -> None:
    if SCORE not in measures:
        raise DataError(f"drift: no measure of the column {SCORE}; measured: {', '.join(measures) or 'none'}")
    for name, value in measures.items():
        if not math.isfinite(value):
            raise DataError(f"drift: the PSI of {name} is {value}; a finite number is needed")
        if name not in column_limits:
            known = ", ".join(column_limits) or "none"
            raise DataError(f"drift: {name} has a measure but no limit; there are limits of {known}")
