"""The sections of the evaluation report, each from the same facts; one with nothing to tell is empty."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serin.learning.record import FoldResult, Parity, TrainingRecord
from serin.reports.estimates import Line, Range, estimates
from serin.reports.evaluation import TONES, EvaluationFacts, title
from serin.reports.explanations import MOST_POINTS, importance, swarms
from serin.reports.page import Figure, Part, Table, Text, Tile
from serin.reports.plots import confusion, curves, reliability, score_histogram
from serin.reports.searches import search_history

_SENTENCES = {
    "passed": "The candidate passed the gate.",
    "failed": "The candidate did not pass the gate.",
    "undecided": "The gate is undecided: these rows can't tell, which is no pass.",
}
_MOST_SLICES = 24

Parts = tuple[Part, ...]


def sentence(facts: EvaluationFacts) -> str:
    """The gate's answer in one sentence."""
    return _SENTENCES[facts.outcome]


def tiles(facts: EvaluationFacts) -> list[Tile]:
    """The answer, the primary metric and two others of the candidate, and the rows."""
    answer = {"passed": "passed", "failed": "not passed", "undecided": "undecided"}[facts.outcome]
    (_, own), *others = facts.metrics.items()
    first = facts.primary_metric if facts.primary_metric in own else next(iter(own), "")
    shown = [first, *[name for name in own if name != first]][:3] if own else []
    found = [Tile("Gate", answer, "", TONES[facts.outcome])]
    for metric in shown:
        rival = next((f"{name}: {known[metric].value:.4f}" for name, known in others if metric in known), "")
        found.append(Tile(title(metric), f"{own[metric].value:.4f}", rival or _between(own[metric])))
    return [*found, Tile("Test rows", f"{len(facts.labels):,}", f"{float(np.mean(facts.labels)):.2%} positive")]


def verdict(facts: EvaluationFacts) -> Parts:
    """The answer, and every rule that was looked at."""
    rows = tuple((outcome, reason) for outcome, reason in facts.checks)
    return Text(sentence(facts), TONES[facts.outcome]), Table(("rule", "why"), rows)


def data(facts: EvaluationFacts) -> Parts:
    """The parts of the training set."""
    if not facts.parts:
        return ()
    timed = any(part.start for part in facts.parts)
    rows: list[tuple[str | int | float, ...]] = []
    for part in facts.parts:
        days = (part.start, part.end) if timed else ()
        share = round(100 * part.positives / part.rows, 2) if part.rows else 0.0
        rows.append((part.name, *days, part.rows, part.positives, share))
    columns = ("part", *(("from", "to") if timed else ()), "rows", "positives", "positive (%)")
    caption = "The folds chose estimator, parameters, calibration and threshold; the test rows were scored once, after."
    return (Table(columns, tuple(rows), caption),)


def scores(facts: EvaluationFacts) -> Parts:
    """Metrics with intervals on the test rows."""
    found = dict.fromkeys(metric for known in facts.metrics.values() for metric in known)
    rows = []
    for name in sorted(found, key=lambda name: name != facts.primary_metric):
        cells = [_cell(known.get(name)) for known in facts.metrics.values()]
        gap = facts.differences.get(name)
        differs = [gap.shown("+.4f") if gap else None] if facts.differences else []
        rows.append((title(name), *cells, *differs))
    columns = ("on the test rows", *facts.metrics, *(("difference",) if facts.differences else ()))
    caption = "In brackets: the bootstrap interval. All models were scored on the same rows."
    return (Table(columns, tuple(rows), caption),)


