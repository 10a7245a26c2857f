"""Gradient boosted trees: xgboost's XGBClassifier."""

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from serin.estimators.base import Estimator, Model, Parameters
from serin.schema import InputSchema

_SHARE = Field(default=1.0, gt=0, le=1)


class XgboostParameters(Parameters):
    """See xgboost.XGBClassifier."""

    base_score: float | None = None
    colsample_bylevel: float = _SHARE
    colsample_bynode: float = _SHARE
    colsample_bytree: float = _SHARE
    gamma: NonNegativeFloat = 0.0
    grow_policy: Literal["depthwise", "lossguide"] = "depthwise"
    learning_rate: PositiveFloat = 0.3
    max_bin: PositiveInt = 256
    max_cat_threshold: PositiveInt = 64
    max_cat_to_onehot: PositiveInt = 4
    max_delta_step: NonNegativeFloat = 0.0
    max_depth: NonNegativeInt = 6
    max_leaves: NonNegativeInt = 0
    min_child_weight: NonNegativeFloat = 1.0
    n_estimators: PositiveInt = 100
    n_jobs: int | None = None
    num_parallel_tree: PositiveInt = 1
    reg_alpha: NonNegativeFloat = 0.0
    reg_lambda: NonNegativeFloat = 1.0
    sampling_method: Literal["uniform", "gradient_based"] = "uniform"
    scale_pos_weight: PositiveFloat = 1.0
    subsample: float = _SHARE
    tree_method: Literal["hist", "exact", "approx"] = "hist"


class Xgboost(Estimator):
    """Takes missing numbers and categories as they are."""

    name = "xgboost"
    engine = "xgboost"
    parameters = XgboostParameters

    def make(self, parameters: dict[str, Any], inputs: InputSchema, seed: int) -> Model:
        """See Estimator."""
        from xgboost import XGBClassifier

        types = ["c" if column.kind == "category" else "q" for column in inputs.columns]
        own = {"tree_method": "hist", "enable_categorical": True, "feature_types": types, "eval_metric": "logloss"}
        model: Model = XGBClassifier(**{**own, "random_state": seed, **parameters})
        return model
