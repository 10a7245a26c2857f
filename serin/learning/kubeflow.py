"""What the Kubeflow UI draws of scores: ROC curve and confusion matrix."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 200


def draw(artifact: Any, labels: NDArray[np.int8], scores: NDArray[np.float64], threshold: float) -> None:
    """Fill a KFP ClassificationMetrics artifact; the curve is thinned to 200 points, which the UI can draw."""
    from sklearn.metrics import confusion_matrix, roc_curve

    false_positives, true_positives, thresholds = roc_curve(labels, scores)
    picked = np.unique(np.linspace(0, len(thresholds) - 1, MAX_POINTS).astype(int))
    # The first threshold is infinite, which JSON can't hold; no score is above 1, so 1 says the same.
    finite = np.minimum(thresholds[picked], 1.0)
    artifact.log_roc_curve(false_positives[picked].tolist(), true_positives[picked].tolist(), finite.tolist())
    matrix = confusion_matrix(labels, scores >= threshold, labels=[0, 1])
    artifact.log_confusion_matrix(["negative", "positive"], matrix.tolist())
