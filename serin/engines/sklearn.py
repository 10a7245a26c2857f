"""scikit-learn estimators in skops' format (no pickle)."""

from pathlib import Path
from typing import Any

import numpy as np

from serin.engines.base import Engine, Scorer
from serin.errors import ArtifactError

# The only types beyond skops' own list that a file may hold. A decision tree's node array is one: skops can't tell
# a crafted one from a grown one, but the hash has shown that this file is the one that training wrote.
TRUSTED_TYPES = ("numpy.dtype", "sklearn.tree._tree.Tree")


class Sklearn(Engine):
    """Any scikit-learn classifier or pipeline."""

    name = "sklearn"
    file = "model.skops"
    varies = True  # skops writes memory addresses into its file.

    def save(self, model: Any, path: Path) -> None:
        """See Engine."""
        from skops.io import dump

        dump(model, path)

    def load(self, path: Path) -> Scorer:
        """See Engine."""
        from skops import io

        if odd := sorted(set(io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)):
            raise ArtifactError(
                f"{path} holds {', '.join(odd)}; allowed besides skops' own: {', '.join(TRUSTED_TYPES)}"
            )
        estimator = io.load(path, trusted=list(TRUSTED_TYPES))
        return lambda inputs: np.asarray(estimator.predict_proba(inputs)[:, 1], dtype=np.float64)
