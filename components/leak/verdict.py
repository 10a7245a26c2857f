"""What the three experiments come to, in a word and in sentences."""

from dataclasses import dataclass
from typing import Any, Literal

from components.leak.alone import Ranked
from components.leak.future import Future
from components.leak.shuffled import Shuffled
from serin.learning.intervals import Estimate
from serin.times import format_duration
from serin.use_case import UseCase

LIMIT = 0.95
Verdict = Literal["clean", "suspect", "leak"]
FEW = 30  # positives below which the areas say little


@dataclass(frozen=True)
class Leaks:
    """What was found as of a time (ISO 8601), on so many rows; `limit` is for a feature alone."""

    as_of: str
    rows: int
    positives: int
    estimator: str
    limit: float
    shuffled: Shuffled
    future: Future
    ranked: Ranked

    @property
    def verdict(self) -> Verdict:
        """`leak` where an experiment proves one; `suspect` where a feature alone knows more than is likely."""
        if self.shuffled.leaks or self.future.leaks:
            return "leak"
        return "suspect" if self.suspects else "clean"

    @property
    def suspects(self) -> tuple[str, ...]:
        """The features that know too much alone, the best first."""
        return tuple(each.name for each in self.ranked.features if each.too_much(self.limit) or each.beats_all)


def sentences(found: Leaks, case: UseCase) -> list[str]:
    """What was found, the worst first, and what it rests on."""
    told = [*_future(found.future), *_shuffled(found.shuffled), *_alone(found)]
    if found.ranked.fresh:
        told.append(_fresh(found.ranked.fresh, case))
    if found.positives < FEW:
        told.append(f"the test part has {found.positives} positives: the areas say little below {FEW}")
    return told


def _future(found: Future) -> list[str]:
    if not found.leaks:
        where = f"{len(found.cuts)} times" if found.cuts else "half of the rows"
        return [f"labels turned round that were not known yet ({where}): no feature of {found.rows:,} rows changed"]
    return [
        f"{name} is made of labels that were not known yet: it changes in {each.rows:,} of {found.rows:,} rows when "
        f"they do, first {f'at {each.time} ' if each.time else ''}from {_shown(each.before)} to {_shown(each.after)}"
        for name, each in found.changed.items()
    ]


def _shuffled(found: Shuffled) -> list[str]:
    chance = f"chance is {found.low:.3f} to {found.high:.3f}"
    if not found.leaks:
        return [f"labels shuffled: the area under the ROC curve falls to {found.auc:.3f}; {chance}"]
    named = ", ".join(f"{name} ({area:.3f} alone)" for name, area in found.named.items())
    who = f"; it is {named}" if named else ""
    return [
        f"labels shuffled: the area under the ROC curve is {found.auc:.3f}, and {chance}: a feature knows its row's "
        f"own label{who}"
    ]


def _alone(found: Leaks) -> list[str]:
    told = []
    for each in found.ranked.features:
        if each.too_much(found.limit):
            told.append(
                f"{each.name} alone has {shown(each.auc)}; the limit is {found.limit:g}: does it hold the label?"
            )
        elif each.beats_all:
            told.append(
                f"{each.name} alone has {shown(each.auc)}, more than all features together, "
                f"{shown(found.ranked.all)}: the others are noise, or it knows the test rows' labels"
            )
    if told or not found.ranked.features:
        return told
    best = found.ranked.features[0]
    return [f"each feature alone: none above {found.limit:g}; the best is {best.name} with {shown(best.auc)}"]


def _fresh(fresh: Estimate, case: UseCase) -> str:
    delay = format_duration(case.label.delay)
    rests = f"{fresh.value:+.3f} ({fresh.low:+.3f} to {fresh.high:+.3f}) of the area rests on"
    if fresh.low <= 0:
        rests = f"no area to speak of ({fresh.low:+.3f} to {fresh.high:+.3f}) rests on"
    return (
        f"{rests} labels that came less than another {delay} before; it is lost where they really come later than "
        f"label.delay ({delay}) says"
    )


def shown(found: Estimate) -> str:
    """`0.713 (0.690 to 0.735)`."""
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def as_data(found: Leaks, case: UseCase) -> dict[str, Any]:
    """What is told to programs."""
    return {
        "verdict": found.verdict,
        "as_of": found.as_of,
        "rows": found.rows,
        "test_positives": found.positives,
        "estimator": found.estimator,
        "limit": found.limit,
        "reasons": sentences(found, case),
        "shuffled": {
            "roc_auc": found.shuffled.auc,
            "chance": [found.shuffled.low, found.shuffled.high],
            "leaks": found.shuffled.leaks,
            "features": found.shuffled.named,
        },
        "future": {"leaks": found.future.leaks, "features": {n: c.rows for n, c in found.future.changed.items()}},
        "roc_auc": _data(found.ranked.all),
        "fresh": _data(found.ranked.fresh) if found.ranked.fresh else None,
        "alone": {each.name: _data(each.auc) for each in found.ranked.features},
        "suspects": list(found.suspects),
    }


def _data(found: Estimate) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}
