"""Files of manifests/ and istio/: each is listed where it stands, ships with the wheel, and says what is so."""

import configparser
import fnmatch
import os
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from predictors.metrics import Metrics
from tests.manifests import scene
from tests.manifests.rendering import ROOT, overlay, render

KUSTOMIZATIONS = sorted((*ROOT.glob("manifests/**/kustomization.yaml"), *ROOT.glob("istio/**/kustomization.yaml")))
# Filled by serin/deployments.py, and no Kustomize input.
TEMPLATES = {"istio/virtualservice.yaml"}


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_kustomization_lists_every_file_of_its_folder(path: Path):
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    listed = {*said.get("resources", []), *(patch["path"] for patch in said.get("patches", []) if "path" in patch)}
    there = {file.name for file in path.parent.glob("*.yaml") if str(file.relative_to(ROOT)) not in TEMPLATES}
    assert there - {path.name} == {name for name in listed if name.endswith(".yaml")}


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_kustomization_uses_no_deprecated_field(path: Path):
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert not said.keys() & {"bases", "commonLabels", "imageTags", "patchesJson6902", "patchesStrategicMerge", "vars"}


def test_wheel_brings_every_file_that_serin_init_copies():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = [pattern for value in setup["options.data_files"].values() for pattern in value.split(", ")]
    files = [path.relative_to(ROOT) for part in ("manifests", "istio") for path in (ROOT / part).rglob("*.yaml")]
    # One entry a folder: a wheel's data files lie in the folder that their entry names.
    folders = {Path(pattern.strip()).parent for pattern in patterns}
    assert [str(path) for path in files if path.parent not in folders] == []
    assert all(any(fnmatch.fnmatch(str(path), pattern.strip()) for pattern in patterns) for path in files)


def test_alerts_ask_for_metrics_that_predictors_have():
    registry = CollectorRegistry()
    Metrics("m", "1", "m-v1", registry, categories=["colour"])
    there = {sample.name for family in registry.collect() for sample in family.samples}
    (rules,) = (document for document in overlay("dev") if document["kind"] == "PrometheusRule")
    text = " ".join(rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"])
    assert set(re.findall(r"model_\w+(?=\W)", text)) - {"model_version"} <= there


def test_setting_of_retries_reaches_the_argo_that_kfp_brings(tmp_path: Path):
    """The ConfigMap stands for KFP's own installation, which is not to be had here."""
    (tmp_path / "argo.yaml").write_text(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: workflow-controller-configmap, namespace: kubeflow},"
        " data: {executor: kept}}"
    )
    settings = os.path.relpath(ROOT / "manifests" / "kubeflow", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(f"resources: [argo.yaml]\ncomponents: [{settings}]\n")
    (config,) = render(tmp_path)
    assert config["data"]["executor"] == "kept"
    strategy = yaml.safe_load(config["data"]["workflowDefaults"])["spec"]["templateDefaults"]["retryStrategy"]
    assert strategy == {"limit": "0", "retryPolicy": "Always"}


def test_endpoints_are_the_variables_that_serin_reads():
    said = (ROOT / "serin" / "environment.py").read_text(encoding="utf-8")
    (config,) = (
        document
        for document in overlay("production")
        if document["kind"] == "ConfigMap" and document["metadata"]["name"] == "serin-endpoints"
    )
    own = {key for key in config["data"] if key.startswith(("SERIN_", "MLFLOW_"))}
    assert {key for key in own if key not in said} == set()


def test_pods_have_the_time_to_end_that_the_predictor_takes():
    from predictors.edge.grpc import CONNECTION_SECONDS
    from predictors.edge.kserve import GRACE_SECONDS
    from predictors.edge.server import DRAIN_SECONDS
    from predictors.log.limits import Limits
    from predictors.tracing import CLOSE_SECONDS

    (runtime,) = (document for document in overlay("dev") if document["kind"] == "ServingRuntime")
    pause = runtime["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    given = scene.TEMPLATES.inference_service["spec"]["predictor"]["terminationGracePeriodSeconds"]
    assert given > pause + DRAIN_SECONDS + GRACE_SECONDS + Limits().close_seconds + CLOSE_SECONDS
    # A gRPC caller is sent away in time, which gRPC makes a tenth later at most.
    assert pause + DRAIN_SECONDS > 1.1 * CONNECTION_SECONDS
