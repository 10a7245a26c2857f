"""The gate: may this candidate become the challenger?"""

from collections.abc import Mapping
from dataclasses import dataclass

from serin.use_case import UseCase


@dataclass(frozen=True)
class GateResult:
    """The gate's answer and every rule that was looked at, in words."""

    passed: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Incomparable:
    """Why there is no comparison with the champion.

    It fails the gate, as a comparison that did not happen is no pass; but one that is `lost` can't serve any more, so
    it can't stop its successor.
    """

    reason: str
    lost: bool = False


def judge(
    candidate: Mapping[str, float], champion: Mapping[str, float] | Incomparable | None, case: UseCase
) -> GateResult:
    """Hold a candidate's test metrics against `gates` and against the champion's on the same rows.

    `champion` is None where there is none yet.
    """
    checks: list[tuple[bool, str]] = []
    for metric, least in case.gates.minimum.items():
        ok = candidate[metric] >= least
        checks.append((ok, f"{metric} {candidate[metric]:.4f} {'>=' if ok else '<'} {least:g} (gates.minimum)"))
    metric = case.training.primary_metric
    if champion is None:
        checks.append((True, "no champion to compare with"))
    elif isinstance(champion, Incomparable):
        checks.append((champion.lost, champion.reason))
    else:
        least = champion[metric] - case.gates.max_loss
        ok = candidate[metric] >= least
        checks.append(
            (
                ok,
                f"{metric} {candidate[metric]:.4f} {'>=' if ok else '<'} the champion's {champion[metric]:.4f} "
                f"on the same rows less {case.gates.max_loss:g} (gates.max_loss)",
            )
        )
    return GateResult(all(ok for ok, _ in checks), tuple(text for _, text in checks))
