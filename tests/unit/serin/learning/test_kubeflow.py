"""What the Kubeflow UI gets, in KFP's own artifact."""

import math

import numpy as np
from kfp.dsl import ClassificationMetrics

from serin.learning.kubeflow import MAX_POINTS, draw


def drawn(labels, scores, threshold):
    artifact = ClassificationMetrics()
    draw(artifact, np.array(labels, np.int8), np.array(scores), threshold)
    return artifact.metadata


def test_confusion_matrix_counts_a_score_at_the_threshold_as_positive():
    found = drawn([0, 1, 0, 1], [0.1, 0.9, 0.8, 0.7], 0.7)["confusionMatrix"]
    assert [row["row"] for row in found["rows"]] == [[1, 1], [0, 2]]
    assert [spec["displayName"] for spec in found["annotationSpecs"]] == ["negative", "positive"]


def test_roc_curve_of_many_rows_keeps_its_ends_and_holds_no_infinity():
    random = np.random.default_rng(0)
    points = drawn(random.integers(0, 2, 5000), random.random(5000), 0.5)["confidenceMetrics"]
    assert 100 < len(points) <= MAX_POINTS
    assert all(math.isfinite(point["confidenceThreshold"]) for point in points)
    assert (points[0]["recall"], points[-1]["recall"], points[-1]["falsePositiveRate"]) == (0, 1, 1)
