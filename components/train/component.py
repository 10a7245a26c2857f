"""KFP: train."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def candidate_names(use_case: str) -> list[str]:
    """The candidates that the use case names, for the loop over them."""
    from serin.use_case import loads

    return list(loads(use_case).training.candidates)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(  # type: ignore[no-untyped-def]
    use_case: str,
    candidate: str,
    training_set: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Trains one candidate and writes its model artifact; the metrics are those on the validation part."""
    from pathlib import Path

    import pandas as pd

    from components.step import step
    from components.train.run import train_candidate
    from serin.use_case import loads

    with step():
        case = loads(use_case)
        frame = pd.read_parquet(training_set.path)
        snapshot, as_of = training_set.metadata["snapshot"], training_set.metadata["as_of"]
        manifest = train_candidate(frame, case, candidate, Path(model.path), snapshot, as_of)
        model.metadata.update({"framework": manifest.engine, "candidate": candidate})
        for name, value in manifest.metrics.items():
            metrics.log_metric(name, value)
