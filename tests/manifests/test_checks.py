"""The checks themselves: each finds the fault that is planted for it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.manifests import references, scene, schemas
from tests.manifests.rendering import ROOT, Document, render

Fault = Callable[[Document], Any]


def _one(documents: list[Document], kind: str, name: str) -> Document:
    found = [d for d in documents if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return next(d for d in found if d["metadata"].get("namespace") in ("serin", None))


def _container(document: Document) -> Document:
    found: Document = document["spec"]["template"]["spec"]["containers"][0]
    return found


def _set(*path: str | int, value: Any) -> Fault:
    def plant(document: Document) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return plant


WRONG_FIELDS = {
    "a misspelt field of a Deployment": (
        "Deployment",
        "mlflow",
        _set("spec", "replica", value=2),
        "'replica' was unex",
    ),
    "a misspelt field of a container": (
        "Deployment",
        "mlflow",
        lambda d: _container(d).update(readynessProbe={}),
        "'readynessProbe' was unexpected",
    ),
    "a number that is a text": ("StatefulSet", "redis", _set("spec", "replicas", value="one"), "'one' is not of type"),
    "a misspelt field of a CRD": (
        "ServingRuntime",
        "serin-predictor",
        _set("spec", "supportedModelFormat", value=[]),
        "'supportedModelFormat' was unexpected",
    ),
    "a misspelt field deep in a CRD": (
        "ServingRuntime",
        "serin-predictor",
        _set("spec", "containers", 0, "securityContext", "runAsNonroot", value=True),
        "spec.containers.0.securityContext: Additional properties are not allowed ('runAsNonroot'",
    ),
    "a misspelt field of a model version": (
        "InferenceService",
        "card-fraud-v1",
        _set("spec", "predictor", "serviceAccountname", value="x"),
        "'serviceAccountname' was unexpected",
    ),
    "a word that an enumeration lacks": (
        "PeerAuthentication",
        "default",
        _set("spec", "mtls", "mode", value="STRCT"),
        "'STRCT' is not one of",
    ),
    "a label that is none": ("Namespace", "serin", _set("metadata", "labels", "x", value="a b"), "'a b' is no label"),
    "a misspelt field of the metadata": (
        "Gateway",
        "serin",
        _set("metadata", "lables", value={}),
        "'lables' was unexpected",
    ),
    "a namespace of what has none": (
        "ClusterStorageContainer",
        "serin-storage-initializer",
        _set("metadata", "namespace", value="serin"),
        "the kind belongs to no namespace",
    ),
}

BROKEN_REFERENCES = {
    "another service account": (
        "Deployment",
        "mlflow",
        _set("spec", "template", "spec", "serviceAccountName", value="serin-mlflo"),
        "there is no ServiceAccount serin/serin-mlflo",
    ),
    "another secret key": (
        "Deployment",
        "mlflow",
        lambda d: _container(d)["env"][0]["valueFrom"]["secretKeyRef"].update(key="uri"),
        "Secret serin/serin-mlflow has no key uri; it has backend-store-uri",
    ),
    "another secret": (
        "StatefulSet",
        "redis",
        lambda d: _container(d)["env"][0]["valueFrom"]["secretKeyRef"].update(name="redis"),
        "there is no Secret serin/redis",
    ),
    "another key of a secret's volume": (
        "StatefulSet",
        "redis",
        lambda d: d["spec"]["template"]["spec"]["volumes"][0]["secret"]["items"][0].update(key="passwd"),
        "volume password: Secret serin/serin-redis has no key passwd",
    ),
    "a secret of a registry that nobody makes": (
        "ServiceAccount",
        "serin-mlflow",
        _set("imagePullSecrets", value=[{"name": "registry"}]),
        "ServiceAccount serin-mlflow: there is no Secret registry",
    ),
    "another key of the endpoints": (
        "ConfigMap",
        "serin-endpoints",
        lambda d: d["data"].pop("SERIN_STORAGE"),
        "ConfigMap serin/serin-endpoints has no key SERIN_STORAGE",
    ),
    "another port of an address": (
        "ConfigMap",
        "serin-endpoints",
        _set("data", "MLFLOW_TRACKING_URI", value="http://mlflow.serin.svc.cluster.local:5001"),
        "Service serin/mlflow has no port 5001; it has 5000",
    ),
    "another host of an address": (
        "ConfigMap",
        "serin-endpoints",
        _set("data", "AWS_ENDPOINT_URL", value="http://minio.serin.svc.cluster.local:9000"),
        "there is no Service serin/minio",
    ),
    "another target port": (
        "Service",
        "mlflow",
        _set("spec", "ports", 0, "targetPort", value=5001),
        "Service mlflow: Deployment mlflow opens no port 5001",
    ),
    "another selector": (
        "Service",
        "redis",
        _set("spec", "selector", value={"app": "redis"}),
        "Service redis: no pod has the labels",
    ),
    "a probe of another port": (
        "Deployment",
        "mlflow",
        lambda d: _container(d)["readinessProbe"]["httpGet"].update(port=8080),
        "readinessProbe asks port 8080, which it does not open",
    ),
    "a volume that is not mounted from anywhere": (
        "Deployment",
        "mlflow",
        lambda d: d["spec"]["template"]["spec"].pop("volumes"),
        "mounts tmp, no volume of the pod",
    ),
    "a right for nobody": (
        "RoleBinding",
        "serin-rollout",
        _set("subjects", 0, "name", value="serin-rolout"),
        "RoleBinding serin-rollout: there is no ServiceAccount kubeflow/serin-rolout",
    ),
    "a binding of no role": (
        "RoleBinding",
        "serin-leases",
        _set("roleRef", "name", value="leases"),
        "there is no Role leases",
    ),
    "a runtime that is not there": (
        "InferenceService",
        "card-fraud-v1",
        _set("spec", "predictor", "model", "runtime", value="predictor"),
        "there is no ServingRuntime predictor",
    ),
    "a format that the runtime lacks": (
        "InferenceService",
        "card-fraud-v1",
        _set("spec", "predictor", "model", "modelFormat", "name", value="sklearn"),
        "serin-predictor does not know the format sklearn",
    ),
    "an address without a scheme": (
        "InferenceService",
        "card-fraud-v1",
        _set("spec", "predictor", "model", "storageUri", value="serin/models/1"),
        "serin-storage-initializer does not fetch serin/models/1",
    ),
    "an autoscaler of nothing": (
        "HorizontalPodAutoscaler",
        "card-fraud-v2",
        _set("spec", "scaleTargetRef", "name", value="card-fraud-v2"),
        "there is no Deployment card-fraud-v2",
    ),
    "a budget of nothing": (
        "PodDisruptionBudget",
        "card-fraud-v2",
        _set("spec", "selector", "matchLabels", value={"app": "card-fraud-v2"}),
        "PodDisruptionBudget card-fraud-v2: its selector means no pod",
    ),
    "traffic for another port": (
        "VirtualService",
        "card-fraud",
        _set("spec", "http", 0, "route", 0, "destination", "port", "number", value=8082),
        "Service serin/card-fraud-v1-predictor has no port 8082; it has 80, 8081",
    ),
    "another gateway": (
        "VirtualService",
        "card-fraud",
        _set("spec", "gateways", value=["gateway"]),
        "there is no Gateway gateway",
    ),
    "a host that the gateway does not take": (
        "VirtualService",
        "card-fraud",
        _set("spec", "hosts", value=["card-fraud.example.com"]),
        "Gateway serin does not take card-fraud.example.com",
    ),
    "a rule for another host": (
        "DestinationRule",
        "predictors",
        _set("spec", "host", value="*-predictors.serin.svc.cluster.local"),
        "no Service is called *-predictors.serin",
    ),
    "metrics for another account": (
        "AuthorizationPolicy",
        "metrics",
        _set("spec", "rules", 0, "from", 0, "source", "principals", value=["cluster.local/ns/monitoring/sa/prom"]),
        "there is no ServiceAccount monitoring/prom",
    ),
    "metrics of another port": (
        "ServiceMonitor",
        "serin-predictors",
        _set("spec", "endpoints", 0, "targetPort", value=9090),
        "opens no port 9090",
    ),
    "a network policy of another port": (
        "NetworkPolicy",
        "mlflow",
        _set("spec", "ingress", 0, "ports", 0, "port", value=5001),
        "NetworkPolicy mlflow: ingress: Deployment mlflow opens no port 5001",
    ),
    "a network policy that means nobody": (
        "NetworkPolicy",
        "predictors",
        _set("spec", "ingress", 0, "from", 0, "podSelector", value={"matchLabels": {"istio": "gateway"}}),
        "no pod is meant by",
    ),
    "a way in without a way out": (
        "NetworkPolicy",
        "predictors-to-redis",
        _set("spec", "egress", value=[]),
        "the policies of Deployment card-fraud-v1-predictor do not let egress of port 6379 through",
    ),
}


@pytest.mark.parametrize("fault", WRONG_FIELDS)
def test_wrong_field_is_found(fault: str):
    kind, name, plant, told = WRONG_FIELDS[fault]
    document = _one(scene.of("dev"), kind, name)
    plant(document)
    try:
        (problem,) = schemas.problems(document)
    except schemas.NoSchemaError as error:
        pytest.skip(str(error))
    assert told in problem


@pytest.mark.parametrize("fault", BROKEN_REFERENCES)
def test_broken_reference_is_found(fault: str):
    kind, name, plant, told = BROKEN_REFERENCES[fault]
    documents = scene.of("dev")
    plant(_one(documents, kind, name))
    assert any(told in problem for problem in references.problems(documents)), references.problems(documents)


def test_missing_certificate_is_found():
    documents = [d for d in scene.of("production") if d["metadata"]["name"] != "serin-gateway-tls"]
    assert references.problems(documents) == ["Gateway serin: there is no Secret istio-ingress/serin-gateway-tls"]


def test_credentials_of_another_key_are_found():
    documents = scene.of("production")
    launcher = next(d for d in documents if d["kind"] == "ConfigMap" and "providers" in d.get("data", {}))
    launcher["data"]["providers"] = launcher["data"]["providers"].replace("AWS_ACCESS_KEY_ID", "accesskey")
    assert references.problems(documents) == ["ConfigMap kfp-launcher: Secret serin-s3 has no key accesskey"]


def test_kind_that_no_release_of_kubernetes_has_is_found():
    document = {"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": "old"}, "spec": {}}
    assert "Kubernetes 1.34 has no PodSecurityPolicy in policy/v1beta1" in schemas.problems(document)[0]


def test_crd_that_is_not_here_says_how_to_get_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERIN_CRDS", str(tmp_path))
    with pytest.raises(schemas.NoSchemaError, match=r"no CRD of Gateway networking\.istio\.io/v1 .*; `make crds`"):
        schemas.problems(copy.deepcopy(_one(scene.of("dev"), "Gateway", "serin")))


def test_a_warning_of_kustomize_is_an_error(tmp_path: Any):
    base = ROOT / "manifests" / "base"
    (tmp_path / "config.yaml").write_text((base / "network" / "deny.yaml").read_text())
    (tmp_path / "kustomization.yaml").write_text("resources: [config.yaml]\ncommonLabels: {a: b}\n")
    with pytest.raises(AssertionError, match="commonLabels"):
        render(tmp_path)
