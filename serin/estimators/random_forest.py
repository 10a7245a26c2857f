"""Random forest: scikit-learn's RandomForestClassifier."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from serin.estimators.base import Estimator, Model, Parameters, prepared
from serin.schema import InputSchema

# Of the rows, or of the inputs; a whole number counts them.
Share = Annotated[float, Field(gt=0, le=1)]


class RandomForestParameters(Parameters):
    """See sklearn.ensemble.RandomForestClassifier."""

    bootstrap: bool = True
    ccp_alpha: NonNegativeFloat = 0.0
    class_weight: Literal["balanced", "balanced_subsample"] | dict[int, float] | None = None
    criterion: Literal["gini", "entropy", "log_loss"] = "gini"
    max_depth: PositiveInt | None = None
    max_features: Literal["sqrt", "log2"] | PositiveInt | Share | None = "sqrt"
    max_leaf_nodes: PositiveInt | None = None
    max_samples: PositiveInt | Share | None = None
    min_impurity_decrease: NonNegativeFloat = 0.0
    min_samples_leaf: PositiveInt | Share = 1
    min_samples_split: PositiveInt | Share = 2
    n_estimators: PositiveInt = 100
    n_jobs: int | None = None


class RandomForest(Estimator):
    """Many trees, each on a sample of the rows and inputs; robust, large and slow to serve."""

    name = "random_forest"
    engine = "sklearn"
    parameters = RandomForestParameters

    def make(self, parameters: dict[str, Any], inputs: InputSchema, seed: int) -> Model:
        """See Estimator."""
        from sklearn.ensemble import RandomForestClassifier

        model: Model = prepared(RandomForestClassifier(random_state=seed, **parameters), inputs)
        return model
