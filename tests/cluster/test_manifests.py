"""What Serin ships, and what it fills its templates with, as a real API server and istiod's webhook take it."""

import copy
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from serin import deployments
from tests.cluster import installation
from tests.cluster.api import Document, RefusedError
from tests.cluster.world import World
from tests.integration.serving_world import CASE, TEMPLATES, until
from tests.manifests import rendering

_WORKLOADS = ("Deployment", "StatefulSet")


@pytest.mark.parametrize("overlay", rendering.OVERLAYS)
def test_every_object_of_an_overlay_is_taken_without_a_warning(world: World, overlay: str) -> None:
    found = installation.rendered(overlay)
    installation.neighbours(world.plane.api, found)
    for document in found:
        world.plane.api.apply(document, dryRun="All")


@pytest.mark.parametrize("overlay", rendering.OVERLAYS)
def test_every_workload_of_an_overlay_keeps_to_pod_security(world: World, overlay: str) -> None:
    workloads = [found for found in installation.rendered(overlay) if found["kind"] in _WORKLOADS]
    assert workloads
    for workload in workloads:
        world.plane.api.create(_pod_of(workload), dryRun="All")


def _pod_of(workload: Document) -> Document:
    """The first pod that a workload's controller makes; its claims' volumes are the controller's addition."""
    name, spec = workload["metadata"]["name"], workload["spec"]
    pod: Document = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(spec["template"])}
    pod["metadata"] |= {"name": f"{name}-0", "namespace": "serin"}
    claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])]
    claimed = [{"name": c, "persistentVolumeClaim": {"claimName": f"{c}-{name}-0"}} for c in claims]
    pod["spec"]["volumes"] = [*pod["spec"].get("volumes", []), *claimed]
    return pod


def test_what_is_installed_makes_its_pods(world: World) -> None:
    def made() -> bool:
        found = world.plane.api.get("apps/v1", "Deployment", "mlflow").get("status", {})
        failures = [c for c in found.get("conditions", []) if c["type"] == "ReplicaFailure"]
        assert not failures, failures
        return bool(found.get("replicas"))

    until(made, "MLflow's pod", 30)


def filled() -> dict[str, Document]:
    """Every template, filled as a rollout fills it."""
    one = deployments.inference_service(CASE, 1, "s3://serin/models/1", TEMPLATES.inference_service)
    stored = {**one, "metadata": {**one["metadata"], "uid": str(UUID(int=0))}}
    companions = deployments.companions(stored, (TEMPLATES.autoscaler, TEMPLATES.disruption_budget))
    weights = {f"{CASE.model_name}-v1": 70, f"{CASE.model_name}-v2": 30}
    routes = deployments.virtual_service(CASE, weights, TEMPLATES.virtual_service)
    return {document["kind"]: document for document in (one, *companions, routes)}


@pytest.mark.parametrize("kind", filled())
def test_a_filled_template_is_taken_without_a_warning(world: World, kind: str) -> None:
    world.plane.api.apply(filled()[kind], dryRun="All")


def _shared(document: Document) -> list[Document]:
    """The routes that share traffic out; those that pin a version have one destination."""
    return [route for route in document["spec"]["http"] if len(route["route"]) > 1]


def _first_weights(*weights: int) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        for route in _shared(document):
            for destination, weight in zip(route["route"], weights, strict=True):
                destination["weight"] = weight

    return change


def _retry(document: Document) -> None:
    document["spec"]["http"][0]["retries"]["retryOn"] = "conect-failure"


def _unknown(*path: Any) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        node = document
        for key in path:
            node = node[key]
        node["unheardOf"] = 1

    return change


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("VirtualService", _first_weights(130, -30), "weight"),
        ("VirtualService", _first_weights(0, 0), "total destination weight = 0"),
        ("VirtualService", _retry, "retryOn"),
        ("VirtualService", _unknown("spec", "http", 0), "unheardOf"),
        ("InferenceService", _unknown("spec", "predictor"), "unheardOf"),
        ("InferenceService", _unknown("spec", "predictor", "model"), "unheardOf"),
        ("HorizontalPodAutoscaler", _unknown("spec"), "unheardOf"),
        ("PodDisruptionBudget", _unknown("spec"), "unheardOf"),
    ],
)
def test_a_planted_error_is_refused_and_named(
    world: World, kind: str, change: Callable[[Document], None], message: str
) -> None:
    document = copy.deepcopy(filled()[kind])
    change(document)
    with pytest.raises(RefusedError, match=message):
        world.plane.api.apply(document, dryRun="All")


def test_a_gateway_without_servers_is_refused(world: World) -> None:
    gateway = world.plane.api.get("networking.istio.io/v1", "Gateway", "serin")
    bare = {key: gateway[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": "serin", "namespace": "serin"}}
    with pytest.raises(RefusedError, match="gateway must have at least one server"):
        world.plane.api.apply({**bare, "spec": {"selector": {"istio": "ingressgateway"}, "servers": []}}, dryRun="All")
