"""scikit-learn estimators in skops' format (no pickle)."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.engines.base import Engine, Scorer
from serin.errors import ArtifactError
from serin.estimators.kept import TRUSTED_TYPES, dumps, loads, odd_types
from serin.estimators.logistic_regression import Pipeline


class Sklearn(Engine):
    """Any scikit-learn classifier or pipeline."""

    name = "sklearn"
    file = "model.skops"

    def save(self, model: Any, path: Path) -> None:
        """See Engine."""
        path.write_bytes(dumps(model.pipeline if isinstance(model, Pipeline) else model))

    def load(self, path: Path) -> Scorer:
        """See Engine."""
        if odd := odd_types(path):
            raise ArtifactError(
                f"{path} holds {', '.join(odd)}; allowed besides skops' own: {', '.join(TRUSTED_TYPES)}"
            )
        estimator = loads(path.read_bytes())

        def score(inputs: NDArray[np.float32]) -> NDArray[np.float64]:
            # What a pipeline makes of a large input may be too large for float32, which scikit-learn refuses; where it
            # sums all inputs of a forest to see whether they are finite, the sum may be no number.
            with np.errstate(over="ignore", invalid="ignore"):
                return np.asarray(estimator.predict_proba(inputs.astype(np.float64))[:, 1], dtype=np.float64)

        return score
