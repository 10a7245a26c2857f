"""The report of a training run: what was found out, as data, and the page that tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from serin.explain import Explanation
from serin.learning.record import TrainingRecord
from serin.reports.estimates import Range
from serin.reports.page import Tone

Outcome = Literal["passed", "failed", "undecided"]
TONES: Mapping[Outcome, Tone] = {"passed": "good", "failed": "bad", "undecided": "warn"}
_NAMES = {"roc_auc": "ROC AUC", "f1": "F1", "average_precision": "Average precision", "log_loss": "Log loss"}


@dataclass(frozen=True)
class PartFacts:
    """A part of the training set: its rows, positives, and first and last day where there are event times."""

    name: str
    rows: int
    positives: int
    start: str = ""
    end: str = ""


@dataclass(frozen=True)
class SliceFacts:
    """Test rows that have one value of a column in common; `models` is the primary metric by model, none where the
    rows hold one class only."""

    column: str
    part: str
    rows: int
    positives: int
    models: Mapping[str, Range] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationFacts:
    """What a training run found out about its candidate.

    `checks` are the gate's rules, each with its answer and the reason. `metrics` is metric by model name on the test
    rows, the candidate first and the champion (if there is one) after it, and `differences` the candidate's less the
    champion's. `validation` is metric by estimator on the validation rows that they have in common, on which `choice`
    says in words how the candidate was chosen. `scores` holds n scores (0 to 1) by model name, on the test rows of
    `labels` (n zeros and ones); the candidate comes first. `explanation` is None where `unexplained` says why.
    """

    use_case: str
    candidate: str
    as_of: str
    primary_metric: str
    outcome: Outcome
    checks: Sequence[tuple[Outcome, str]]
    metrics: Mapping[str, Mapping[str, Range]]
    labels: NDArray[Any]
    scores: Mapping[str, NDArray[Any]]
    threshold: float
    differences: Mapping[str, Range] = field(default_factory=dict)
    parts: Sequence[PartFacts] = ()
    validation: Mapping[str, Mapping[str, Range]] = field(default_factory=dict)
    choice: Sequence[str] = ()
    records: Sequence[TrainingRecord] = ()
    slices: Sequence[SliceFacts] = ()
    explanation: Explanation | None = None
    unexplained: str = ""
    lineage: Mapping[str, object] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def record(self) -> TrainingRecord | None:
        """The candidate's own record."""
        return next((record for record in self.records if record.estimator == self.candidate), None)


def title(metric: str) -> str:
    """A metric's name as it is read."""
    return _NAMES.get(metric, metric.replace("_", " ").capitalize())


def evaluation_page(facts: EvaluationFacts) -> str:
    """The report as one self-contained HTML page.

    Raises DataError where the labels hold one class only.
    """
    # The sections know the facts, so they are imported here.
    from serin.reports import evaluation_sections as sections
    from serin.reports.page import Section, render

    drawn = [
        ("Verdict", sections.verdict(facts)),
        ("Data", sections.data(facts)),
        ("Scores", sections.scores(facts)),
        ("Estimators", sections.estimators(facts)),
        ("Ranking", sections.ranking(facts)),
        ("Decisions and calibration", sections.decisions(facts)),
        ("Parts of the rows", sections.slices(facts)),
        ("Explanations", sections.explanations(facts)),
        ("ONNX", sections.parity(facts)),
        ("Search and training", sections.training(facts)),
        ("Lineage", sections.lineage(facts)),
    ]
    return render(
        f"{facts.use_case}: evaluation of {facts.candidate}",
        [Section(name, parts) for name, parts in drawn if parts],
        subtitle=f"Trained as of {facts.as_of}. {sections.sentence(facts)}",
        tiles=sections.tiles(facts),
    )
