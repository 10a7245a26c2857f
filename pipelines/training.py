"""The training pipeline."""

from typing import Any, NamedTuple

from kfp import dsl

from components.evaluate.component import evaluate
from components.features.component import features
from components.ingest.component import ingest
from components.register.component import register
from components.train.component import estimators, stack, train
from pipelines.settings import applied, placed
from serin.use_case import Pool


class Outputs(NamedTuple):
    """What a training run leaves behind."""

    version: int
    gate: str


def training_on(pools: tuple[Pool, ...]) -> Any:
    """The training pipeline, whose estimators are trained on the machines of these pools.

    Where there is one, the tasks name it. Where there are several, each task asks the step before for its own as the
    run goes on, so the pipeline stays as long as it is, whatever the use case lists.
    """
    train_one = _on_its_own(any(pool.kind == "gpu" for pool in pools)) if len(pools) > 1 else None

    @dsl.pipeline(name="serin-training", description="From a table to a registered model version")
    def training(
        use_case: str, data: str = "", as_of: str = "", run_id: str = "", replace_days: bool = False
    ) -> Outputs:
        """From a table to a registered model version.

        1. ingest: check the table row by row, quarantine what breaks a rule, store the rest by date
        2. features: window features, the online store, the point-in-time training set
        3. train: one task an estimator of the use case, each with a search of its own
        4. stack: where the use case lists it, a combination of the others
        5. evaluate: the best of them, the candidate, against the champion on the same held-back rows
        6. register: a new version in MLflow, the challenger if it passed the gate

        `use_case` is the name of a use case, or of a published one (see `Platform.publish`); `data` a table to ingest
        first ("" for what is stored already), which with `replace_days` takes the place of the days that it covers;
        `as_of` the time to look from ("" for the end of the data). The version is tagged with `run_id`.
        """
        ingested = applied(ingest(use_case=use_case, data=data, as_of=as_of, replace_days=replace_days))
        known_at, snapshot = ingested.outputs["known_at"], ingested.outputs["snapshot"]
        featured = applied(features(use_case=use_case, as_of=known_at, snapshot=snapshot))
        training_set = featured.outputs["training_set"]
        listed = applied(estimators(use_case=use_case))
        with dsl.ParallelFor(listed.output, name="each-estimator") as item:
            if train_one:
                trained = train_one(
                    use_case=use_case,
                    estimator=item.estimator,
                    training_set=training_set,
                    cpu=item.cpu,
                    memory=item.memory,
                    gpus=item.gpus,
                    selector=item.selector,
                    tolerations=item.tolerations,
                ).output
            else:
                task = train(use_case=use_case, estimator=item.estimator, training_set=training_set)
                trained = applied(task, pools[0]).outputs["model"]
        # KFP takes a collection apart where it is used, so each use has its own.
        stacked = applied(stack(use_case=use_case, training_set=training_set, models=dsl.Collected(trained)))
        evaluated = applied(
            evaluate(
                use_case=use_case,
                training_set=training_set,
                models=dsl.Collected(trained),
                stack=stacked.outputs["model"],
            )
        )
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


def _on_its_own(with_gpus: bool) -> Any:
    """A pipeline of one training, on the machine that its parameters name: a loop's item can't say that of a task."""

    @dsl.pipeline(name="train-on-its-pool")
    def train_on_its_pool(
        use_case: str,
        estimator: str,
        training_set: dsl.Input[dsl.Dataset],
        cpu: str,
        memory: str,
        gpus: str,
        selector: dict,  # type: ignore[type-arg]
        tolerations: list,  # type: ignore[type-arg]
    ) -> dsl.Model:
        """Train one estimator on a machine of its pool."""
        task = train(use_case=use_case, estimator=estimator, training_set=training_set)
        asked = gpus if with_gpus else None
        placed(task, cpu=cpu, memory=memory, gpus=asked, selector=selector, tolerations=tolerations)
        model: dsl.Model = task.outputs["model"]
        return model

    return train_on_its_pool


training = training_on((Pool(),))
