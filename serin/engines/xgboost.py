"""XGBoost's own format."""

from pathlib import Path
from typing import Any

from serin.engines.base import Engine, Scorer
from serin.errors import ArtifactError, first_line
from serin.logistic import sigmoid


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
        # Its own probabilities are float32, in which 1 has few neighbours.
        return lambda inputs: sigmoid(booster.inplace_predict(inputs, predict_type="margin"))
