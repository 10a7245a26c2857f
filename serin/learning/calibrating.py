"""Whether a model's scores become better probabilities by a curve, and which."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serin.calibration import LEAST, Calibration
from serin.learning.metrics import Labels, Scores, row_log_loss
from serin.logistic import logits

Kind = Literal["platt", "isotonic"]
KINDS: tuple[Kind, ...] = ("platt", "isotonic")
# How much the isotonic curve rises beyond its ends, as a part of the room there: so that no two scores tie. Ties cost
# up to 0.008 of average precision on the validation rows of card_fraud.
_BEYOND = 1e-3


@dataclass(frozen=True)
class Calibrated:
    """The curve, None where scores stay as they are, the log loss by kind ("none" among them), and why, in words."""

    calibration: Calibration | None
    log_loss: dict[str, float]
    note: str


def calibrate(
    labels: Labels,
    scores: Scores,
    fold: NDArray[np.int64],
    *,
    asked: Literal["auto", "none", "platt", "isotonic"],
    in_time: bool,
) -> Calibrated:
    """Choose a curve for scores of rows that were not fitted on, shape (n,), each with its validation fold from 1.

    `in_time`: folds follow each other, so a curve that was fitted on the earlier ones is judged on the later; else it
    is fitted on the others. "auto" takes the kind of the lowest log loss there, if that is below the raw scores' by
    more than one standard error of the rows' differences (the rule of Hastie, Tibshirani, Friedman, section 7.10, so
    that chance alone calibrates nothing). The curve that is kept is fitted on all folds.

    Both keep the order of the rows: Platt's sigmoid (1999), and the isotonic curve (Zadrozny, Elkan 2002), which is
    centred (Oron, Flournoy 2017) so that it has neither steps nor levels.
    A curve that falls, of scores that rank the wrong way round, is never taken. Raises nothing: where no fold can be
    judged on, or lacks a class, scores stay raw unless a kind is asked for.
    """
    losses: dict[str, list[Scores]] = {kind: [] for kind in ("none", *KINDS)}
    for earlier, later in _pairs(fold, in_time):
        curves = {kind: _fit(kind, labels[earlier], scores[earlier]) for kind in KINDS}
        if len(np.unique(labels[earlier])) < 2:
            continue
        losses["none"].append(row_log_loss(labels[later], scores[later]))
        for kind, curve in curves.items():
            given = curve.apply(scores[later]) if curve else scores[later]
            losses[kind].append(row_log_loss(labels[later], given))
    if not losses["none"]:
        raw = {"none": float(row_log_loss(labels, scores).mean())}
        return _made(asked, labels, scores, raw, "there is no second fold to judge a calibration on")
    rows = {kind: np.concatenate(parts) for kind, parts in losses.items()}
    means = {kind: float(loss.mean()) for kind, loss in rows.items()}
    best = min(KINDS, key=lambda kind: means[kind])
    gain = rows["none"] - rows[best]
    error = float(gain.std() / np.sqrt(len(gain)))
    told = f"log loss {means['none']:.5f} raw, " + ", ".join(f"{means[kind]:.5f} {kind}" for kind in KINDS)
    if asked == "auto" and gain.mean() > error:
        return _made(best, labels, scores, means, f"{told}: {best} is better")
    if asked == "auto":
        return _made("none", labels, scores, means, f"{told}: none is better than raw by more than chance")
    return _made(asked, labels, scores, means, f"{told}: {asked}, as training.calibration says")


def _made(
    kind: Literal["auto", "none", "platt", "isotonic"],
    labels: Labels,
    scores: Scores,
    log_loss: dict[str, float],
    note: str,
) -> Calibrated:
    if kind == "platt" or kind == "isotonic":
        curve = _fit(kind, labels, scores)
        return Calibrated(curve, log_loss, note if curve else f"{note}, but it would not rise, so scores stay raw")
    return Calibrated(None, log_loss, note)


def _pairs(fold: NDArray[np.int64], in_time: bool) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """The rows to fit a curve on and those to judge it on, a pair a fold."""
    for number in np.unique(fold):
        earlier = fold < number if in_time else fold != number
        if earlier.any():
            yield earlier, fold == number


def _fit(kind: Kind, labels: Labels, scores: Scores) -> Calibration | None:
    if len(np.unique(labels)) < 2:
        return None
    return _platt(labels, scores) if kind == "platt" else _isotonic(labels, scores)


def _platt(labels: Labels, scores: Scores) -> Calibration | None:
    from sklearn.linear_model import LogisticRegression

    margins = logits(scores, LEAST).reshape(-1, 1)
    # Platt's targets, each row a part of it positive and a part negative: a label is never quite certain, so the line
    # has an end to its steepness where scores part the classes.
    positives = int(labels.sum())
    target = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    both = np.repeat([1, 0], len(labels))
    weight = np.concatenate([target, 1 - target])
    found = LogisticRegression(C=np.inf, max_iter=1000).fit(np.concatenate([margins, margins]), both, weight)
    intercept, slope = float(found.intercept_[0]), float(found.coef_[0, 0])
    return Calibration(kind="platt", x=(intercept, slope)) if slope > 0 else None


def _isotonic(labels: Labels, scores: Scores) -> Calibration | None:
    """The isotonic fit, drawn from the middle of one level to the middle of the next instead of in steps.

    A step would make of a difference in a score's last digit, as between two engines, one that shows.
    """
    from sklearn.isotonic import IsotonicRegression

    # n rows show no probability nearer to 0 or 1 than this (Laplace's rule of succession).
    least = 1 / (len(labels) + 2)
    # Of scores that differ in their last digits the fit keeps one, which may lie inside of the others.
    fitted = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(scores, labels)
    level = fitted.predict(scores)
    heights, which, counts = np.unique(level, return_inverse=True, return_counts=True)
    if len(heights) < 2:
        return None
    middles = np.bincount(which, scores) / counts
    inside = (middles > 0) & (middles < 1)
    low, high = heights[0] * (1 - _BEYOND), heights[-1] + (1 - heights[-1]) * _BEYOND
    x = [0.0, *middles[inside].tolist(), 1.0]
    return Calibration(kind="isotonic", x=tuple(x), y=(float(low), *heights[inside].tolist(), float(high)))
