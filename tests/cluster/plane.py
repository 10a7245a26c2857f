"""etcd, a kube-apiserver and the controllers that Serin's objects need, on the address of the tests' namespace."""

import os
import subprocess
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from serin.adapters.local import processes
from tests.cluster.api import ADDRESS, SERVER, Api, RefusedError, documents, kubeconfig
from tests.cluster.certificates import Authority, Pair
from tests.integration.serving_world import until
from tests.manifests import schemas

_CONTROLLERS = [
    f"{name}-controller"
    for name in (
        "deployment", "disruption", "endpointslice", "garbage-collector", "namespace", "replicaset",
        "root-ca-certificate-publisher", "serviceaccount", "statefulset",
    )
]  # fmt: skip
_AUDITED = ("serving.kserve.io", "networking.istio.io", "coordination.k8s.io", "autoscaling", "policy")


class UnavailableError(Exception):
    """This machine can't run a control plane as things are."""


@dataclass(frozen=True)
class Plane:
    """A running control plane: `api` is the administrator's connection, `admin` its kubeconfig."""

    folder: Path
    authority: Authority
    api: Api
    admin: Path

    @property
    def audit_log(self) -> Path:
        """One JSON event a line."""
        return self.folder / "audit.log"

    def user(self, account: str, namespace: str = "serin") -> Api:
        """A connection as a service account; the caller closes it."""
        return Api(self.authority.certificate, token=self.api.token(namespace, account))

    def kubeconfig(self, account: str, server: str = SERVER) -> Path:
        """A new kubeconfig file of a service account of namespace serin."""
        token = self.api.token("serin", account)
        path = self.folder / f"{account}-{uuid.uuid4().hex[:8]}.kubeconfig"
        return kubeconfig(path, self.authority.certificate, token, server)


def binary(name: str) -> Path:
    """A program that build.sh has built. Raises UnavailableError where it has not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "serin" / "cluster" / "bin" / name
    if not path.exists():
        raise UnavailableError(f"{path} is not there; `make cluster-test` builds it")
    return path


@contextmanager
def running(command: Sequence[object], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process until the end of the block; its output goes to `log`."""
    process = processes.spawn([str(part) for part in command], log, os.environ | variables, log.parent)
    try:
        yield process
    finally:
        # Nothing of it is kept, so there is nothing to wait for.
        processes.stop([process], grace=2)


@contextmanager
def control_plane(folder: Path, *controllers: str) -> Iterator[Plane]:
    """etcd and the API server, with the CRDs of Serin's surroundings, until the end of the block.

    `controllers` are run beside those that every test needs.
    """
    if os.environ.get("SERIN_CLUSTER_TEST") != ADDRESS:
        raise UnavailableError("these tests need a network namespace of their own; run `make cluster-test`")
    authority = Authority(folder / "certificates")
    with ExitStack() as stack:
        stack.enter_context(running(_etcd(folder), folder / "etcd.log"))
        hosts = [ADDRESS, "localhost", "127.0.0.1", "kubernetes.default.svc", "10.201.0.1"]
        process = stack.enter_context(
            running(_apiserver(folder, authority, authority.issue("apiserver", hosts=hosts)), folder / "apiserver.log")
        )
        admin = authority.issue("admin", "system:masters")
        api = Api(authority.certificate, pair=(admin.certificate, admin.key))
        stack.callback(api.close)
        until(lambda: process.poll() is not None or _ready(api), "the API server", 60)
        assert process.poll() is None, (folder / "apiserver.log").read_text()[-2000:]
        _define(api, _crd_files())
        config = certified_kubeconfig(folder / "admin.kubeconfig", authority, admin)
        stack.enter_context(running(_controllers(folder, authority, config, controllers), folder / "controllers.log"))
        yield Plane(folder, authority, api, config)


def _etcd(folder: Path) -> list[object]:
    url, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        binary("etcd"), "--data-dir", folder / "etcd", "--unsafe-no-fsync", "--log-level=warn",
        "--listen-client-urls", url, "--advertise-client-urls", url,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
    ]  # fmt: skip


def _apiserver(folder: Path, authority: Authority, server: Pair) -> list[object]:
    signing = authority.key_file("service-accounts")
    kubelets = authority.issue("apiserver-kubelet-client", "system:masters")
    policy = folder / "audit-policy.yaml"
    policy.write_text(yaml.safe_dump(_audit_policy()))
    return [
        binary("kube-apiserver"), "--etcd-servers=http://127.0.0.1:2379", "--authorization-mode=Node,RBAC",
        f"--bind-address={ADDRESS}", f"--advertise-address={ADDRESS}", "--secure-port=6443",
        f"--tls-cert-file={server.certificate}", f"--tls-private-key-file={server.key}",
        f"--client-ca-file={authority.certificate}", "--service-cluster-ip-range=10.201.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={signing}",
        f"--service-account-signing-key-file={signing}", "--allow-privileged=true",
        f"--kubelet-client-certificate={kubelets.certificate}", f"--kubelet-client-key={kubelets.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={policy}", f"--audit-log-path={folder / 'audit.log'}", "--audit-log-mode=blocking",
    ]  # fmt: skip


def _controllers(folder: Path, authority: Authority, config: Path, more: Sequence[str]) -> list[object]:
    return [
        binary("kube-controller-manager"), "--kubeconfig", config, "--leader-elect=false",
        f"--controllers={','.join([*_CONTROLLERS, *more])}", "--bind-address=127.0.0.1",
        f"--root-ca-file={authority.certificate}", f"--cert-dir={folder / 'controllers'}",
    ]  # fmt: skip


def _audit_policy() -> dict[str, object]:
    writes = ["create", "update", "patch", "delete", "deletecollection"]
    groups = [{"group": group} for group in _AUDITED]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "RequestResponse", "verbs": writes, "resources": groups, "namespaces": ["serin"]},
            {"level": "None", "users": ["admin", "system:apiserver"]},
            {"level": "Metadata"},
        ],
    }


def _ready(api: Api) -> bool:
    try:
        return api.request("GET", "/readyz").is_success
    except (httpx.TransportError, RefusedError):
        return False


def _crd_files() -> list[Path]:
    folder = schemas.folder()
    # Gateway API is off in these tests, as Serin uses none of it.
    found = [path for path in sorted(folder.glob("*.yaml")) if path.name != "gateway-api.yaml"]
    if not found:
        raise UnavailableError(f"{folder} holds no CRDs; `make crds` downloads them, SERIN_CRDS names another folder")
    return found


def _define(api: Api, files: Iterable[Path]) -> None:
    """Apply CRDs and wait until their kinds are served."""
    found = [document for path in files for document in documents(path.read_text(encoding="utf-8"))]
    defined = [document for document in found if document["kind"] == "CustomResourceDefinition"]
    for document in defined:
        api.apply(document)
    for document in defined:
        name = document["metadata"]["name"]
        until(lambda name=name: _established(api, name), f"CRD {name}", 30)


def _established(api: Api, name: str) -> bool:
    found = api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
    conditions = (found.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def certified_kubeconfig(path: Path, authority: Authority, user: Pair) -> Path:
    """Write the kubeconfig file of a user with a certificate."""
    kubeconfig(path, authority.certificate, "")
    written = yaml.safe_load(path.read_text())
    written["users"][0]["user"] = {"client-certificate": str(user.certificate), "client-key": str(user.key)}
    path.write_text(yaml.safe_dump(written))
    return path
