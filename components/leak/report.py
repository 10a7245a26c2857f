"""What a person reads of a leak test: the HTML report, and a summary for the Kubeflow UI."""

from components.leak.verdict import Leaks, Verdict, sentences, shown
from serin.learning.intervals import Estimate
from serin.reports.estimates import Line, Range, estimates
from serin.reports.page import Figure, Part, Section, Table, Text, Tile, Tone, render
from serin.use_case import UseCase

_TONES: dict[Verdict, Tone] = {"clean": "good", "suspect": "warn", "leak": "bad"}
_MOST = 40
WORDS: dict[Verdict, str] = {
    "clean": "no leak found",
    "suspect": "a feature knows more than is likely",
    "leak": "a feature knows what it can't know",
}
COLUMNS = ("feature", "ROC AUC alone", "less all features", "told")


def html(found: Leaks, case: UseCase) -> str:
    """The report as one self-contained page."""
    sections = [
        Section("Findings", tuple(Text(line) for line in sentences(found, case))),
        Section("Each feature alone", _alone(found)),
        Section("What was tried, and what it can't find", tuple(Text(line) for line in EXPLAINED)),
    ]
    return render(
        f"{case.name}: which feature knows too much",
        sections,
        subtitle=f"Training set as of {found.as_of[:16]}, {found.rows:,} rows; quick models: {found.estimator}",
        tiles=_tiles(found),
    )


EXPLAINED = (
    "Labels turned round: all labels that were not known at a time are replaced by their opposite, and the training "
    "set is made again from the stored events. No row up to that time may change in any feature. This is no statistic: "
    "one changed value proves that a label was used before its delay.",
    "Labels shuffled: the labels of all events change places, the training set is made again, and a model fitted. It "
    "must rank the held-back rows no better than chance, whatever features of earlier labels it has.",
    "Each feature alone: a model of one feature, fitted on what is known and measured on the held-back rows. One that "
    "is near perfect is more often the label in disguise than a good feature.",
    "Not found: a column of the table that was filled in after the outcome and tells only a little of it; labels that "
    "come later than label.delay says; a table that holds only entities whose outcome was known. The first two tests "
    "see what Serin makes of the table, and not how the table was made.",
)


def markdown(found: Leaks, case: UseCase) -> str:
    """The verdict and its reasons."""
    reasons = "".join(f"- {line}\n" for line in sentences(found, case))
    return f"**{WORDS[found.verdict]}** ({found.rows:,} rows)\n\n{reasons}"


def feature_rows(found: Leaks) -> list[tuple[str, str, str, str]]:
    """Each feature, the best first, as cells under COLUMNS."""
    return [
        (each.name, shown(each.auc), f"{each.above_all.value:+.3f}", _told(found, each.name))
        for each in found.ranked.features
    ]


def _told(found: Leaks, name: str) -> str:
    told = [
        *(["labels not yet known"] * (name in found.future.changed)),
        *(["its row's own label"] * (name in found.shuffled.named)),
        *(["knows too much alone"] * (name in found.suspects)),
    ]
    return ", ".join(told)


def _tiles(found: Leaks) -> list[Tile]:
    chance = f"chance is {found.shuffled.low:.3f} to {found.shuffled.high:.3f}"
    changed = len(found.future.changed)
    return [
        Tile("verdict", WORDS[found.verdict], tone=_TONES[found.verdict]),
        Tile("ROC AUC, all features", f"{found.ranked.all.value:.3f}"),
        Tile("labels shuffled", f"{found.shuffled.auc:.3f}", chance, "bad" if found.shuffled.leaks else "good"),
        Tile("features of unknown labels", str(changed), tone="bad" if changed else "good"),
    ]


def _alone(found: Leaks) -> tuple[Part, ...]:
    lines = [Line(each.name, {"alone": _range(each.auc)}) for each in found.ranked.features[:_MOST]]
    lines.insert(0, Line("all features", {"alone": _range(found.ranked.all)}))
    title = f"The best feature alone has {found.ranked.features[0].auc.value:.3f}; limit {found.limit:g}"
    figure = Figure(estimates(lines, "Area under the ROC curve, with its 99 % interval", title, at=found.limit))
    return figure, Table(COLUMNS, tuple(feature_rows(found)))


def _range(found: Estimate) -> Range:
    return Range(found.value, found.low, found.high)
