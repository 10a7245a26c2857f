"""Engines: load the model file of an artifact and score a matrix of inputs.

Evaluation and the predictor score with this one module, so an offline score is the score served.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serin.artifact import MODEL_FILES, Manifest, verify

Scorer = Callable[[NDArray[np.float32]], NDArray[np.float64]]

# Types that skops does not trust by itself but our estimators consist of. A forged tree could read out of
# bounds; the manifest's hash, checked before loading, is what makes the file ours.
_TRUSTED_TYPES = ["numpy.dtype", "sklearn.tree._tree.Tree"]


def load(folder: Path) -> tuple[Manifest, Scorer]:
    """Verify the artifact in `folder`, then load its model.

    The scorer maps inputs of shape (n, columns) to n probabilities of the positive class.
    Raises ArtifactError as `serin.artifact.verify` does.
    """
    manifest = verify(folder)
    path = folder / MODEL_FILES[manifest.engine]
    return manifest, {"xgboost": _load_xgboost, "sklearn": _load_sklearn}[manifest.engine](path)


def _load_xgboost(path: Path) -> Scorer:
    import xgboost as xgb

    booster = xgb.Booster(model_file=path)
    booster.set_param({"nthread": 1})
    return lambda inputs: booster.inplace_predict(inputs).astype(np.float64)


def _load_sklearn(path: Path) -> Scorer:
    from skops.io import load as load_skops

    estimator = load_skops(path, trusted=_TRUSTED_TYPES)
    return lambda inputs: estimator.predict_proba(inputs)[:, 1].astype(np.float64)
