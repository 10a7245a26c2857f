"""What every step tells Kubeflow."""

import math

import numpy as np
from kfp.dsl import Metrics

from components.step import log_metrics


def test_a_metric_that_is_no_number_is_told_and_not_drawn(capsys) -> None:  # type: ignore[no-untyped-def]
    artifact = Metrics()
    log_metrics(artifact, {"roc_auc": np.float32(0.5), "lift": math.nan, "psi_Größe (cm)": math.inf})
    assert artifact.metadata == {"roc_auc": 0.5}
    assert type(artifact.metadata["roc_auc"]) is float
    assert "lift is nan: it can't be drawn" in capsys.readouterr().out
