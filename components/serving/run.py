"""Bring model versions into serving: what commands and pipelines do with the documents."""

from components.adapters import templates
from components.adapters.local_serving import LocalServing
from components.adapters.model_registry import ModelRegistry, RegisteredVersion
from components.adapters.serving_target import INFERENCE_SERVICE, VIRTUAL_SERVICE, ServingTarget
from components.serving.logic import deployment_name, inference_service, virtual_service
from serin.errors import UnavailableError
from serin.use_case import UseCase
from serin.workspace import Workspace


def serving_target(workspace: Workspace, case: UseCase) -> LocalServing:
    """Where the use case is served in this profile.

    Raises UnavailableError for the cluster profile, whose target is not built yet.
    """
    if workspace.profile != "local":
        raise UnavailableError(
            f"profile {workspace.profile}: serving from the command line is built for the local profile only so far; "
            "apply manifests/ and istio/ to the cluster"
        )
    return LocalServing(workspace.state / "serving" / case.model_name)


def deploy(workspace: Workspace, case: UseCase, target: ServingTarget, version: RegisteredVersion) -> str:
    """Create the InferenceService of a registered version, unless it is there; returns its name."""
    name = deployment_name(case, version.version)
    if target.get(INFERENCE_SERVICE, name) is None:
        template = templates.load(workspace.root).inference_service
        target.apply(inference_service(case, version.version, version.storage_uri, template))
    return name


def serve_champion(workspace: Workspace, case: UseCase, target: ServingTarget) -> str:
    """See to it that something is served: what the VirtualService says, else the champion with all traffic.

    Returns the name of what is served. Raises UnavailableError where there is no champion.
    """
    document = target.get(VIRTUAL_SERVICE, case.model_name)
    if document is not None:
        return case.model_name
    champion = ModelRegistry(workspace).by_alias(case.model_name, "champion")
    if champion is None:
        raise UnavailableError(f"{case.name} has no champion yet; `serin train {case.name} --data TABLE` makes one")
    name = deploy(workspace, case, target, champion)
    target.apply(virtual_service(case, {name: 100}, templates.load(workspace.root).virtual_service))
    return name
