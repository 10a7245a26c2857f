"""The rollout step: a registered version, step by step, to all traffic or back to none."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from components.adapters import templates
from components.adapters.metrics_source import ScrapedMetrics
from components.adapters.model_registry import ModelRegistry, RegisteredVersion
from components.register.run import give_up, promote
from components.rollout.controller import Event, Surroundings, roll_out
from components.rollout.logic import RolloutState
from components.serving.run import deploy, serving_target
from serin.errors import SerinError, UnavailableError
from serin.use_case import UseCase
from serin.workspace import Workspace


def roll_out_version(
    workspace: Workspace, case: UseCase, version: int | None, report: Callable[[Event], None], *, force: bool = False
) -> RolloutState:
    """Deploy `version` (None: the challenger) beside what serves, and roll it out; see `roll_out`.

    Raises UnavailableError: no such version, no challenger, or nothing serves the use case on this machine.
    SerinError: the version failed the gate, and `force` is not set.
    """
    target = serving_target(workspace, case)
    if not target.running():
        raise UnavailableError(
            f"nothing serves {case.name}; start `serin serve {case.name}` in another terminal and leave it running"
        )
    registered = _find(ModelRegistry(workspace), case, version, force)
    deploy(workspace, case, target, registered)
    around = Surroundings(
        target=target,
        metrics=ScrapedMetrics(target),
        template=templates.load(workspace.root).virtual_service,
        promote=lambda number: promote(workspace, case, number),
        give_up=lambda number: give_up(workspace, case, number),
        report=report,
        clock=lambda: datetime.now(UTC),
        sleep=time.sleep,
    )
    return roll_out(case, registered.version, around)


def _find(registry: ModelRegistry, case: UseCase, version: int | None, force: bool) -> RegisteredVersion:
    if version is not None:
        found = registry.version(case.model_name, version)
        if found.tags.get("serin.gate") == "failed" and not force:
            raise SerinError(
                f"{case.model_name} version {version} failed the gate; allowed: a version that passed it, "
                "or this one with --force"
            )
        return found
    challenger = registry.by_alias(case.model_name, "challenger")
    if challenger is None:
        raise UnavailableError(
            f"{case.name} has no challenger: no version passed the gate since the last one was rolled back"
        )
    return challenger
