"""Engines: from an artifact folder to a function that scores.

Evaluation and the predictor score with this one module, so an offline score is the score served.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serin.artifact import MODEL_FILES, Manifest, verify
from serin.errors import ArtifactError

Scorer = Callable[[NDArray[np.float32]], NDArray[np.float64]]

# The only types beyond skops' own list that a file may hold. A decision tree's node array is one: skops can't tell
# a crafted one from a grown one, but the hash has shown that this file is the one that training wrote.
TRUSTED_TYPES = ("numpy.dtype", "sklearn.tree._tree.Tree")


def load(folder: Path) -> tuple[Manifest, Scorer]:
    """Verify the artifact in `folder`, then load its model.

    The scorer maps inputs of shape (n, columns) to n probabilities of the positive class; any thread may call it.
    Raises ArtifactError: an incomplete or changed artifact, or a model that can't be read or holds types that are
    not allowed.
    """
    manifest = verify(folder)
    path = folder / MODEL_FILES[manifest.engine]
    return manifest, (_load_xgboost(path) if manifest.engine == "xgboost" else _load_sklearn(path))


def _load_xgboost(path: Path) -> Scorer:
    import xgboost

    booster = xgboost.Booster()
    try:
        booster.load_model(path)
    except xgboost.core.XGBoostError as error:
        raise ArtifactError(f"{path} can't be read: {str(error).splitlines()[0]}") from None
    # Requests are spread over threads already; a second level of them only makes both wait.
    booster.set_param({"nthread": 1})
    return lambda inputs: np.asarray(booster.inplace_predict(inputs), dtype=np.float64)


def _load_sklearn(path: Path) -> Scorer:
    from skops import io

    if odd := sorted(set(io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)):
        raise ArtifactError(f"{path} holds {', '.join(odd)}; allowed besides skops' own: {', '.join(TRUSTED_TYPES)}")
    estimator = io.load(path, trusted=list(TRUSTED_TYPES))
    return lambda inputs: np.asarray(estimator.predict_proba(inputs)[:, 1], dtype=np.float64)
