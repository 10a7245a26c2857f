"""LightGBM's own format."""

from pathlib import Path
from typing import Any

import numpy as np

from serin.engines.base import Engine, Scorer
from serin.errors import ArtifactError, first_line
from serin.estimators.lightgbm import library


class Lightgbm(Engine):
    """LightGBM's text, and a Booster."""

    name = "lightgbm"
    file = "model.lightgbm.txt"

    def save(self, model: Any, path: Path) -> None:
        """See Engine."""
        path.write_text(model.booster.model_to_string(), encoding="utf-8")

    def load(self, path: Path) -> Scorer:
        """See Engine. Raises UnavailableError where LightGBM can't be loaded."""
        lightgbm = library()
        try:
            booster = lightgbm.Booster(model_str=path.read_text(encoding="utf-8"))
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise ArtifactError(f"{path} can't be read: {first_line(error)}") from None
        # Requests are spread over threads already; a second level of them only makes both wait.
        return lambda inputs: np.asarray(booster.predict(inputs, num_threads=1), dtype=np.float64)
