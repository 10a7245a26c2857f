"""scikit-learn estimators in skops' format (no pickle)."""

from pathlib import Path
from typing import Any

import numpy as np

from serin.engines.base import Engine, Scorer
from serin.errors import ArtifactError
from serin.estimators.kept import TRUSTED_TYPES, dumps, loads, odd_types


class Sklearn(Engine):
    """Any scikit-learn classifier or pipeline."""

    name = "sklearn"
    file = "model.skops"

    def save(self, model: Any, path: Path) -> None:
        """See Engine."""
        path.write_bytes(dumps(model))

    def load(self, path: Path) -> Scorer:
        """See Engine."""
        if odd := odd_types(path):
            raise ArtifactError(
                f"{path} holds {', '.join(odd)}; allowed besides skops' own: {', '.join(TRUSTED_TYPES)}"
            )
        estimator = loads(path.read_bytes())
        return lambda inputs: np.asarray(estimator.predict_proba(inputs)[:, 1], dtype=np.float64)
