"""What a person reads of an evaluation: the HTML report, and a summary for the Kubeflow UI."""

from components.evaluate.run import Evaluation
from serin.reports import evaluation as page
from serin.use_case import UseCase


def html(found: Evaluation, case: UseCase) -> str:
    """The report as one self-contained page."""
    models = [found.candidate, *([found.champion] if found.champion else [])]
    manifest = found.manifest
    return page.evaluation_page(
        page.EvaluationFacts(
            use_case=case.name,
            candidate=manifest.estimator,
            as_of=manifest.as_of[:16],
            accepted=found.verdict.passed,
            reasons=found.verdict.reasons,
            metrics={model.name: model.metrics for model in models},
            validation=found.validation,
            labels=found.labels,
            scores={model.name: model.scores for model in models},
            threshold=manifest.threshold,
            snapshot={
                "data snapshot": manifest.data_snapshot,
                "feature service": manifest.feature_service,
                "held-back rows": f"{len(found.labels):,}, {int(found.labels.sum()):,} of them positive",
            },
            parameters=case.training.estimators[manifest.estimator],
        )
    )


def markdown(found: Evaluation) -> str:
    """Verdict, reasons and a table of metrics."""
    models = [found.candidate, *([found.champion] if found.champion else [])]
    lines = [f"**{found.candidate.name}** {'passed' if found.verdict.passed else 'did not pass'} the gate.", ""]
    lines += [f"- {reason}" for reason in found.verdict.reasons]
    lines += [
        "",
        "| metric | " + " | ".join(model.name for model in models) + " |",
        "|---" * (len(models) + 1) + "|",
    ]
    for name in found.candidate.metrics:
        lines.append(f"| {name} | " + " | ".join(f"{model.metrics[name]:.4f}" for model in models) + " |")
    return "\n".join(lines) + "\n"
