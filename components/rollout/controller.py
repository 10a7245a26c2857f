"""The rollout controller: reads a measurement, takes one small step, writes it down, waits.

Weights and state go into the VirtualService in one write, so wherever the controller is killed, the next one
reads where it stood.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from components.rollout import states
from components.rollout.measurement import measure
from components.rollout.states import RolloutState
from components.rollout.verdict import Outcome, Verdict, judge
from serin.deployments import deployment_name, version_of, versions_of, virtual_service, weights_of
from serin.errors import ConflictError, NotFoundError, UnavailableError
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE, Document, MetricsSource, Sample, ServingTarget
from serin.use_case import UseCase

ANNOTATION = "serin/rollout"
_MANY_RESTARTS = 3


@dataclass(frozen=True)
class Update:
    """Something that a person following the rollout wants to see. `weights` are percent of traffic."""

    time: datetime
    phase: str
    weights: Mapping[str, int]
    verdict: str
    reason: str

    def __str__(self) -> str:
        shares = " ".join(f"{name}={weight}%" for name, weight in self.weights.items())
        return f"{self.time:%H:%M:%S} {self.phase:<11} {shares}  {self.verdict} {self.reason}".rstrip()


@dataclass(frozen=True)
class Surroundings:
    """What a rollout works with.

    `template` is the parsed istio/virtualservice.yaml; `deploy(version)` creates the version's InferenceService, unless
    it is there; `promote(version, served_before)` moves the alias in the model registry and does nothing when it was
    moved already; `give_up(version)` takes a version off the alias that made it the next to be rolled out, and can be
    repeated too; `clock` gives the time (UTC), `sleep` waits for seconds.
    """

    target: ServingTarget
    metrics: MetricsSource
    template: Mapping[str, Any]
    deploy: Callable[[int], object]
    promote: Callable[[int, int | None], None]
    give_up: Callable[[int], None]
    report: Callable[[Update], None]
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    ready_timeout: timedelta = timedelta(minutes=10)


@dataclass(frozen=True)
class _Unready:
    """Why a version is not ready; `lasting`: it won't be by itself."""

    reason: str
    lasting: bool


def roll_out(case: UseCase, version: int, around: Surroundings) -> RolloutState:
    """Bring `version` to all traffic or back to none; returns the last state.

    An interrupted rollout of the same version goes on where it stopped, a promoted version stays as it is.
    Where nothing is served yet, the version gets all traffic as soon as it is ready. The caller holds the model's
    rollout lease.
    Raises ConflictError: the rollout of another version is not over, and nothing is deployed then; or the
    VirtualService was changed by somebody else. UnavailableError: the version does not become ready, and is removed
    then; or nobody acts on the documents any longer, and the state stays as it is.
    """
    run = _Run(case, version, around)
    state = run.begin()
    while state.phase == "Progressing":
        around.sleep(case.rollout.interval.total_seconds())
        state = run.tick(state)
    return run.settle(state)


