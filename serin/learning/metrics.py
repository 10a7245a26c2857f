"""Metrics of scores against labels."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Labels = NDArray[np.int8]
Scores = NDArray[np.float64]


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


def precision_at_k(
    entities: "pd.Series[Any]", times: "pd.Series[pd.Timestamp]", labels: Labels, scores: Scores, k: int
) -> float:
    """Mean over the days of: among the `k` entities with the day's highest scores, the share with a positive.

    Card precision@k of the Fraud Detection Handbook (chapter 4, "Precision top-k metrics"), with cards that were
    found on one day not taken out of the next. A day with fewer than k entities is divided by k all the same.
    """
    frame = pd.DataFrame({"entity": entities.to_numpy(), "label": labels, "score": scores})
    frame["day"] = times.dt.floor("D").to_numpy()
    daily = frame.groupby(["day", "entity"], as_index=False)[["label", "score"]].max()
    top = daily.sort_values("score", ascending=False, kind="stable").groupby("day").head(k)
    return float((top.groupby("day")["label"].sum() / k).mean())
