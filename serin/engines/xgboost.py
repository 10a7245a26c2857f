"""XGBoost's own format."""

from pathlib import Path
from typing import Any

import numpy as np

from serin.engines.base import Engine, Scorer
from serin.errors import ArtifactError, first_line


class Xgboost(Engine):
    """UBJSON, and a Booster."""

    name = "xgboost"
    file = "model.ubj"

    def save(self, model: Any, path: Path) -> None:
        """See Engine."""
        model.get_booster().save_model(path)

    def load(self, path: Path) -> Scorer:
        """See Engine."""
        import xgboost

        booster = xgboost.Booster()
        try:
            booster.load_model(path)
        except xgboost.core.XGBoostError as error:
            raise ArtifactError(f"{path} can't be read: {first_line(error)}") from None
        # Requests are spread over threads already; a second level of them only makes both wait.
        booster.set_param({"nthread": 1})
        return lambda inputs: np.asarray(booster.inplace_predict(inputs), dtype=np.float64)
