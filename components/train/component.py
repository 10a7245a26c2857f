"""KFP: train."""

from kfp import dsl

from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def estimator_names(use_case: str) -> list[str]:
    """The estimators that the use case lists, for the loop over them."""
    from components.step import step

    with step("estimators", use_case) as (_, case):
        return list(case.training.estimators)


@dsl.component(base_image=image(), install_kfp_package=False)
def train(  # type: ignore[no-untyped-def]
    use_case: str,
    estimator: str,
    training_set: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Trains one estimator and writes its model artifact; the metrics are those on the validation part."""
    from pathlib import Path

    import pandas as pd

    from components.step import log_metrics, step
    from components.train.run import train_estimator

    with step(f"train {estimator}", use_case) as (_, case):
        frame = pd.read_parquet(training_set.path)
        snapshot, as_of, service = (training_set.metadata[key] for key in ("snapshot", "as_of", "feature_service"))
        manifest = train_estimator(frame, case, estimator, Path(model.path), snapshot, as_of, service)
        model.metadata.update({"framework": manifest.engine, "estimator": estimator})
        log_metrics(metrics, manifest.metrics)
