"""The gate: may this candidate become the challenger?

A pure function of what was measured on the test rows. Three answers, by rule:

    gates.minimum   below it: failed. A value above it whose interval reaches below passes, and that is told
    positives       fewer than LEAST_POSITIVES test rows of the rarer class: undecided, whatever the metrics
    chance          a ROC AUC whose interval holds the 0.5 of a coin: undecided
    gates.max_loss  the interval of the difference to the champion on the same rows: all above -max_loss passes, all
                    below fails, else undecided; no difference at all is a tie, which keeps the champion
    gates.slices    the same for each part of the rows, but that a loss which stays within the limit needs no certainty
    slo             a 95th percentile of the latency beyond the promised one: failed

The worst answer counts, and every rule that was looked at is told.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from serin.learning.intervals import Estimate
from serin.use_case import UseCase

Outcome = Literal["passed", "failed", "undecided"]
# From the worst to the best.
_ORDER: tuple[Outcome, ...] = ("failed", "undecided", "passed")
# With fewer rows of the rarer class a bootstrap's interval is itself a guess: it knows the few that there are.
LEAST_POSITIVES = 30
_CHANCE = 0.5  # ROC AUC of scores that know nothing


@dataclass(frozen=True)
class Incomparable:
    """Why there is no comparison with the champion.

    It fails the gate, as a comparison that did not happen is no pass; but one that is `lost` can't serve any more, so
    it can't stop its successor.
    """

    reason: str
    lost: bool = False


@dataclass(frozen=True)
class Against:
    """The champion on the same rows: its primary metric, and the candidate's less that.

    `tie`: the scores are the same on every row. `itself`: and so is all else, the candidate is this champion, trained
    once more.
    """

    name: str
    value: float
    difference: Estimate
    tie: bool = False
    itself: bool = False


@dataclass(frozen=True)
class SliceFound:
    """One part of the test rows: the primary metric of the candidate, and its difference to the champion's.

    Both are None where the part has one class only; the difference too where there is no champion.
    """

    column: str
    part: str
    rows: int
    positives: int
    candidate: Estimate | None = None
    champion: Estimate | None = None
    difference: Estimate | None = None


@dataclass(frozen=True)
class Latency:
    """How long one row takes, in milliseconds: percentiles of `calls` calls, with the engine that serves one row."""

    p50_ms: float
    p95_ms: float
    calls: int
    engine: str


@dataclass(frozen=True)
class Measured:
    """What the gate judges: the candidate's metrics on the test rows, and how many rows of either class these are."""

    metrics: Mapping[str, Estimate]
    positives: int
    negatives: int
    champion: Against | Incomparable | None
    slices: Sequence[SliceFound] = ()
    latency: Latency | None = None


