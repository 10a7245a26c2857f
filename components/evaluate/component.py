"""KFP: evaluate."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    use_case: str,
    training_set: dsl.Input[dsl.Dataset],
    candidates: dsl.Input[list[dsl.Model]],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    curves: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Chooses the best candidate, holds it against the champion; returns the gate's answer, passed or failed."""
    from pathlib import Path

    import pandas as pd

    from components.evaluate import kubeflow
    from components.evaluate.report import html, markdown
    from components.evaluate.run import evaluate_candidates
    from components.step import step
    from serin.use_case import loads
    from serin.workspace import Workspace

    with step():
        case = loads(use_case)
        frame = pd.read_parquet(training_set.path)
        folders = [Path(candidate.path) for candidate in candidates]
        found = evaluate_candidates(Workspace.from_environment(), case, frame, folders, Path(model.path))
        for name, value in found.candidate.metrics.items():
            metrics.log_metric(name, value)
        model.metadata.update({"framework": found.manifest.engine, "candidate": found.manifest.candidate})
        kubeflow.draw(curves, found.labels, found.candidate.scores, found.manifest.threshold)
        Path(report.path).write_text(html(found, case), encoding="utf-8")
        Path(summary.path).write_text(markdown(found), encoding="utf-8")
        return "passed" if found.verdict.passed else "failed"
