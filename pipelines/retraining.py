"""The drift pipeline."""

from typing import Any

from kfp import dsl

from components.drift.component import find_drift
from pipelines.settings import applied
from pipelines.training import training_on
from serin.use_case import Pool


def retraining_on(pools: tuple[Pool, ...]) -> Any:
    """The drift pipeline, which trains on the machines of these pools."""
    training = training_on(pools)

    @dsl.pipeline(name="serin-retraining", description="Look for drift, and train when it says so")
    def retraining(use_case: str, drift_as_of: str = "", data: str = "", as_of: str = "", run_id: str = "") -> str:
        """Look for drift, and train when it says so.

        1. find_drift: the logged predictions before `drift_as_of` against the champion's training reference
        2. where that says `retrain`: the training pipeline, with `data`, `as_of` and `run_id` as it takes them

        Returns the decision.
        """
        found = applied(find_drift(use_case=use_case, as_of=drift_as_of))
        with dsl.If(found.outputs["Output"] == "retrain"):
            training(use_case=use_case, data=data, as_of=as_of, run_id=run_id)
        decision: str = found.outputs["Output"]
        return decision

    return retraining


retraining = retraining_on((Pool(),))
