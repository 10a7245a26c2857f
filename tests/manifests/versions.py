"""Whether what scales, protects, measures and runs model versions finds them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.manifests.index import Index, Pod, labels_of, matches, namespace_of

Found = Iterator[str]


def scalers_have_targets(index: Index) -> Found:
    """What an HPA scales is there with its container, and what a PodDisruptionBudget protects."""
    for scaler in index.of("HorizontalPodAutoscaler"):
        target, title = scaler["spec"]["scaleTargetRef"], f"HorizontalPodAutoscaler {scaler['metadata']['name']}"
        found = index.get(target["kind"], namespace_of(scaler), target["name"])
        if found is None:
            yield f"{title}: there is no {target['kind']} {target['name']}"
            continue
        containers = {c["name"] for c in found["spec"]["template"]["spec"]["containers"]}
        for metric in scaler["spec"]["metrics"]:
            name = metric.get("containerResource", {}).get("container")
            if name and name not in containers:
                yield f"{title}: {target['name']} has no container {name}"
    for budget in index.of("PodDisruptionBudget"):
        if not index.selected(budget["spec"]["selector"], [namespace_of(budget)]):
            yield f"PodDisruptionBudget {budget['metadata']['name']}: its selector means no pod"


def model_versions_have_runtimes(index: Index) -> Found:
    """Runtime with format and protocol, storage initializer that takes the address, and account."""
    for service in index.of("InferenceService"):
        predictor, title = service["spec"]["predictor"], f"InferenceService {service['metadata']['name']}"
        model, namespace = predictor["model"], namespace_of(service)
        runtime = index.get("ServingRuntime", namespace, model["runtime"])
        if runtime is None:
            yield f"{title}: there is no ServingRuntime {model['runtime']}"
        else:
            formats = {form["name"] for form in runtime["spec"]["supportedModelFormats"]}
            if model["modelFormat"]["name"] not in formats:
                yield f"{title}: {model['runtime']} does not know the format {model['modelFormat']['name']}"
            if model["protocolVersion"] not in runtime["spec"]["protocolVersions"]:
                yield f"{title}: {model['runtime']} does not speak {model['protocolVersion']}"
        account = predictor.get("serviceAccountName", "default")
        if not index.get("ServiceAccount", namespace, account):
            yield f"{title}: there is no ServiceAccount {account}"
        container = index.get("ClusterStorageContainer", "", predictor["storageContainerName"])
        if container is None:
            yield f"{title}: there is no ClusterStorageContainer {predictor['storageContainerName']}"
        elif not any(model["storageUri"].startswith(u["prefix"]) for u in container["spec"]["supportedUriFormats"]):
            yield f"{title}: {predictor['storageContainerName']} does not fetch {model['storageUri']}"


def monitors_find_ports(index: Index) -> Found:
    """A ServiceMonitor means Services, a PodMonitor pods, and the port is one of the pods'."""
    for monitor in index.of("ServiceMonitor"):
        title, namespace = f"ServiceMonitor {monitor['metadata']['name']}", namespace_of(monitor)
        services = [
            service
            for service in index.of("Service")
            if namespace_of(service) == namespace and matches(monitor["spec"]["selector"], labels_of(service))
        ]
        if not services:
            yield f"{title}: its selector means no Service"
        for service in services:
            pods = index.selected({"matchLabels": service["spec"]["selector"]}, [namespace])
            yield from _monitored(title, pods, (end["targetPort"] for end in monitor["spec"]["endpoints"]))
    for monitor in index.of("PodMonitor"):
        title, spec = f"PodMonitor {monitor['metadata']['name']}", monitor["spec"]
        pods = index.selected(spec["selector"], spec["namespaceSelector"]["matchNames"])
        if not pods:
            yield f"{title}: its selector means no pod"
        yield from _monitored(title, pods, (end["portNumber"] for end in spec["podMetricsEndpoints"]))


def _monitored(title: str, pods: Iterable[Pod], ports: Iterable[int | str]) -> Found:
    wanted = tuple(ports)
    yield from (
        f"{title}: {pod.title} opens no port {port}" for pod in pods for port in wanted if port not in pod.ports
    )


def launchers_find_credentials(index: Index) -> Found:
    """The Secret that KFP's launcher is told to read has the keys."""
    for config in index.of("ConfigMap"):
        text = config.get("data", {}).get("providers", "")
        named = dict(re.findall(r"(secretName|accessKeyKey|secretKeyKey): (\S+)", text))
        if not named:
            continue
        secret: Mapping[str, Any] | None = index.get("Secret", namespace_of(config), named["secretName"])
        for part in ("accessKeyKey", "secretKeyKey"):
            if secret is None or named[part] not in secret["data"]:
                yield f"ConfigMap {config['metadata']['name']}: Secret {named['secretName']} has no key {named[part]}"


CHECKS = (
    scalers_have_targets,
    model_versions_have_runtimes,
    monitors_find_ports,
    launchers_find_credentials,
)
