"""The rollout step: a registered version, step by step, to all traffic or back to none."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from components.rollout.controller import Surroundings, Update, roll_out
from components.rollout.deploy import deploy, rollout_lease
from components.rollout.states import RolloutState
from serin.aliases import CHALLENGER
from serin.errors import SerinError, UnavailableError
from serin.platform import Platform
from serin.ports import ModelRegistry, RegisteredVersion
from serin.use_case import UseCase


def roll_out_version(
    platform: Platform, case: UseCase, version: int | None, report: Callable[[Update], None], *, force: bool = False
) -> RolloutState:
    """Deploy `version` (None: the challenger) beside what serves, and roll it out; see `roll_out`.

    Raises ConflictError: another rollout of the model is not over; nothing is deployed then. NotFoundError: no such
    version. UnavailableError: no challenger, or nobody serves the use case. SerinError: the version failed the gate,
    and `force` is not set.
    """
    platform.serving(case.model_name).check()
    with platform.lease.hold(rollout_lease(case)):
        return roll_out_held(platform, case, find(platform.registry, case, version, force), report)


def roll_out_held(
    platform: Platform, case: UseCase, registered: RegisteredVersion, report: Callable[[Update], None]
) -> RolloutState:
    """Roll out a version, as `roll_out_version` does; the caller holds the model's rollout lease."""
    aliases = platform.aliases(case.model_name)
    around = Surroundings(
        target=platform.serving(case.model_name),
        metrics=platform.metrics(case.model_name),
        template=platform.templates.virtual_service,
        deploy=lambda _: deploy(platform, case, registered),
        promote=aliases.promote,
        give_up=aliases.give_up,
        report=report,
        clock=lambda: datetime.now(UTC),
        sleep=time.sleep,
    )
    return roll_out(case, registered.version, around)


def find(registry: ModelRegistry, case: UseCase, version: int | None, force: bool) -> RegisteredVersion:
    """The version to roll out (None: the challenger); raises as `roll_out_version` does."""
    if version is not None:
        found = registry.version(case.model_name, version)
        if found.gate in ("failed", "undecided") and not force:
            answer = "failed" if found.gate == "failed" else "is undecided at"
            raise SerinError(
                f"{case.model_name} version {version} {answer} the gate; allowed: a version that passed it, "
                "or this one with --force"
            )
        return found
    challenger = registry.by_alias(case.model_name, CHALLENGER)
    if challenger is None:
        raise UnavailableError(
            f"{case.name} has no challenger: no version passed the gate since the last one was rolled back"
        )
    return challenger
