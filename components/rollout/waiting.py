"""The rollout of what waits for one: for runs that come by the clock, most of which find nothing to do."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from components.rollout.controller import ANNOTATION, Update
from components.rollout.deploy import rollout_lease
from components.rollout.run import find, roll_out_held
from components.rollout.states import RolloutState, parse_state
from serin.aliases import CHALLENGER, CHAMPION
from serin.deployments import version_of, weights_of
from serin.errors import ConflictError, NotFoundError
from serin.platform import Platform
from serin.ports import VIRTUAL_SERVICE, Document, RegisteredVersion
from serin.use_case import UseCase


@dataclass(frozen=True)
class Idle:
    """Nothing was rolled out, and why that is in order."""

    reason: str


def roll_out_waiting(platform: Platform, case: UseCase, report: Callable[[Update], None]) -> RolloutState | Idle:
    """Go on with an interrupted rollout, else roll out the challenger where it waits; see `roll_out`.

    A rollout that is under way elsewhere is no error. Raises what `roll_out_version` raises besides.
    """
    with ExitStack() as held:
        try:
            held.enter_context(platform.lease.hold(rollout_lease(case)))
        except ConflictError as error:
            return Idle(f"a rollout is under way: {error}")
        version = _waiting(platform, case)
        if isinstance(version, Idle):
            return version
        platform.serving(case.model_name).check()
        return roll_out_held(platform, case, version, report)


def _waiting(platform: Platform, case: UseCase) -> RegisteredVersion | Idle:
    document = _traffic(platform, case)
    if document and (canary := _interrupted(document)):
        # Somebody had a reason to begin it, gate or no gate.
        return find(platform.registry, case, version_of(case, canary), force=True)
    challenger = platform.registry.by_alias(case.model_name, CHALLENGER)
    if challenger is None:
        return Idle("no challenger waits")
    weights = weights_of(document) if document else {}
    if [version_of(case, name) for name, weight in weights.items() if weight] == [challenger.version]:
        return Idle(f"no challenger waits: v{challenger.version} has all traffic already")
    champion = platform.registry.by_alias(case.model_name, CHAMPION)
    if not weights and champion and champion.version == challenger.version:
        return Idle(f"no challenger waits: v{champion.version} is the champion, and nothing is served yet")
    return challenger


def _traffic(platform: Platform, case: UseCase) -> Document | None:
    try:
        return platform.serving(case.model_name).get(VIRTUAL_SERVICE, case.model_name)
    except NotFoundError:
        return None


def _interrupted(document: Document) -> str | None:
    """The canary of a rollout that was begun and did not come to its end."""
    text = (document["metadata"].get("annotations") or {}).get(ANNOTATION)
    state = parse_state(text, f"VirtualService {document['metadata']['name']}") if text else None
    return state.canary if state and not state.settled else None
