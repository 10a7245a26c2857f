"""The states of a rollout, and the small steps between them. Pure functions.

Progressing ── every step's pause passed, and a measurement in it was Successful ──▶ Promoted
     ├── Failed over failure_limit, Error over error_limit, or doubt over inconclusive_limit ──▶ RolledBack
     └── too few requests over inconclusive_limit, and nothing against the version ──▶ Paused

Each limit has its own count: of Failed over the rollout, of Inconclusive over the step, of Errors in a row. A
measurement covers the requests since the step's last Successful or Failed one: no request is judged twice, and
those of Inconclusive ones add up.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from components.rollout.verdict import Outcome, Verdict
from serin.errors import ConflictError
from serin.ports import Sample
from serin.use_case import Rollout, Step

Phase = Literal["Progressing", "Promoted", "RolledBack", "Paused"]
_KEPT = 10


class Judged(BaseModel):
    """A measurement that was judged: when, at which weight of the canary in percent, and the verdict."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: datetime
    weight: int
    outcome: Outcome
    reason: str


class RolloutState(BaseModel):
    """Where a rollout stands: all that a controller needs to go on, kept in the VirtualService's annotation.

    `failures`, `inconclusive` and `errors` count as above. `since` holds the canary's counters when the requests that
    are not judged yet began; None: when its predictor started. `passed`: the step's last judged measurement was
    Successful. `reason` says why the rollout ended. `settled`: what follows the last move of traffic was done too.
    `history` has the last measurements, as evidence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: Phase
    canary: str
    stable: str | None
    step: int = 0
    step_started: datetime
    failures: int = 0
    inconclusive: int = 0
    errors: int = 0
    since: Sample | None = None
    passed: bool = False
    reason: str = ""
    settled: bool = False
    history: tuple[Judged, ...] = ()


def parse_state(text: str, where: str) -> RolloutState:
    """Read a state back from its annotation.

    Raises ConflictError: somebody else wrote it; `where` names the document.
    """
    try:
        return RolloutState.model_validate_json(text)
    except ValidationError as error:
        raise ConflictError(f"{where}: the rollout state can't be read: {error}") from None


def weights(plan: Rollout, state: RolloutState) -> dict[str, int]:
    """The percent of traffic that each deployment gets in a state."""
    if state.phase == "Promoted" or state.stable is None:
        return {state.canary: 100}
    if state.phase in ("RolledBack", "Paused"):
        return {state.stable: 100}
    canary = _step(plan, state).weight
    return {state.stable: 100 - canary, state.canary: canary}


def _step(plan: Rollout, state: RolloutState) -> Step:
    # A plan that became shorter during a rollout is watched at its last step.
    return plan.steps[min(state.step, len(plan.steps) - 1)]


def advance(plan: Rollout, state: RolloutState, verdict: Verdict, sample: Sample | None, now: datetime) -> RolloutState:
    """The state after a measurement of a Progressing rollout; `sample` is what the verdict was made from, None where
    it was made without one.

    A step ends after its pause, once its last judged measurement was Successful; requests that came since then may
    be too few to judge, but must raise no doubt. An Error counts at once, an Inconclusive verdict after the pause;
    before, too few requests are what one expects.
    """
    state = _noted(plan, state, verdict, now)
    over = now - state.step_started >= _step(plan, state).pause
    judged = verdict.outcome in (Outcome.SUCCESSFUL, Outcome.FAILED)
    if judged:
        passed = verdict.outcome is Outcome.SUCCESSFUL
        state = state.model_copy(update={"since": sample or state.since, "passed": passed})
    if verdict.outcome is Outcome.FAILED:
        return _counted(state, "failures", plan.failure_limit, verdict)
    if verdict.outcome is Outcome.ERROR:
        return _counted(state, "errors", plan.error_limit, verdict)
    state = state.model_copy(update={"errors": 0})
    if over and not judged and (verdict.doubt or not state.passed):
        return _counted(state, "inconclusive", plan.inconclusive_limit, verdict)
    if not over:
        return state
    if state.step + 1 >= len(plan.steps):
        reason = verdict.reason if judged else f"Successful before, since then {verdict.reason}"
        return state.model_copy(update={"phase": "Promoted", "reason": reason})
    following = {"step": state.step + 1, "step_started": now, "inconclusive": 0, "since": sample, "passed": False}
    return state.model_copy(update=following)


def _noted(plan: Rollout, state: RolloutState, verdict: Verdict, now: datetime) -> RolloutState:
    new = Judged(time=now, weight=_step(plan, state).weight, outcome=verdict.outcome, reason=verdict.reason)
    return state.model_copy(update={"history": (*state.history, new)[-_KEPT:]})


_LIMITS = {
    "failures": ("failed", "failure_limit"),
    "errors": ("error", "error_limit"),
    "inconclusive": ("inconclusive", "inconclusive_limit"),
}


def _counted(state: RolloutState, counter: str, limit: int, verdict: Verdict) -> RolloutState:
    count = getattr(state, counter) + 1
    state = state.model_copy(update={counter: count})
    if count <= limit:
        return state
    word, name = _LIMITS[counter]
    suspected = counter != "inconclusive" or verdict.doubt or state.failures > 0
    reason = f"{word} ({count}) > {name} ({limit}): {verdict.reason}"
    return state.model_copy(update={"reason": reason, "phase": "RolledBack" if suspected else "Paused"})
