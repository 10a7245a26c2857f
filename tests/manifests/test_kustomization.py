"""References within manifests/base, without kubectl."""

from pathlib import Path
from typing import Any

import yaml

from serin.adapters import templates

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "manifests" / "base"


def _documents() -> list[dict[str, Any]]:
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [yaml.safe_load((BASE / name).read_text()) for name in names]


def _named(kind: str) -> set[str]:
    return {document["metadata"]["name"] for document in _documents() if document["kind"] == kind}


def test_kustomization_lists_every_file_of_the_base() -> None:
    listed = set(yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"])
    assert listed == {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}


def test_serving_runtime_refers_to_things_of_the_base() -> None:
    spec = templates.load(ROOT).serving_runtime["spec"]
    (container,) = spec["containers"]
    assert {source["configMapRef"]["name"] for source in container["envFrom"]} <= _named("ConfigMap")
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}


def test_serving_runtime_runs_unprivileged_on_a_read_only_root() -> None:
    (container,) = templates.load(ROOT).serving_runtime["spec"]["containers"]
    context = container["securityContext"]
    assert context["runAsNonRoot"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert set(container["resources"]) == {"requests", "limits"}


def test_images_have_a_version() -> None:
    for container in templates.load(ROOT).serving_runtime["spec"]["containers"]:
        assert container["image"].partition(":")[2] not in ("", "latest")


def test_inference_service_names_the_runtime_and_its_format() -> None:
    model = templates.load(ROOT).inference_service["spec"]["predictor"]["model"]
    assert model["runtime"] in _named("ServingRuntime")
    runtime = templates.load(ROOT).serving_runtime["spec"]
    assert model["modelFormat"]["name"] in {form["name"] for form in runtime["supportedModelFormats"]}
    assert model["protocolVersion"] in runtime["protocolVersions"]


def test_virtual_service_uses_the_gateway_and_the_ports_of_the_runtime() -> None:
    loaded = templates.load(ROOT)
    gateway = yaml.safe_load((ROOT / "istio" / "gateway.yaml").read_text())
    assert loaded.virtual_service["spec"]["gateways"] == [gateway["metadata"]["name"]]
    (hosts,) = [server["hosts"] for server in gateway["spec"]["servers"]]
    assert all(host.endswith(hosts[0].removeprefix("*")) for host in loaded.virtual_service["spec"]["hosts"])
    # KServe's Service: the container's first port becomes 80, the others keep their number.
    ports = [port["containerPort"] for port in loaded.serving_runtime["spec"]["containers"][0]["ports"]]
    named = {route["route"][0]["destination"]["port"]["number"] for route in loaded.virtual_service["spec"]["http"]}
    assert named == {80, *ports[1:]}
