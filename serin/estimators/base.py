"""What an estimator declares, in a file of its own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from serin.schema import InputSchema


class Parameters(BaseModel):
    """The parameters of an estimator that a use case may set, with the library's names and defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Model(Protocol):
    """What Serin needs of an estimator's object: scikit-learn's interface."""

    def fit(self, X: NDArray[np.float32], y: NDArray[np.int8]) -> Any: ...
    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]: ...


class Estimator(ABC):
    """One kind of model. A subclass in a module of `serin.estimators` is found by its `name`.

    `parameters` are validated when the use case is read, so a misspelt one costs no minute of training; `engine` names
    the engine of `serin.engines` that keeps the model and scores with it.
    """

    name: ClassVar[str]
    engine: ClassVar[str]
    parameters: ClassVar[type[Parameters]]

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that a use case gives, as the library takes them: no more, and each of its type.

        Raises pydantic's ValidationError for those that reading the use case refuses.
        """
        return self.parameters.model_validate(dict(given)).model_dump(exclude_unset=True)

    @abstractmethod
    def make(self, parameters: dict[str, Any], inputs: InputSchema, seed: int) -> Model:
        """An unfitted model for encoded inputs (see `InputSchema.encode`: float32, NaN where missing).

        `parameters` are what `settings` made of the use case's.
        """


def prepared(core: Any, inputs: InputSchema) -> Any:
    """A scikit-learn pipeline that makes encoded inputs fit for an estimator which takes neither gaps nor codes.

    Numbers: the median for missing ones, standardised. Category codes: one column a category, none for an unknown one.
    """
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