def estimators(facts: EvaluationFacts) -> Parts:
    """All estimators on validation, and their folds."""
    parts: list[Part] = [Text(text) for text in facts.choice]
    if facts.validation:
        measure = facts.primary_metric
        lines = [
            Line(name, {"validation": found[measure]}) for name, found in facts.validation.items() if measure in found
        ]
        if lines:
            best = max(lines, key=lambda line: line.ranges["validation"].value)
            heading = f"{best.label} has the highest {title(measure).lower()} on validation"
            parts.append(Figure(estimates(lines, title(measure), heading)))
        names = list(dict.fromkeys(metric for found in facts.validation.values() for metric in found))
        rows = tuple(
            (name, *(_cell(found.get(metric)) for metric in names)) for name, found in facts.validation.items()
        )
        parts.append(Table(("on validation rows", *map(title, names)), rows, "On the rows that all of them assessed."))
    return (*parts, *_folds(facts))


def _folds(facts: EvaluationFacts) -> Parts:
    columns = sorted({fold.number: fold for record in facts.records for fold in record.folds}.items())
    if not columns:
        return ()
    rows = []
    for record in facts.records:
        by_number = {fold.number: fold for fold in record.folds}
        values = [_of_fold(by_number.get(number), facts.primary_metric) for number, _ in columns]
        rows.append((record.estimator, *values))
    heads = tuple(_head(fold) for _, fold in columns)
    caption = f"{title(facts.primary_metric)} by fold, each assessed by a model of what was known before it."
    return (Table(("estimator", *heads), tuple(rows), caption),)


def _of_fold(fold: FoldResult | None, metric: str) -> str | None:
    return f"{fold.metrics[metric]:.4f}" if fold and metric in fold.metrics else None


def _head(fold: FoldResult) -> str:
    period = f", {fold.start[:10]} to {fold.end[:10]}" if fold.start else ""
    return f"fold {fold.number}{period}, {fold.positives:,} positives"


def ranking(facts: EvaluationFacts) -> Parts:
    """ROC and precision-recall curves on the test rows."""
    caption = (
        "All models were scored on the same test rows. Where the label is rare, look right: the precision-recall "
        "curve shows what an alarm is worth."
    )
    return (Figure(curves(facts.labels, facts.scores), caption),)


def decisions(facts: EvaluationFacts) -> Parts:
    """What the threshold does, and whether a score is a probability."""
    own = next(iter(facts.scores.values()))
    return (
        Figure(
            confusion(facts.labels, own >= facts.threshold),
            f"Decisions at the threshold {facts.threshold:.4f}.",
            narrow=True,
        ),
        Figure(
            score_histogram(facts.labels, own, facts.threshold),
            "Each class adds up to 100 %; the two together would hide the rare one.",
            narrow=True,
        ),
        Figure(
            reliability(facts.labels, facts.scores),
            "Groups of like scores: on the dotted line a score is the share of positives that it says.",
            narrow=True,
        ),
        *_calibration(facts.record),
    )


def _calibration(record: TrainingRecord | None) -> Parts:
    if record is None or not record.calibration:
        return ()
    rows = tuple((kind, f"{loss:.5f}") for kind, loss in record.calibration.items())
    return (Table(("calibration", "log loss on validation"), rows, "The lowest is kept, none unless another helps."),)


def slices(facts: EvaluationFacts) -> Parts:
    """The primary metric on parts of the test rows."""
    if not facts.slices:
        return ()
    measure = title(facts.primary_metric)
    drawn = facts.slices[:_MOST_SLICES]
    lines = [
        Line(f"{found.column} = {found.part}", found.models, f"{found.rows:,} rows, {found.positives:,} positives")
        for found in drawn
    ]
    models = list(dict.fromkeys(name for found in facts.slices for name in found.models))
    rows = []
    for found in facts.slices:
        cells = (_cell(found.models.get(name)) for name in models)
        rows.append((found.column, found.part, found.rows, found.positives, *cells))
    parts: list[Part] = []
    if models:
        parts.append(Figure(estimates(lines, measure, f"{measure} by part of the test rows"), _left_out(facts)))
    return (*parts, Table(("column", "part", "rows", "positives", *models), tuple(rows)))


def _left_out(facts: EvaluationFacts) -> str:
    more = len(facts.slices) - _MOST_SLICES
    return f"{more} more parts stand in the table." if more > 0 else ""