class _Run:
    def __init__(self, case: UseCase, version: int, around: Surroundings) -> None:
        self._case, self._version, self._around = case, version, around
        self._canary = deployment_name(case, version)
        self._attendant = around.target.check()
        self._document = self._traffic()

    def begin(self) -> RolloutState:
        """The state to go on from: that of an interrupted rollout, or a new one at its first step."""
        state = self._stored_state()
        if state and not state.settled:
            if state.canary == self._canary:
                return self._resumed(state)
            if state.phase == "Progressing":
                version = version_of(self._case, state.canary)
                raise ConflictError(
                    f"{self._case.model_name}: the rollout of {state.canary} is under way, at step {state.step + 1} of "
                    f"{len(self._case.rollout.steps)}; let it end, or go on with it first (--version {version})"
                )
            self.settle(state)
        serving = weights_of(self._document) if self._document else {}
        if serving == {self._canary: 100}:
            stays = state if state and state.canary == self._canary else None
            now = self._around.clock()
            return stays or RolloutState(phase="Promoted", canary=self._canary, stable=None, step_started=now)
        return self._new(self._stable(serving))

    def _resumed(self, state: RolloutState) -> RolloutState:
        if state.phase == "Progressing":
            self._around.deploy(self._version)
            # Whoever serves may have started everything anew. What is not ready after that fails its measurement.
            self._await_ready()
        return state

    def _new(self, stable: str | None) -> RolloutState:
        self._around.deploy(self._version)
        if unready := self._await_ready():
            self._remove(unready)
            raise UnavailableError(unready.reason)
        new = RolloutState(
            phase="Progressing" if stable else "Promoted",
            canary=self._canary,
            stable=stable,
            step_started=self._around.clock(),
            since=self._around.metrics.sample(self._canary),
            reason="" if stable else "nothing was served before",
        )
        self._write(new)
        self._tell(new, "", new.reason)
        return new

    def tick(self, state: RolloutState) -> RolloutState:
        """One measurement and one step; it is written before it is told."""
        verdict, sample = self._observe(state)
        after = states.advance(self._case.rollout, state, verdict, sample, self._around.clock())
        self._write(after)
        self._tell(after, verdict.outcome.value, after.reason or verdict.reason)
        return after

    def settle(self, state: RolloutState) -> RolloutState:
        """What follows the last move of traffic: the alias, and deployments that are no longer needed.

        The version that served before stays up, so that rolling back is moving weights.
        """
        if state.settled:
            return state
        target = self._around.target
        if state.phase == "Promoted":
            before = version_of(self._case, state.stable) if state.stable else None
            self._around.promote(version_of(self._case, state.canary), before)
            for name in self._obsolete(state):
                target.delete(INFERENCE_SERVICE, name)
        else:
            # Of a version that met no traffic nothing is known: it stays the next to be rolled out.
            if state.phase == "RolledBack":
                self._around.give_up(version_of(self._case, state.canary))
            target.delete(INFERENCE_SERVICE, state.canary)
        after = state.model_copy(update={"settled": True})
        self._write(after)
        return after

    def _obsolete(self, state: RolloutState) -> list[str]:
        if state.stable is None:
            return []
        deployed = versions_of(self._case, self._around.target.list(INFERENCE_SERVICE))
        kept, version = (state.canary, state.stable), version_of(self._case, state.canary)
        return [name for name, number in deployed.items() if name not in kept and number < version]

    def _traffic(self) -> Document | None:
        try:
            return self._around.target.get(VIRTUAL_SERVICE, self._case.model_name)
        except NotFoundError:
            return None

    def _stored_state(self) -> RolloutState | None:
        if self._document is None:
            return None
        text = (self._document["metadata"].get("annotations") or {}).get(ANNOTATION)
        return states.parse_state(text, f"VirtualService {self._case.model_name}") if text else None

    def _stable(self, serving: Mapping[str, int]) -> str | None:
        carrying = [name for name, weight in serving.items() if weight]
        if len(carrying) > 1:
            raise ConflictError(
                f"VirtualService {self._case.model_name} shares traffic between {', '.join(carrying)}, but no "
                "rollout is under way; give one of them all of it first"
            )
        return carrying[0] if carrying else None

    def _await_ready(self) -> _Unready | None:
        """Wait for the canary; returns why it is not ready, where it can't be or is not in time."""
        target, around, name = self._around.target, self._around, self._canary
        start = around.clock()
        while not (status := target.status(name)).ready:
            self._attendant = target.check()
            if status.failed:
                return _Unready(f"{name} can't get ready: {status.message}", lasting=True)
            if around.clock() - start >= around.ready_timeout:
                seconds = around.ready_timeout.total_seconds()
                return _Unready(f"{name} is not ready after {seconds:.0f} s: {status.message}", lasting=False)
            if status.restarts >= _MANY_RESTARTS:
                return _Unready(f"{name} does not start ({status.restarts} times): {status.message}", lasting=True)
            around.sleep(1.0)
        return None

    def _remove(self, unready: _Unready) -> None:
        """A version that never got ready would be restarted for ever.

        Of one that a slow node or store may have kept from it nothing is known: it stays the next to be rolled out.
        """
        document = self._traffic()
        if document and weights_of(document).get(self._canary):
            return
        if unready.lasting:
            self._around.give_up(self._version)
        self._around.target.delete(INFERENCE_SERVICE, self._canary)

    def _observe(self, state: RolloutState) -> tuple[Verdict, Sample | None]:
        status = self._around.target.status(self._canary)
        sample = self._around.metrics.sample(self._canary) if status.ready else None
        # Only now: what was seen of the canary counts only if somebody kept it up all the time.
        attendant = self._around.target.check()
        if attendant != self._attendant:
            self._attendant = attendant
            self._await_ready()
            return self._observe(state)
        if not status.ready:
            return Verdict(Outcome.FAILED, f"{self._canary} is not ready: {status.message}"), None
        measurement = measure(state.since, sample) if sample else None
        return judge(measurement, self._case.slo, self._case.rollout.min_requests), sample

    def _write(self, state: RolloutState) -> None:
        document = virtual_service(self._case, states.weights(self._case.rollout, state), self._around.template)
        document["metadata"]["annotations"] = {ANNOTATION: state.model_dump_json()}
        if self._document is None:
            self._document = self._around.target.create(document)
            return
        document["metadata"]["resourceVersion"] = self._document["metadata"]["resourceVersion"]
        self._document = self._around.target.replace(document)

    def _tell(self, state: RolloutState, verdict: str, reason: str) -> None:
        weights = states.weights(self._case.rollout, state)
        self._around.report(Update(self._around.clock(), state.phase, weights, verdict, reason))
