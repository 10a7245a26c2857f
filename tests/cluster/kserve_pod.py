"""What KServe 0.20 makes in Standard mode of an InferenceService, its ServingRuntime and a ClusterStorageContainer.

A stand-in, since KServe's controller can't be built here: nothing is added that KServe does not add. The storage
initializer, which KServe's webhook puts into the pod, stands in the Deployment's template already.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.cluster.api import Document

PREDICTOR = "kserve-container"
INITIALIZER = "storage-initializer"
_MODELS = {"name": "kserve-provision-location", "mountPath": "/mnt/models"}
# Of a predictor's spec, what KServe takes over into the pod's.
_OF_THE_POD = {
    "affinity", "automountServiceAccountToken", "enableServiceLinks", "imagePullSecrets", "nodeSelector",
    "priorityClassName", "securityContext", "serviceAccountName", "terminationGracePeriodSeconds", "tolerations",
    "topologySpreadConstraints", "volumes",
}  # fmt: skip
# KServe's own limits of the container, where no ClusterStorageContainer says otherwise. It sets no security context.
_PLAIN_INITIALIZER: Document = {
    "image": "kserve/storage-initializer:v0.20.0",
    "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
}


class RejectedError(Exception):
    """KServe makes no pod: the `reason` and the message of `status.modelStatus.lastFailureInfo`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def check(service: Mapping[str, Any], runtime: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The runtime, where it can serve the InferenceService. Raises RejectedError."""
    model = service["spec"]["predictor"]["model"]
    if runtime is None:
        raise RejectedError("RuntimeNotRecognized", "Waiting for runtime to become available")
    if runtime["spec"].get("disabled"):
        raise RejectedError("RuntimeDisabled", "Specified runtime is disabled")
    protocols = runtime["spec"].get("protocolVersions") or ["v1"]
    if model.get("protocolVersion", protocols[0]) not in protocols:
        raise RejectedError("NoSupportingRuntime", "Specified runtime does not support specified protocol version")
    formats = {form["name"] for form in runtime["spec"]["supportedModelFormats"]}
    if model["modelFormat"]["name"] not in formats:
        raise RejectedError("NoSupportingRuntime", "Specified runtime does not support specified framework/version")
    return runtime


def pod(
    service: Mapping[str, Any],
    runtime: Mapping[str, Any],
    containers: Iterable[Mapping[str, Any]],
    secrets: Iterable[Mapping[str, Any]],
) -> Document:
    """The pod of one replica.

    `containers` are the ClusterStorageContainers that there are, `secrets` those that the predictor's service account
    names.
    """
    predictor = service["spec"]["predictor"]
    name = service["metadata"]["name"]
    own = {key: value for key, value in runtime["spec"].items() if key in _OF_THE_POD}
    asked = {key: value for key, value in predictor.items() if key in _OF_THE_POD}
    volumes = [*own.pop("volumes", []), *asked.pop("volumes", []), {"name": _MODELS["name"], "emptyDir": {}}]
    labels = service["metadata"].get("labels", {})
    added = {"app": f"isvc.{name}-predictor", "component": "predictor", "serving.kserve.io/inferenceservice": name}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{name}-predictor", "namespace": "serin", "labels": {**labels, **added}},
        "spec": {
            **own,
            **asked,
            "volumes": volumes,
            "initContainers": [_initializer(predictor, containers, secrets)],
            "containers": [_filled(service, container) for container in runtime["spec"]["containers"]],
        },
    }


def deployment(service: Mapping[str, Any], made: Document) -> Document:
    """The Deployment of a pod."""
    name = f"{service['metadata']['name']}-predictor"
    labels = made["metadata"]["labels"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "serin", "labels": labels, "ownerReferences": [_owner(service)]},
        "spec": {
            "replicas": service["spec"]["predictor"].get("minReplicas", 1),
            "selector": {"matchLabels": {"app": labels["app"]}},
            "template": {"metadata": {"labels": labels}, "spec": made["spec"]},
            # KServe's own limit; its default is 600 s.
            "progressDeadlineSeconds": 600,
        },
    }


def front(service: Mapping[str, Any], runtime: Mapping[str, Any]) -> Document:
    """The Service in front of the pods: the container's first port becomes 80, every other one keeps its number."""
    name = f"{service['metadata']['name']}-predictor"
    container = next(c for c in runtime["spec"]["containers"] if c["name"] == PREDICTOR)
    (first, *others) = container["ports"]
    ports: list[Document] = [{"name": first["name"], "port": 80, "targetPort": first["containerPort"]}]
    for other in others:
        number = {"port": other["containerPort"], "targetPort": other["containerPort"]}
        ports.append({"name": other["name"], **number, "appProtocol": "kubernetes.io/h2c"})
    labels = {**service["metadata"].get("labels", {}), "app": f"isvc.{name}", "component": "predictor"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "serin", "labels": labels, "ownerReferences": [_owner(service)]},
        "spec": {"selector": {"app": f"isvc.{name}"}, "ports": ports},
    }