def explanations(facts: EvaluationFacts) -> Parts:
    """Which inputs move the scores."""
    found = facts.explanation
    if found is None:
        return (Text(f"There are no explanations: {facts.unexplained}", "warn"),) if facts.unexplained else ()
    parts: list[Part] = []
    if not found.adds_up:
        text = f"The values of a row do not add up to its score: they miss it by up to {found.gap:.2g}."
        parts.append(Text(text, "warn"))
    caption = (
        f"SHAP values of {len(found.values):,} test rows before calibration, in {found.scale}: {found.method}. "
        f"They miss a score by {found.gap:.1g} at most."
    )
    parts.append(Figure(importance(found.names, found.values, found.scale), caption))
    swarm = f"Each point is one of {min(MOST_POINTS, len(found.values)):,} rows."
    parts.append(Figure(swarms(found.names, found.values, found.inputs, found.scale), swarm))
    return tuple(parts)


def parity(facts: EvaluationFacts) -> Parts:
    """Whether the ONNX file gives the scores of the model that it was made of."""
    found = facts.record.parity if facts.record else None
    if found is None:
        return ()
    if not found.passed:
        text = f"The model is served natively, without an ONNX file: {found.reason}"
    else:
        text = f"The ONNX file gives the same scores on {found.rows:,} rows, and serves small requests."
    figures = (
        f"Largest difference {found.worst:.2g}, allowed {found.tolerance:g}; {found.flipped:,} decisions flipped; "
        f"{found.rows:,} rows compared."
    )
    measured = (Text(figures),) if found.rows else ()
    return (Text(text, "good" if found.passed else "warn"), *measured, *_differing(found))


def _differing(found: Parity) -> Parts:
    if not found.differing:
        return ()
    rows = tuple(
        (row.kind, f"{row.native:.6f}", f"{row.onnx:.6f}", f"{row.onnx - row.native:+.2g}", _inputs(row.inputs))
        for row in found.differing
    )
    return (Table(("row", "native", "ONNX", "difference", "inputs"), rows, "Rows on which the two differ most."),)


def _inputs(inputs: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name}={'missing' if value is None else f'{value:g}'}" for name, value in inputs.items())


def training(facts: EvaluationFacts) -> Parts:
    """How the parameters were found, what was interrupted and how long it took."""
    if not facts.records:
        return ()
    parts: list[Part] = []
    trials = {record.estimator: [trial.value for trial in record.trials] for record in facts.records if record.trials}
    if any(value is not None for values in trials.values() for value in values):
        parts.append(Figure(search_history(trials, title(facts.primary_metric)), "On the rows that the search drew."))
    rows = tuple(_trained(record) for record in facts.records)
    columns = ("estimator", "rows fitted", "trials", "pruned", "failed", "seconds", "interruptions", "seconds lost")
    parts.append(Table(columns, rows))
    parts += [Text(f"{each.estimator}: {each.search_note}") for each in facts.records if each.search_note]
    return tuple(parts)


def _trained(record: TrainingRecord) -> tuple[str | int | float, ...]:
    states = [trial.state for trial in record.trials]
    return (
        record.estimator,
        record.known_rows,
        len(states),
        states.count("pruned"),
        states.count("failed"),
        record.seconds,
        record.interruptions,
        record.lost_seconds,
    )


def lineage(facts: EvaluationFacts) -> Parts:
    """What the model was made of, and its parameters."""
    return (*_pairs("made of", facts.lineage), *_pairs("parameter", facts.parameters))


def _pairs(head: str, values: Mapping[str, Any]) -> Sequence[Part]:
    return (Table((head, ""), tuple((key, str(value)) for key, value in values.items())),) if values else ()


def _between(found: Range) -> str:
    return f"{found.low:.4f} to {found.high:.4f}"


def _cell(found: Range | None) -> str | None:
    return str(found) if found else None
