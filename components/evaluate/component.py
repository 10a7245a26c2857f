"""KFP: evaluate."""

from kfp import dsl

from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def evaluate(
    use_case: str,
    training_set: dsl.Input[dsl.Dataset],
    models: dsl.Input[list[dsl.Model]],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    curves: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Chooses the candidate among the models, holds it against the champion; returns passed or failed."""
    from pathlib import Path

    import pandas as pd

    from components.evaluate import kubeflow
    from components.evaluate.report import html, markdown
    from components.evaluate.run import evaluate_models
    from components.step import log_metrics, step

    with step("evaluate", use_case) as (platform, case):
        frame = pd.read_parquet(training_set.path)
        found = evaluate_models(platform, case, frame, [Path(trained.path) for trained in models], Path(model.path))
        log_metrics(metrics, found.candidate.metrics)
        model.metadata.update({"framework": found.manifest.engine, "estimator": found.manifest.estimator})
        kubeflow.draw(curves, found.labels, found.candidate.scores, found.manifest.threshold)
        Path(report.path).write_text(html(found, case), encoding="utf-8")
        Path(summary.path).write_text(markdown(found), encoding="utf-8")
        return "passed" if found.verdict.passed else "failed"
