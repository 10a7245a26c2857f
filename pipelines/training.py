"""The training pipeline."""

from typing import Any, NamedTuple

from kfp import dsl

from components.evaluate.component import evaluate
from components.features.component import features
from components.ingest.component import ingest
from components.register.component import register
from components.train.component import estimator_names, train
from pipelines.settings import applied
from serin.use_case import Pool


class Outputs(NamedTuple):
    """What a training run leaves behind."""

    version: int
    gate: str


def training_on(pool: Pool) -> Any:
    """The training pipeline, whose estimators are trained on the machines of a pool."""

    @dsl.pipeline(name="serin-training", description="From a table to a registered model version")
    def training(
        use_case: str, data: str = "", as_of: str = "", run_id: str = "", replace_days: bool = False
    ) -> Outputs:
        """From a table to a registered model version.

        1. ingest: check the table row by row, quarantine what breaks a rule, store the rest by date
        2. features: window features, the online store, the point-in-time training set
        3. train: one task an estimator of the use case
        4. evaluate: the best of them, the candidate, against the champion on the same held-back rows
        5. register: a new version in MLflow, the challenger if it passed the gate

        `use_case` is the name of a use case, or of a published one (see `Platform.publish`); `data` a table to ingest
        first ("" for what is stored already), which with `replace_days` takes the place of the days that it covers;
        `as_of` the time to look from ("" for the end of the data). The version is tagged with `run_id`.
        """
        ingested = applied(ingest(use_case=use_case, data=data, as_of=as_of, replace_days=replace_days))
        known_at, snapshot = ingested.outputs["known_at"], ingested.outputs["snapshot"]
        featured = applied(features(use_case=use_case, as_of=known_at, snapshot=snapshot))
        training_set = featured.outputs["training_set"]
        names = applied(estimator_names(use_case=use_case))
        with dsl.ParallelFor(names.output, name="each-estimator") as estimator:
            trained = applied(train(use_case=use_case, estimator=estimator, training_set=training_set), pool)
        models = dsl.Collected(trained.outputs["model"])
        evaluated = applied(evaluate(use_case=use_case, training_set=training_set, models=models))
        gate = evaluated.outputs["Output"]
        registered = applied(
            register(
                use_case=use_case,
                gate=gate,
                run_id=run_id,
                model=evaluated.outputs["model"],
                report=evaluated.outputs["report"],
            )
        )
        return Outputs(version=registered.outputs["Output"], gate=gate)

    return training


training = training_on(Pool())
