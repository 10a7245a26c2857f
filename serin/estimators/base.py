"""What an estimator declares, in a file of its own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from serin.schema import InputSchema


class Parameters(BaseModel):
    """The parameters of an estimator that a use case may set, with the library's names and defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Model(Protocol):
    """What Serin needs of a fitted model: scikit-learn's interface."""

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of both classes for encoded inputs, shape (rows, 2)."""


class Trial(Protocol):
    """What a search space asks for values: Optuna's Trial."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


class Parts(Protocol):
    """Where a fit keeps what it has so far, and hears that it has to stop; see components.train.checkpoints."""

    def latest(self) -> tuple[int, bytes] | None:
        """How many units (boosting rounds, trees) were done when the last part was kept, and the model then."""

    def done(self, units: int, of: int, model: Callable[[], bytes]) -> None:
        """Tell that `units` of `of` are done; `model` is asked for the bytes to keep, when it is time to.

        Raises InterruptedStepError, after they were kept, where the process was told to end.
        """


class Unkept:
    """Parts that keep nothing: of a fit that takes seconds."""

    def latest(self) -> None:
        """See Parts."""

    def done(self, units: int, of: int, model: Callable[[], bytes]) -> None:
        """See Parts."""


@dataclass(frozen=True)
class Rows:
    """Rows to fit on: inputs of shape (n, columns) as `InputSchema.encode` gives them, NaN where missing; labels, and
    the weight of each row, of shape (n,)."""

    X: NDArray[np.float32]
    y: NDArray[np.int8]
    weight: NDArray[np.float32] | None = None


class Estimator(ABC):
    """One kind of model. A subclass in a module of `serin.estimators` is found by its `name`.

    `parameters` are validated when the use case is read, so a misspelt one costs no minute of training; `engine` names
    the engine of `serin.engines` that keeps the model and scores with it. One that `combines` is not fitted on rows but
    on the scores of the others (see components.train.stacking), and has neither space nor fit. `first` is what the
    first trial of a search takes, by the names that `space` suggests.
    `on_gpu`: it has a use for the device "cuda".
    `in_trials` is what trials take where neither use case nor space says otherwise: less of what only costs time.
    """

    name: ClassVar[str]
    engine: ClassVar[str]
    parameters: ClassVar[type[Parameters]]
    combines: ClassVar[bool] = False
    on_gpu: ClassVar[bool] = False
    first: ClassVar[Mapping[str, Any]] = {}
    in_trials: ClassVar[Mapping[str, Any]] = {}

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that a use case gives, as the library takes them: no more, and each of its type.

        Raises pydantic's ValidationError for those that reading the use case refuses.
        """
        return self.parameters.model_validate(dict(given)).model_dump(exclude_unset=True)

    def missing(self) -> str:
        """What this machine lacks to train and serve it, with what to do; "" where all is there."""
        return ""

    @abstractmethod
    def space(self, trial: Trial) -> dict[str, Any]:
        """Parameters for one trial of a search, whose first trial takes `first`."""

    @abstractmethod
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
    ) -> Model:
        """A model fitted on `rows`: the same for the same arguments, however often the fit was ended and gone on with.

        `parameters` are `settings` of the use case's, with those that a search found. Raises what `parts` raises.
        """


def prepared(core: Any, inputs: InputSchema, *, scaled: bool = True) -> Any:
    """A scikit-learn pipeline that makes encoded inputs fit for an estimator which takes neither gaps nor codes.

    Numbers: the median for missing ones, and standardised if `scaled`, which trees do not need. Category codes: one
    column a category, none for an unknown one.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    places = {
        kind: [i for i, column in enumerate(inputs.columns) if column.kind == kind] for kind in ("number", "category")
    }
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    numbers = make_pipeline(imputer, StandardScaler()) if scaled else imputer
    categories = make_pipeline(
        SimpleImputer(strategy="constant", fill_value=-1.0), OneHotEncoder(handle_unknown="ignore")
    )
    steps = [("numbers", numbers, places["number"]), ("categories", categories, places["category"])]
    preparation = ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0)
    return make_pipeline(preparation, core)
