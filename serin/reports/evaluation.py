"""The evaluation report of a training run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.reports.page import Figure, Part, Section, Table, Text, Tile, render
from serin.reports.plots import confusion, curves, score_histogram

_NAMES = {"roc_auc": "ROC AUC", "f1": "F1"}


@dataclass(frozen=True)
class EvaluationFacts:
    """What a training run found out about its candidate on the held-back rows.

    `metrics` is metric by model name on the held-back rows, the candidate first and the champion (if there is one)
    after it; `validation` that of all estimators on the rows that chose the candidate. `scores` holds n scores (0 to
    1) by model name, on the rows of `labels` (n zeros and ones); the candidate comes first. `snapshot` and
    `parameters` are shown as they stand.
    """

    use_case: str
    candidate: str
    as_of: str
    accepted: bool
    reasons: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, float]]
    labels: NDArray[Any]
    scores: Mapping[str, NDArray[Any]]
    threshold: float
    validation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    snapshot: Mapping[str, object] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)


def evaluation_page(evaluation: EvaluationFacts) -> str:
    """The report as one self-contained HTML page.

    Raises DataError where the labels hold one class only.
    """
    verdict = "The candidate passed the gate" if evaluation.accepted else "The candidate did not pass the gate"
    sections = [
        Section("Verdict", _verdict(evaluation, verdict)),
        Section("Metrics", _metrics(evaluation)),
        Section(
            "Ranking",
            (
                Figure(
                    curves(evaluation.labels, evaluation.scores),
                    "All models were scored on the same held-back rows. Where the label is rare, look right: the "
                    "precision-recall curve shows what an alarm is worth.",
                ),
            ),
        ),
        Section("Decisions", _decisions(evaluation)),
        Section(
            "Data and parameters",
            (
                Table(("data", ""), tuple((key, str(value)) for key, value in evaluation.snapshot.items())),
                Table(("parameter", ""), tuple((key, str(value)) for key, value in evaluation.parameters.items())),
            ),
        ),
    ]
    return render(
        f"{evaluation.use_case}: evaluation of {evaluation.candidate}",
        sections,
        subtitle=f"Trained as of {evaluation.as_of}. {verdict}.",
        tiles=_tiles(evaluation),
    )


def _verdict(evaluation: EvaluationFacts, verdict: str) -> tuple[Part, ...]:
    notice = Text(f"{verdict}.", "good" if evaluation.accepted else "bad")
    return (notice, *(Text(reason) for reason in evaluation.reasons))


def _tiles(evaluation: EvaluationFacts) -> list[Tile]:
    (_, own), *others = evaluation.metrics.items()
    tiles = [Tile("Gate", "passed", "", "good") if evaluation.accepted else Tile("Gate", "not passed", "", "bad")]
    for metric, value in list(own.items())[:3]:
        rival = next((f"{name}: {found[metric]:.4f}" for name, found in others if metric in found), "")
        tiles.append(Tile(_title(metric), f"{value:.4f}", rival))
    rows, share = len(evaluation.labels), float(np.mean(evaluation.labels))
    return [*tiles, Tile("Held-back rows", f"{rows:,}", f"{share:.2%} positive")]


def _metrics(evaluation: EvaluationFacts) -> tuple[Part, ...]:
    others = "In brackets: the model's value less the candidate's." if len(evaluation.metrics) > 1 else ""
    held_back = _table("on the held-back rows", evaluation.metrics, evaluation.candidate, others)
    if len(evaluation.validation) < 2:
        return (held_back,)
    chosen = f"The rows before those chose {evaluation.candidate} among the estimators."
    return held_back, _table("on the validation rows", evaluation.validation, evaluation.candidate, chosen)


def _table(title: str, metrics: Mapping[str, Mapping[str, float]], candidate: str, caption: str) -> Table:
    names = list(dict.fromkeys(metric for found in metrics.values() for metric in found))
    rows = []
    for model, found in metrics.items():
        against = metrics.get(candidate, found)
        cells = (f"{found[name]:.4f}{_against(found, against, name)}" if name in found else None for name in names)
        rows.append((model, *cells))
    return Table((title, *map(_title, names)), tuple(rows), caption)


def _title(metric: str) -> str:
    return _NAMES.get(metric, metric.replace("_", " ").capitalize())


def _against(found: Mapping[str, float], first: Mapping[str, float], name: str) -> str:
    return "" if found is first or name not in first else f" ({found[name] - first[name]:+.4f})"


def _decisions(evaluation: EvaluationFacts) -> tuple[Part, ...]:
    scores = next(iter(evaluation.scores.values()))
    return (
        Figure(
            confusion(evaluation.labels, scores >= evaluation.threshold),
            f"Decisions at the threshold {evaluation.threshold:.4f}.",
            narrow=True,
        ),
        Figure(
            score_histogram(evaluation.labels, scores, evaluation.threshold),
            "Each class adds up to 100 %; the two together would hide the rare one.",
            narrow=True,
        ),
    )
