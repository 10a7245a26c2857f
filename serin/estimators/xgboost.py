"""Gradient boosted trees: xgboost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from serin.estimators.base import Estimator, Parameters, Parts, Rows, Trial
from serin.estimators.chunks import boosted
from serin.estimators.cuda import reason_against
from serin.logistic import sigmoid
from serin.progress import say
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


@dataclass(frozen=True)
class Boosted:
    """A fitted Booster."""

    booster: Any

    def get_booster(self) -> Any:
        """As XGBClassifier gives it."""
        return self.booster

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See Model."""
        # XGBoost's own probabilities are float32, in which 1 has few neighbours.
        positive = sigmoid(self.booster.inplace_predict(X, predict_type="margin"))
        return np.stack([1 - positive, positive], axis=1)


class Xgboost(Estimator):
    """Takes missing numbers and categories as they are."""

    name = "xgboost"
    engine = "xgboost"
    parameters = XgboostParameters
    on_gpu = True
    # With rare labels: small steps, leaves that are more than one row's, and fine bins, for a rare label is often a
    # matter of the exact value.
    first: ClassVar[Mapping[str, Any]] = {
        "n_estimators": 300,
        "learning_rate": 0.05,
        "max_depth": 5,
        "min_child_weight": 5.0,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "reg_lambda": 1.0,
        "max_bin": 1024,
        "scale_pos_weight": 1.0,
    }

    def space(self, trial: Trial) -> dict[str, Any]:
        """See Estimator."""
        return {
            "n_estimators": trial.suggest_int("n_estimators", 100, 500, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
            "max_depth": trial.suggest_int("max_depth", 3, 9),
            "min_child_weight": trial.suggest_float("min_child_weight", 0.5, 50.0, log=True),
            "subsample": trial.suggest_float("subsample", 0.5, 1.0),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1.0),
            "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 30.0, log=True),
            "max_bin": trial.suggest_categorical("max_bin", [256, 1024]),
            "scale_pos_weight": trial.suggest_float("scale_pos_weight", 1.0, 20.0, log=True),
        }

    def fit(
        self,
        rows: Rows,
        parameters: dict[str, Any],
        inputs: InputSchema,
        seed: int,
        *,
        parts: Parts,
        device: Literal["cpu", "cuda"] = "cpu",
        threads: int = 1,
    ) -> Boosted:
        """See Estimator. Another number of threads may add in another order: the last digits differ."""
        import xgboost

        types = ["c" if column.kind == "category" else "q" for column in inputs.columns]
        own = core(parameters) | {"nthread": parameters.get("n_jobs") or threads, "device": _device(device)}
        matrix = xgboost.DMatrix(
            rows.X, rows.y, weight=rows.weight, feature_types=types, enable_categorical=True, nthread=own["nthread"]
        )

        def train(model: bytes | None, rounds: int, chunk_seed: int) -> bytes:
            before = loaded(model) if model else None
            grown = xgboost.train({**own, "seed": chunk_seed}, matrix, rounds, xgb_model=before, verbose_eval=False)
            return bytes(grown.save_raw("ubj"))

        kept = boosted(parameters.get("n_estimators", ROUNDS), rows.X.shape, seed, parts, train=train)
        booster = loaded(kept)
        # What serving does, see serin.engines.xgboost.
        booster.set_param({"nthread": 1})
        return Boosted(booster)


ROUNDS: int = XgboostParameters.model_fields["n_estimators"].default


def core(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters as xgboost.train takes them."""
    given = {name: value for name, value in parameters.items() if name not in ("n_estimators", "n_jobs")}
    own = {"objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", **given}
    return {name: value for name, value in own.items() if value is not None}


def loaded(model: bytes) -> Any:
    """A Booster of its bytes."""
    import xgboost

    return xgboost.Booster(model_file=bytearray(model))


def _device(wanted: Literal["cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    if wanted == "cuda" and (reason := reason_against()):
        say(f"xgboost trains on the CPU: {reason}")
        return "cpu"
    return wanted
