"""What a person reads of an evaluation: the HTML report, and a summary for the Kubeflow UI."""

from collections.abc import Mapping

import pandas as pd

from components.evaluate.gate import SliceFound, shown
from components.evaluate.run import Evaluation
from serin.environment import image
from serin.learning.encoding import labels
from serin.learning.intervals import Estimate
from serin.learning.split import EVENT_TIME, FOLD, SPLIT
from serin.reports import evaluation as page
from serin.reports.estimates import Range
from serin.revision import code_revision
from serin.use_case import UseCase


def html(found: Evaluation, case: UseCase, frame: pd.DataFrame) -> str:
    """The report as one self-contained page; `frame` is the training set."""
    models = [found.candidate, *([found.champion] if found.champion else [])]
    manifest = found.manifest
    return page.evaluation_page(
        page.EvaluationFacts(
            use_case=case.name,
            candidate=manifest.estimator,
            as_of=manifest.as_of[:16],
            primary_metric=case.training.primary_metric,
            outcome=found.verdict.outcome,
            checks=[(check.outcome, check.reason) for check in found.verdict.checks],
            metrics={model.name: _ranges(model.metrics) for model in models},
            labels=found.labels,
            scores={model.name: model.scores for model in models},
            threshold=manifest.threshold,
            differences=_ranges(found.differences),
            parts=_parts(frame, case),
            validation={name: _ranges(metrics) for name, metrics in found.validation.items()},
            choice=found.choice.reasons,
            records=found.records,
            slices=[_slice(part, [model.name for model in models]) for part in found.slices],
            explanation=found.explanation,
            unexplained=found.unexplained,
            lineage=_lineage(found, case),
            parameters=manifest.parameters,
        )
    )


def markdown(found: Evaluation) -> str:
    """Verdict, reasons and a table of metrics."""
    models = [found.candidate, *([found.champion] if found.champion else [])]
    answer = {"passed": "passed the gate", "failed": "did not pass the gate", "undecided": "is undecided at the gate"}
    lines = [f"**{found.candidate.name}** {answer[found.verdict.outcome]}.", ""]
    lines += [f"- {check.outcome}: {check.reason}" for check in found.verdict.checks]
    lines += [
        "",
        "| metric | " + " | ".join(model.name for model in models) + " |",
        "|---" * (len(models) + 1) + "|",
    ]
    for name in found.candidate.metrics:
        lines.append(f"| {name} | " + " | ".join(shown(model.metrics[name]) for model in models) + " |")
    return "\n".join(lines) + "\n"


def _lineage(found: Evaluation, case: UseCase) -> dict[str, object]:
    manifest = found.manifest
    return {
        "data snapshot": manifest.data_snapshot,
        "as of": manifest.as_of,
        "feature service": manifest.feature_service,
        "code revision": code_revision(),
        "image": image(),
        "seed": found.record.seed if found.record else case.training.seed,
        "model file (SHA-256)": manifest.files[manifest.models[manifest.engine]],
    }


def _parts(frame: pd.DataFrame, case: UseCase) -> list[page.PartFacts]:
    """What is fitted before the folds, each fold, and the test."""
    known, fold = frame[SPLIT] == "known", frame[FOLD]
    numbers = range(1, int(fold.max()) + 1)
    chosen = [("fitted only", known & (fold == 0)), *((f"fold {n}", known & (fold == n)) for n in numbers)]
    chosen.append(("test", frame[SPLIT] == "test"))
    return [_part(name, frame[rows], case) for name, rows in chosen if rows.any()]


def _part(name: str, rows: pd.DataFrame, case: UseCase) -> page.PartFacts:
    days = ("", "")
    if case.timestamp:
        days = (f"{rows[EVENT_TIME].min():%Y-%m-%d}", f"{rows[EVENT_TIME].max():%Y-%m-%d}")
    return page.PartFacts(name, len(rows), int(labels(rows, case).sum()), *days)


def _slice(found: SliceFound, names: list[str]) -> page.SliceFacts:
    models = dict(zip(names, (found.candidate, found.champion), strict=False))
    ranges = {name: _range(metric) for name, metric in models.items() if metric}
    return page.SliceFacts(found.column, found.part, found.rows, found.positives, ranges)


def _ranges(metrics: Mapping[str, Estimate]) -> dict[str, Range]:
    return {name: _range(metric) for name, metric in metrics.items()}


def _range(found: Estimate) -> Range:
    return Range(found.value, found.low, found.high)
