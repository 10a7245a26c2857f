"""The documents that the serving target gets: an InferenceService a version, with the HorizontalPodAutoscaler and the
PodDisruptionBudget of its pods, and one VirtualService a model.

They are filled from the YAML templates in manifests/ and istio/, which adapters/templates.py reads.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from string import Template
from typing import Any

from serin.errors import ConflictError, UnavailableError
from serin.ports import Document
from serin.use_case import UseCase


def deployment_name(case: UseCase, version: int) -> str:
    """The InferenceService of a model version, as `card-fraud-v12`."""
    return f"{case.model_name}-v{version}"


def version_of(case: UseCase, deployment: str) -> int:
    """The model version that a deployment serves.

    Raises ConflictError: the name is not of the form `deployment_name` makes.
    """
    head, _, version = deployment.rpartition("-v")
    if head != case.model_name or not version.isdecimal():
        raise ConflictError(
            f"VirtualService {case.model_name} routes to {deployment!r}; allowed: {case.model_name}-v<version>"
        )
    return int(version)


def versions_of(case: UseCase, services: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The versions that InferenceServices of this model serve, by name; what others have put there is left out."""
    found = {}
    for service in services:
        name = service["metadata"]["name"]
        with suppress(ConflictError):
            found[name] = version_of(case, name)
    return found


def inference_service(case: UseCase, version: int, storage_uri: str, template: Mapping[str, Any]) -> Document:
    """The InferenceService (serving.kserve.io/v1beta1) of one model version.

    `storage_uri` is the folder of the model artifact, `template` the parsed manifests/inferenceservice.yaml.
    Raises UnavailableError: the template has a ${...} that is not known.
    """
    filled: Document = _fill(template, {**_identity(case, version), "storage_uri": storage_uri})
    return filled


def autoscaler(case: UseCase, version: int, template: Mapping[str, Any]) -> Document:
    """The HorizontalPodAutoscaler (autoscaling/v2) of one model version; `template` is manifests/autoscaler.yaml.

    Raises UnavailableError: the template has a ${...} that is not known.
    """
    filled: Document = _fill(template, _identity(case, version))
    return filled


def disruption_budget(case: UseCase, version: int, template: Mapping[str, Any]) -> Document:
    """The PodDisruptionBudget (policy/v1) of one model version; `template` is manifests/disruptionbudget.yaml.

    Raises UnavailableError: the template has a ${...} that is not known.
    """
    filled: Document = _fill(template, _identity(case, version))
    return filled


def owned(document: Mapping[str, Any], owner: Mapping[str, Any]) -> Document:
    """The document as one that Kubernetes removes with `owner`, which is as the API server returned it."""
    named = {name: owner[name] for name in ("apiVersion", "kind")}
    reference = {**named, **{name: owner["metadata"][name] for name in ("name", "uid")}}
    return {**document, "metadata": {**document["metadata"], "ownerReferences": [reference]}}


def virtual_service(case: UseCase, weights: Mapping[str, int], template: Mapping[str, Any]) -> Document:
    """The VirtualService (networking.istio.io/v1) that shares out a model's requests.

    `weights` gives the percent of traffic of each deployment, `template` is the parsed
    istio/virtualservice.yaml; every route of it that is for no deployment alone gets the same weights.
    Raises UnavailableError: the template has a ${...} that is not known.
    ValueError: weights that are not whole numbers from 0 to 100 with the sum 100.
    """
    if not all(0 <= weight <= 100 for weight in weights.values()) or sum(weights.values()) != 100:
        raise ValueError(f"weights of {case.model_name} must be 0 to 100 with the sum 100, found {dict(weights)}")
    routes = [made for route in template["spec"]["http"] for made in _routes(route, weights)]
    shared = {**template, "spec": {**template["spec"], "http": routes}}
    filled: Document = _fill(shared, {"model": case.model_name})
    return filled


def weights_of(document: Mapping[str, Any]) -> dict[str, int]:
    """The percent of traffic that a VirtualService of ours gives each deployment."""
    destinations = document["spec"]["http"][-1]["route"]
    return {_deployment(d["destination"]["host"]): d.get("weight", 100) for d in destinations}


def _identity(case: UseCase, version: int) -> dict[str, str]:
    return {"deployment": deployment_name(case, version), "model": case.model_name, "version": str(version)}


def _deployment(host: str) -> str:
    return host.removesuffix("-predictor")


def _routes(route: Mapping[str, Any], weights: Mapping[str, int]) -> list[Document]:
    if "${deployment}" in str(route.get("match", "")):
        return [_fill(route, {"deployment": name}) for name in weights]
    return [_repeated(route, weights)]


def _repeated(route: Mapping[str, Any], weights: Mapping[str, int]) -> Document:
    (destination,) = route["route"]
    filled = [{**_fill(destination, {"deployment": name}), "weight": weight} for name, weight in weights.items()]
    return {**route, "route": filled}


def _fill(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, Mapping):
        return {key: _fill(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, values) for value in node]
    return _filled(node, values) if isinstance(node, str) else node


def _filled(text: str, values: Mapping[str, str]) -> str:
    try:
        return Template(text).substitute(values)
    except (KeyError, ValueError):
        allowed = ", ".join(f"${{{name}}}" for name in values)
        raise UnavailableError(f"a template has {text!r}, which can't be filled; allowed here: {allowed}") from None
