"""README.md says what is so: the drawing as the NetworkPolicies have it, the Secrets, the releases."""

import itertools
import re
from collections.abc import Iterator

import yaml

from tests.manifests import network, scene
from tests.manifests.index import Index, Pod
from tests.manifests.rendering import OVERLAYS, ROOT, Document, overlay

COMPONENT = "app.kubernetes.io/component"
NAMED = {
    "k8s-app": "dns",
    "istio": "gateway",
    "app.kubernetes.io/name": "prometheus",
    "workflows.argoproj.io/workflow": "task",
}


def _role(pod: Pod) -> str:
    """What the README calls a pod."""
    if pod.labels.get("app") == "istiod":
        return "istiod"
    return pod.labels.get(COMPONENT) or next(name for label, name in NAMED.items() if label in pod.labels)


def _allowed(name: str) -> Iterator[tuple[str, str, str]]:
    """From, to and port of each call that a NetworkPolicy of an overlay allows."""
    index = Index(scene.of(name))
    for policy in index.of("NetworkPolicy"):
        own = index.selected(policy["spec"]["podSelector"], ["serin"])
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, []):
                ports = [str(port["port"]) for port in rule.get("ports", [{"port": "any"}])]
                far = {role for peer in rule.get(side, []) for role in _far(index, peer)}
                for near, there, port in itertools.product({_role(pod) for pod in own}, far, ports):
                    yield (near, there, port) if direction == "egress" else (there, near, port)


def _far(index: Index, peer: Document) -> set[str]:
    if "ipBlock" in peer:
        return {"outside"}
    if "podSelector" not in peer:
        return set(index.namespaces(peer["namespaceSelector"]))
    return {_role(pod) for pod in network.peers(index, "serin", peer)}


def test_readme_draws_what_the_network_policies_allow():
    text = (ROOT / "manifests" / "README.md").read_text(encoding="utf-8").partition("## Who talks to whom")[2]
    drawn = set(re.findall(r"^\| ([a-z0-9]+) \| ([a-z0-9]+) \| (\d+|any) \|", text, re.MULTILINE))
    allowed = {edge for name in OVERLAYS for edge in _allowed(name) if edge[1] != "dns"}
    assert drawn == allowed


def test_readme_and_kind_name_the_releases_that_are_pinned():
    pinned = dict(
        line.split("=") for line in (ROOT / "infra/upstream/versions.env").read_text().splitlines() if "=" in line
    )
    text = (ROOT / "manifests" / "README.md").read_text(encoding="utf-8")
    missing = [
        name for name, release in pinned.items() if release.removesuffix(".0") not in text and name != "KUBERNETES"
    ]
    assert missing == []
    assert f"kindest/node:{pinned['KUBERNETES']}@sha256:" in (ROOT / "infra/kind/cluster.yaml").read_text()
    assert f"?ref={pinned['KFP']}" in (ROOT / "infra/upstream/kubeflow/kustomization.yaml").read_text()


def test_readme_declares_the_secrets_that_overlays_name_and_no_other():
    text = yaml.safe_dump_all(document for name in OVERLAYS for document in overlay(name))
    named = re.findall(r"(?:credentialName|secretName): (serin-[\w-]+)", text)
    for reference in ("secretKeyRef", "secretRef"):
        named += re.findall(rf"{reference}:\n(?: +key: .*\n)? +name: (serin-[\w-]+)", text)
    named += re.findall(r"imagePullSecrets:\n *- name: (serin-[\w-]+)", text)
    assert set(named) == {secret["metadata"]["name"] for secret in scene.declared_secrets()}
