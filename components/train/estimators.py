"""The candidates: which estimator each name stands for, and the file that its model is kept in."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from serin.artifact import MODEL_FILES, Engine
from serin.errors import UseCaseError
from serin.schema import InputSchema

ENGINES: dict[str, Engine] = {
    "logistic_regression": "sklearn",
    "random_forest": "sklearn",
    "xgboost": "xgboost",
}


class Estimator(Protocol):
    """What Serin needs of an estimator: scikit-learn's interface."""

    def fit(self, X: NDArray[np.float32], y: NDArray[np.int8]) -> Any: ...
    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]: ...


def make(candidate: str, params: dict[str, Any], inputs: InputSchema, seed: int) -> Estimator:
    """An unfitted estimator for encoded inputs (see `InputSchema.encode`: float32, NaN where missing).

    Raises UseCaseError for a parameter that the estimator does not have.
    """
    core = _core(candidate, inputs, seed)
    allowed = core.get_params()
    for name in params:
        if name not in allowed:
            raise UseCaseError(
                f"training.candidates.{candidate}.{name}: unknown parameter; allowed: {', '.join(sorted(allowed))}"
            )
    core.set_params(**params)
    return core if candidate == "xgboost" else _prepared(core, inputs)  # type: ignore[no-any-return]


def save(estimator: Estimator, engine: Engine, folder: Path) -> None:
    """Write the model in its own format: XGBoost's UBJSON, or skops' for a scikit-learn estimator."""
    path = folder / MODEL_FILES[engine]
    if engine == "xgboost":
        estimator.get_booster().save_model(path)  # type: ignore[attr-defined]
        return
    from skops.io import dump

    dump(estimator, path)


def _core(candidate: str, inputs: InputSchema, seed: int) -> Any:
    if candidate == "xgboost":
        from xgboost import XGBClassifier

        types = ["c" if column.kind == "category" else "q" for column in inputs.columns]
        return XGBClassifier(
            tree_method="hist",
            enable_categorical=True,
            feature_types=types,
            random_state=seed,
            eval_metric="logloss",
        )
    if candidate == "random_forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(random_state=seed)
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000, random_state=seed)


def _prepared(core: Any, inputs: InputSchema) -> Any:
    """Numbers: median for missing, standardised. Category codes: one column a category, none for unknown."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    places = {
        kind: [i for i, column in enumerate(inputs.columns) if column.kind == kind] for kind in ("number", "category")
    }
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    categories = make_pipeline(
        SimpleImputer(strategy="constant", fill_value=-1.0), OneHotEncoder(handle_unknown="ignore")
    )
    preparation = ColumnTransformer(
        [("numbers", numbers, places["number"]), ("categories", categories, places["category"])],
        sparse_threshold=0,
    )
    return make_pipeline(preparation, core)
