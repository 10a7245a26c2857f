"""KFP: evaluate."""

from kfp import dsl

from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def evaluate(
    use_case: str,
    training_set: dsl.Input[dsl.Dataset],
    models: dsl.Input[list[dsl.Model]],
    stack: dsl.Input[dsl.Model],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    curves: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Chooses the candidate among the models, holds it against the champion; returns passed, failed or undecided.

    `stack` is one of the models, where it holds one.
    """
    from pathlib import Path

    import pandas as pd

    from components.evaluate.report import html, markdown
    from components.evaluate.run import evaluate_models
    from components.step import log_metrics, step
    from serin.artifact import MANIFEST
    from serin.learning import kubeflow

    with step("evaluate", use_case) as (platform, case):
        frame = pd.read_parquet(training_set.path)
        folders = [Path(trained.path) for trained in (*models, stack)]
        held = [folder for folder in folders if (folder / MANIFEST).is_file()]
        found = evaluate_models(platform, case, frame, held, Path(model.path))
        log_metrics(metrics, found.candidate.flat | found.facts)
        # What only this run knows goes beside the model: its hash is that of any other training to the same end.
        model.metadata.update({"framework": found.manifest.engine, "estimator": found.manifest.estimator})
        model.metadata.update({"facts": found.facts, "champion": found.against or 0})
        kubeflow.draw(curves, found.labels, found.candidate.scores, found.manifest.threshold)
        Path(report.path).write_text(html(found, case, frame), encoding="utf-8")
        Path(summary.path).write_text(markdown(found), encoding="utf-8")
        return found.verdict.outcome
