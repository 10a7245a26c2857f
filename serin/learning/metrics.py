"""Metrics of scores against labels."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Labels = NDArray[np.int8]
Scores = NDArray[np.float64]

BINS = 10
_LEAST = 1e-15  # a probability of 0 for what happened costs this one's logarithm, not infinity


def ranking_metrics(labels: Labels, scores: Scores) -> dict[str, float]:
    """Area under the ROC curve, and average precision (the step-wise area under precision-recall).

    Both arrays have shape (n,), both classes present; scikit-learn's definitions.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "roc_auc": float(roc_auc_score(labels, scores)),
        "average_precision": float(average_precision_score(labels, scores)),
    }


def decision_metrics(labels: Labels, scores: Scores, threshold: float) -> dict[str, float]:
    """Precision, recall and F1 of the decision `score >= threshold`; 0 where nothing was flagged."""
    flagged, positive = scores >= threshold, labels == 1
    hits = int((flagged & positive).sum())
    precision = hits / int(flagged.sum()) if flagged.any() else 0.0
    recall = hits / int(positive.sum()) if positive.any() else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def probability_metrics(labels: Labels, probabilities: Scores) -> dict[str, float]:
    """How far probabilities are from what happened: log loss (natural), Brier score, expected calibration error.

    The last is the mean distance of probability and share of positives in `calibration_bins`, weighted by their rows
    (Naeini, Cooper, Hauskrecht 2015, with bins of equal size). All are 0 at best. Shapes (n,), n > 0.
    """
    bins = calibration_bins(probabilities)
    count = np.bincount(bins, minlength=BINS)
    gap = np.bincount(bins, probabilities - labels, minlength=BINS)
    return {
        "log_loss": float(row_log_loss(labels, probabilities).mean()),
        "brier": float(((probabilities - labels) ** 2).mean()),
        "calibration_error": float(np.abs(gap).sum() / count.sum()),
    }


def row_log_loss(labels: Labels, probabilities: Scores) -> Scores:
    """What each row adds to the log loss, shape (n,)."""
    return -np.log(np.maximum(np.where(labels == 1, probabilities, 1 - probabilities), _LEAST))


def calibration_bins(probabilities: Scores) -> NDArray[np.intp]:
    """The bin of each row, 0 to 9: tenths of the rows in order of their probability; equal ones share a bin."""
    edges = np.quantile(probabilities, np.arange(1, BINS) / BINS)
    return np.searchsorted(edges, probabilities, side="right")


def precision_at_k(
    entities: "pd.Series[Any]",
    times: "pd.Series[pd.Timestamp]",
    labels: Labels,
    scores: Scores,
    k: int,
    *,
    leave_out: Collection[Any] | None = None,
) -> float:
    """Mean over the days of: among the `k` entities with the day's highest scores, the share with a positive that day.

    A day with fewer than k entities is divided by k all the same. Without `leave_out` every entity counts on every
    day. With it (which may be empty) this is card precision@k of the Fraud Detection Handbook (chapter 4, "Precision
    top-k metrics"): entities in `leave_out`, which were known to be compromised, count on no day, and one that was
    among a day's k and had a positive counts on none of the later days. The Handbook also takes out, day by day, who
    becomes known in the meantime through the labels of the delay; here the known ones are those of the first day.
    """
    frame = pd.DataFrame({"entity": entities.to_numpy(), "label": labels, "score": scores})
    frame["day"] = day_numbers(times)
    daily = frame.groupby(["day", "entity"], as_index=False)[["label", "score"]].max()
    # Of equal scores the entity that sorts first is taken.
    daily = daily.sort_values(["day", "score", "entity"], ascending=[True, False, True], kind="stable")
    gone = set(leave_out or ())
    shares = []
    for _, day in daily.groupby("day"):
        top = day[~day["entity"].isin(gone)].head(k)
        shares.append(top["label"].sum() / k)
        if leave_out is not None:
            gone |= set(top.loc[top["label"] == 1, "entity"])
    return float(np.mean(shares))


def day_numbers(times: "pd.Series[pd.Timestamp]") -> NDArray[np.intp]:
    """The day (UTC) of each event, as a number that rises with it; shape (n,)."""
    return pd.factorize(times.dt.floor("D"), sort=True)[0]
