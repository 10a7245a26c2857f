"""kube-scheduler, kubelet and kube-proxy beside the control plane: a node that runs pods as containers."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.api import ADDRESS, Api
from tests.cluster.node.runtime import SOCKET
from tests.cluster.plane import Plane, binary, certified_kubeconfig, running
from tests.integration.serving_world import until

NAME = "node"
_PREDICTORS = {"labelSelector": "serving.kserve.io/inferenceservice"}


@dataclass(frozen=True)
class Pod:
    """A pod that has an address."""

    name: str
    address: str


class Node:
    """The pods of InferenceServices, which run by themselves."""

    def __init__(self, api: Api) -> None:
        self._api = api

    @property
    def pods(self) -> Mapping[str, Pod]:
        """By UID."""
        found = self._api.request("GET", "/api/v1/namespaces/serin/pods", params=_PREDICTORS).json()["items"]
        return {pod["metadata"]["uid"]: Pod(pod["metadata"]["name"], pod["status"].get("podIP", "")) for pod in found}

    def step(self) -> None:
        """The kubelet does what is due."""

    def close(self) -> None:
        """They end with the container runtime."""


@contextmanager
def node(plane: Plane, folder: Path) -> Iterator[None]:
    """A node that is ready, until the end of the block."""
    # Without a route nothing asks kube-proxy's rules for the address of a Service.
    subprocess.run(["ip", "route", "add", "10.201.0.0/16", "dev", "lo"], check=True)
    with ExitStack() as stack:
        stack.enter_context(running(_scheduler(plane, folder), folder / "scheduler.log"))
        stack.enter_context(running(_proxy(plane), folder / "proxy.log"))
        process = stack.enter_context(running(_kubelet(plane, folder), folder / "kubelet.log"))
        until(lambda: process.poll() is not None or _is_ready(plane.api), "the node", 90)
        assert process.poll() is None, (folder / "kubelet.log").read_text()[-3000:]
        yield


def _scheduler(plane: Plane, folder: Path) -> list[object]:
    return [
        binary("kube-scheduler"), "--kubeconfig", plane.admin, "--leader-elect=false", "--bind-address=127.0.0.1",
        f"--cert-dir={folder / 'scheduler'}",
    ]  # fmt: skip


def _proxy(plane: Plane) -> list[object]:
    """Services get their addresses; limits of the kernel's connection table, which is everybody's, stay as they are."""
    return [
        binary("kube-proxy"), "--kubeconfig", plane.admin, "--proxy-mode=iptables", "--hostname-override", NAME,
        "--masquerade-all", "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0", "--bind-address=127.0.0.1",
        "--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249",
    ]  # fmt: skip


def _kubelet(plane: Plane, folder: Path) -> list[object]:
    pair = plane.authority.issue(f"system:node:{NAME}", "system:nodes")
    config = folder / "kubelet.yaml"
    config.write_text(yaml.safe_dump(_config(plane, folder)))
    return [
        binary("kubelet"), "--config", config, "--hostname-override", NAME, "--node-ip", ADDRESS,
        "--kubeconfig", certified_kubeconfig(folder / "kubelet.kubeconfig", plane.authority, pair),
        "--root-dir", folder / "kubelet", "--cert-dir", folder / "kubelet-certificates",
    ]  # fmt: skip


def _config(plane: Plane, folder: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(plane.authority.certificate)}},
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "cgroupDriver": "cgroupfs",
        # Cgroups of version 1 are what many a test machine has.
        "failCgroupV1": False,
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "podLogsDir": str(folder / "pods"),
        # No name server: pods are told addresses.
        "resolvConf": "",
        # A full disk is the machine's matter, not the tests'.
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
    }


def _is_ready(api: Api) -> bool:
    nodes = api.list("v1", "Node")
    conditions = [c for node in nodes for c in node.get("status", {}).get("conditions", [])]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