@dataclass(frozen=True)
class Check:
    """One rule: its answer, and why in words."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class GateResult:
    """The gate's answer and every rule that was looked at, in words."""

    outcome: Outcome
    checks: tuple[Check, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether the candidate may become the challenger: undecided is no pass."""
        return self.outcome == "passed"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, rule by rule."""
        return tuple(check.reason for check in self.checks)


def judge(found: Measured, case: UseCase) -> GateResult:
    """Hold a candidate against `gates`, `slo` and the champion; `found.champion` is None where there is none yet."""
    checks = [_minimum(metric, found.metrics[metric], least) for metric, least in case.gates.minimum.items()]
    checks += [*_enough(found), *_no_coin(found)]
    checks.append(_champion(found, case))
    checks += _slices(found.slices, case)
    if found.latency:
        checks.append(_latency(found.latency, case.slo.latency_p95_ms))
    return GateResult(min((check.outcome for check in checks), key=_ORDER.index), tuple(checks))


def shown(estimate: Estimate, signed: bool = False) -> str:
    """`0.7130 [0.6900, 0.7350]`."""
    form = "+.4f" if signed else ".4f"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def _minimum(metric: str, found: Estimate, least: float) -> Check:
    # Written so that NaN fails.
    if not found.value >= least:
        return Check("failed", f"{metric} {shown(found)} < {least:g} (gates.minimum)")
    doubt = "" if found.low >= least else "; the interval reaches below it: it may be above by chance"
    return Check("passed", f"{metric} {shown(found)} >= {least:g} (gates.minimum){doubt}")


def _enough(found: Measured) -> list[Check]:
    fewer, kind = min((found.positives, "positives"), (found.negatives, "negatives"))
    if fewer >= LEAST_POSITIVES:
        return []
    reason = f"too few {kind}: the test rows hold {fewer:,}, and under {LEAST_POSITIVES} any result may be chance"
    return [Check("undecided", reason)]


def _no_coin(found: Measured) -> list[Check]:
    auc = found.metrics["roc_auc"]
    if auc.low > _CHANCE:
        return []
    return [Check("undecided", f"roc_auc {shown(auc)}: a coin has {_CHANCE:g}, and the interval reaches down to it")]


def _champion(found: Measured, case: UseCase) -> Check:
    against, metric = found.champion, case.training.primary_metric
    if against is None:
        return Check("passed", "no champion to compare with")
    if isinstance(against, Incomparable):
        return Check("passed" if against.lost else "failed", against.reason)
    if against.itself:
        return Check("passed", f"the candidate is {against.name}: the same model, trained on the same rows once more")
    own, gap = found.metrics[metric], against.difference
    if against.tie or gap.low == gap.value == gap.high == 0:
        return Check("failed", f"{metric} {own.value:.4f}: a tie with {against.name}, and a tie keeps the champion")
    limit = 0.0 - case.gates.max_loss
    what = f"{metric} {own.value:.4f}, {against.name} {against.value:.4f} on the same rows: the difference"
    rule = f"{limit:g} (gates.max_loss, with {case.gates.confidence:.0%} confidence)"
    match _side(gap, limit):
        case "above":
            return Check("passed", f"{what} {shown(gap, signed=True)} is above {rule}")
        case "below":
            return Check("failed", f"{what} {shown(gap, signed=True)} is below {rule}")
        case _:
            told = f"{found.positives:,} positives can't tell"
            return Check("undecided", f"{what} {shown(gap, signed=True)} has {rule} inside: {told}")


def _side(gap: Estimate, limit: float) -> Literal["above", "below", "around"]:
    """Where the whole interval lies; one that touches the limit, or has no number, lies around it."""
    if gap.low > limit:
        return "above"
    return "below" if gap.high < limit else "around"


def _slices(slices: Sequence[SliceFound], case: UseCase) -> list[Check]:
    rule = case.gates.slices
    if rule is None:
        return []
    if slices and all(found.difference is None for found in slices):
        return [Check("passed", "no champion to compare parts of the rows with")]
    checks = [check for found in slices if (check := _slice(found, rule.max_loss, rule.positives, case))]
    few = [found for found in slices if found.positives < rule.positives]
    if few:
        names = ", ".join(f"{found.column}={found.part} ({found.positives})" for found in few[:5])
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        reason = f"not judged, with fewer than {rule.positives} positives (gates.slices): {names}{more}"
        checks.append(Check("passed", reason))
    if slices and all(check.outcome == "passed" for check in checks):
        judged = len(slices) - len(few)
        told = f"{judged} parts of the rows: none loses more than {rule.max_loss:g} (gates.slices)"
        checks.insert(0, Check("passed", told))
    return checks


def _slice(found: SliceFound, max_loss: float, positives: int, case: UseCase) -> Check | None:
    """What is wrong with one part; None where nothing is, or where it can't be judged."""
    gap = found.difference
    if found.positives < positives or gap is None or gap.value >= -max_loss:
        return None
    metric = case.training.primary_metric
    what = f"{found.column}={found.part}: {metric} {shown(gap, signed=True)} against the champion's"
    rule = f"{0.0 - max_loss:g} (gates.slices, {found.rows:,} rows, {found.positives:,} positives)"
    if math.isnan(gap.value) or gap.high >= -max_loss:
        return Check("undecided", f"{what} has {rule} inside")
    return Check("failed", f"{what} is below {rule}")


def _latency(found: Latency, most: float) -> Check:
    ok = found.p95_ms <= most
    return Check(
        "passed" if ok else "failed",
        f"one row takes {found.p95_ms:.2f} ms at the 95th percentile of {found.calls:,} calls, without the network "
        f"and the look-up of features ({found.engine}); "
        f"{'within' if ok else 'beyond'} {most:g} ms (slo.latency_p95_ms)",
    )