def _owner(service: Mapping[str, Any]) -> Document:
    known = {key: service["metadata"][key] for key in ("name", "uid")}
    owner = {"apiVersion": service["apiVersion"], "kind": service["kind"], **known}
    return {**owner, "controller": True, "blockOwnerDeletion": True}


def _filled(service: Mapping[str, Any], container: Mapping[str, Any]) -> Document:
    if container["name"] != PREDICTOR:
        return dict(container)
    name, model = service["metadata"]["name"], service["spec"]["predictor"]["model"]
    args = [argument.replace("{{.Name}}", name) for argument in container.get("args", [])]
    known = {"name": "INFERENCE_SERVICE_NAME", "value": name}
    return {
        **container,
        "args": [*args, *model.get("args", [])],
        "env": [*container.get("env", []), *model.get("env", []), known],
        "resources": model.get("resources") or container.get("resources", {}),
        "volumeMounts": [*container.get("volumeMounts", []), {**_MODELS, "readOnly": True}],
    }


def _initializer(
    predictor: Mapping[str, Any], containers: Iterable[Mapping[str, Any]], secrets: Iterable[Mapping[str, Any]]
) -> Document:
    uri, asked = predictor["model"]["storageUri"], predictor.get("storageContainerName")
    merged = {
        **_PLAIN_INITIALIZER,
        **next((c["spec"]["container"] for c in containers if _is_for(c, asked, uri)), {}),
    }
    credentials = [variable for secret in secrets for variable in _credentials(secret)]
    return {
        **merged,
        "name": INITIALIZER,
        "args": [uri, _MODELS["mountPath"]],
        "env": [*credentials, *merged.get("env", [])],
        "volumeMounts": [*merged.get("volumeMounts", []), dict(_MODELS)],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _is_for(container: Mapping[str, Any], asked: str | None, uri: str) -> bool:
    """Whether a ClusterStorageContainer is the one that an InferenceService asks for, else that can read the URI."""
    spec = container["spec"]
    if asked or spec.get("workloadType", "initContainer") != "initContainer":
        return bool(container["metadata"]["name"] == asked)
    forms = spec["supportedUriFormats"]
    return any(uri.startswith(f["prefix"]) if "prefix" in f else re.match(f["regex"], uri) for f in forms)


def _credentials(secret: Mapping[str, Any]) -> list[Document]:
    """What KServe adds for a Secret of S3; the keys' names are those of its ConfigMap as it ships."""
    if "AWS_SECRET_ACCESS_KEY" not in secret.get("data", {}):
        return []
    name, said = secret["metadata"]["name"], secret["metadata"].get("annotations", {})
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    found: list[Document] = [{"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}} for key in keys]
    endpoint, region = said.get("serving.kserve.io/s3-endpoint"), said.get("serving.kserve.io/s3-region")
    if endpoint:
        https = said.get("serving.kserve.io/s3-usehttps", "1")
        found.append({"name": "S3_USE_HTTPS", "value": https})
        found.append({"name": "S3_ENDPOINT", "value": endpoint})
        found.append({"name": "AWS_ENDPOINT_URL", "value": f"{'http' if https == '0' else 'https'}://{endpoint}"})
    if region:
        found.append({"name": "AWS_DEFAULT_REGION", "value": region})
    return found
