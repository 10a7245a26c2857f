"""Bring model versions into serving: an InferenceService a version, and the first VirtualService."""

from serin.aliases import CHAMPION
from serin.deployments import deployment_name, inference_service, virtual_service
from serin.errors import NotFoundError, UnavailableError
from serin.platform import Platform
from serin.ports import VIRTUAL_SERVICE, RegisteredVersion, ServingTarget
from serin.use_case import UseCase


def deploy(platform: Platform, case: UseCase, version: RegisteredVersion) -> str:
    """Create the InferenceService of a registered version, unless it is there; returns its name."""
    uri = platform.registry.storage_uri(version)
    document = inference_service(case, version.version, uri, platform.templates.inference_service)
    platform.serving(case.model_name).create(document)
    return deployment_name(case, version.version)


def serve_champion(platform: Platform, case: UseCase) -> None:
    """See to it that something is served: what the VirtualService says, else the champion with all traffic.

    A rollout of a first version is waited for; it ends, since nobody acts on the documents yet. One that finds traffic
    shared already goes on meanwhile. Raises UnavailableError where there is no champion.
    """
    target = platform.serving(case.model_name)
    if _is_served(target, case):
        return
    with platform.lease.hold(rollout_lease(case), wait=True):
        if _is_served(target, case):
            return
        champion = platform.registry.by_alias(case.model_name, CHAMPION)
        if champion is None:
            raise UnavailableError(f"{case.name} has no champion yet; `serin train {case.name} --data TABLE` makes one")
        name = deploy(platform, case, champion)
        target.create(virtual_service(case, {name: 100}, platform.templates.virtual_service))


def _is_served(target: ServingTarget, case: UseCase) -> bool:
    try:
        target.get(VIRTUAL_SERVICE, case.model_name)
    except NotFoundError:
        return False
    return True


def rollout_lease(case: UseCase) -> str:
    """The lease of whoever changes what the model's traffic goes to."""
    return f"rollout-{case.model_name}"
