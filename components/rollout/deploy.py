"""Bring model versions into serving: an InferenceService a version, and the first VirtualService."""

from collections.abc import Callable
from contextlib import suppress

from serin.aliases import CHAMPION
from serin.deployments import deployment_name, inference_service, version_of, virtual_service, weights_of
from serin.errors import ConflictError, NotFoundError, SerinError, UnavailableError
from serin.platform import Platform
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE, RegisteredVersion, ServingTarget
from serin.progress import say
from serin.use_case import UseCase


def deploy(platform: Platform, case: UseCase, version: RegisteredVersion) -> str:
    """Create the InferenceService of a registered version, unless it is there; returns its name."""
    uri = platform.registry.storage_uri(version)
    document = inference_service(case, version.version, uri, platform.templates.inference_service)
    platform.serving(case.model_name).create(document)
    return deployment_name(case, version.version)


def serve_champion(platform: Platform, case: UseCase, report: Callable[[str], None] = say) -> None:
    """See to it that something is served: what the VirtualService says, else the champion with all traffic.

    A version with traffic whose InferenceService somebody has deleted is deployed again.
    A rollout of a first version is waited for, which `report` is told once; it ends, since nobody acts on the documents
    yet. One that finds traffic shared already goes on meanwhile. Raises UnavailableError where there is no champion.
    """
    target = platform.serving(case.model_name)
    if _lacking(target, case) == []:
        return

    def waits_for(holder: str) -> None:
        report(f"{rollout_lease(case)}: {holder} is at it; waiting until it has ended or let go")

    with platform.lease.hold(rollout_lease(case), wait=True, waits_for=waits_for):
        lacking = _lacking(target, case)
        for version in lacking or []:
            deploy(platform, case, platform.registry.version(case.model_name, version))
        if lacking is None:
            _serve_first(platform, case, target)


def _serve_first(platform: Platform, case: UseCase, target: ServingTarget) -> None:
    champion = platform.registry.by_alias(case.model_name, CHAMPION)
    if champion is None:
        raise UnavailableError(f"{case.name} has no champion yet; `serin train {case.name} --data TABLE` makes one")
    name = deploy(platform, case, champion)
    target.create(virtual_service(case, {name: 100}, platform.templates.virtual_service))


def _lacking(target: ServingTarget, case: UseCase) -> list[int] | None:
    """The versions that have traffic and are not deployed; None where nothing is served."""
    try:
        weights = weights_of(target.get(VIRTUAL_SERVICE, case.model_name))
    except NotFoundError:
        return None
    found = []
    for name in [name for name, weight in weights.items() if weight and not _is_deployed(target, name)]:
        with suppress(ConflictError):  # What others have put there is theirs to deploy.
            found.append(version_of(case, name))
    return found


def _is_deployed(target: ServingTarget, name: str) -> bool:
    try:
        target.get(INFERENCE_SERVICE, name)
    except NotFoundError:
        return False
    except SerinError:
        # What can't be read is there, and whoever acts on it names it.
        return True
    return True


def rollout_lease(case: UseCase) -> str:
    """The lease of whoever changes what the model's traffic goes to."""
    return f"rollout-{case.model_name}"
