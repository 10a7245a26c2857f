"""KFP: which estimators, train each, and stack them."""

from kfp import dsl

from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def estimators(use_case: str) -> list[dict]:  # type: ignore[type-arg]
    """The estimators to train, each with the machine that it is trained on, for the loop over them."""
    from components.step import step
    from components.train.placement import placements

    with step("estimators", use_case) as (_, case):
        return placements(case)


@dsl.component(base_image=image(), install_kfp_package=False)
def train(
    use_case: str,
    estimator: str,
    training_set: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    curves: dsl.Output[dsl.ClassificationMetrics],
) -> None:
    """Trains one estimator and writes its model artifact; metrics and curves are those of the validation folds.

    Ended by SIGTERM, it keeps what it has and exits with code 75; started again, it goes on from there.
    """
    from pathlib import Path

    import pandas as pd

    from components.step import log_metrics, step
    from components.train.sealing import Origin
    from components.train.task import train_task
    from serin.learning.kubeflow import draw

    with step(f"train {estimator}", use_case) as (platform, case):
        frame = pd.read_parquet(training_set.path)
        origin = Origin.of(training_set.metadata)
        made = train_task(platform, frame, case, estimator, Path(model.path), origin)
        model.metadata.update({"framework": made.manifest.engine, "estimator": estimator})
        log_metrics(metrics, made.drawn)
        draw(curves, made.validation["label"].to_numpy(), made.calibrated, made.manifest.threshold)


@dsl.component(base_image=image(), install_kfp_package=False)
def stack(
    use_case: str,
    training_set: dsl.Input[dsl.Dataset],
    models: dsl.Input[list[dsl.Model]],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Fits a stack over the trained models, where the use case lists one; the folder holds no manifest otherwise."""
    from pathlib import Path

    from components.step import log_metrics, step

    with step("stack", use_case) as (_, case):
        if "stacking" not in case.training.estimators:
            Path(model.path).mkdir(parents=True)
            Path(model.path, "none.txt").write_text("The use case lists no stacking.\n", encoding="utf-8")
            return
        import pandas as pd

        from components.train.sealing import Origin
        from components.train.stacking import stack_estimators

        frame = pd.read_parquet(training_set.path)
        origin = Origin.of(training_set.metadata)
        made = stack_estimators(frame, case, [Path(trained.path) for trained in models], Path(model.path), origin)
        model.metadata.update({"framework": made.manifest.engine, "estimator": "stacking"})
        log_metrics(metrics, made.drawn)
