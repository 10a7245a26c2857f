"""Serin on the control plane: everything that the tests share, and a client of the gateway."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pyarrow import fs

from serin import deployments
from tests import services
from tests.cluster import installation, istio, tokens
from tests.cluster.api import ADDRESS, Document
from tests.cluster.installation import Stores
from tests.cluster.kserve_stand_in import SERVING, Node, attended
from tests.cluster.node_stand_in import NodeStandIn
from tests.cluster.plane import Plane, control_plane
from tests.cluster.tokens import Issuer
from tests.integration.serving_world import CASE, TEMPLATES, until

NO_STORES = Stores()
ISTIO = "networking.istio.io/v1"


@dataclass(frozen=True)
class World:
    """The control plane with Serin's overlay, the object store `s3` (its variables) and what runs on it."""

    plane: Plane
    node: Node
    s3: dict[str, str]
    issuer: Issuer

    def files(self) -> fs.S3FileSystem:
        """The object store."""
        return fs.S3FileSystem(
            access_key=self.s3["AWS_ACCESS_KEY_ID"],
            secret_key=self.s3["AWS_SECRET_ACCESS_KEY"],
            endpoint_override=self.s3["AWS_ENDPOINT_URL"],
            region=self.s3["AWS_DEFAULT_REGION"],
        )

    def store(self, artifact: Path, version: int) -> str:
        """Put a model artifact where the cluster finds it; returns its URI."""
        place = f"serin/models/{CASE.model_name}/{version}"
        fs.copy_files(str(artifact), place, destination_filesystem=self.files())
        return f"s3://{place}"

    def apply(self, version: int, uri: str) -> str:
        """Apply the InferenceService of a version; returns its name."""
        document = deployments.inference_service(CASE, version, uri, TEMPLATES.inference_service)
        return str(self.plane.api.apply(document)["metadata"]["name"])

    def address(self, name: str) -> str:
        """Where the predictor of an InferenceService answers HTTP by itself."""
        (pod,) = [pod for pod in list(self.node.pods.values()) if pod.name.startswith(f"{name}-predictor")]
        return f"http://{pod.address}:8080"

    def await_ready(self, name: str) -> None:
        """Wait until an InferenceService is ready. AssertionError: a container of it has failed."""

        def settled() -> bool:
            status = self.status(name)
            failure = (status.get("modelStatus") or {}).get("lastFailureInfo")
            assert not failure, failure
            return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))

        until(settled, f"{name} ready", 120)

    def status(self, name: str) -> Document:
        """The status of an InferenceService."""
        return self.plane.api.get(SERVING, "InferenceService", name).get("status", {})

    def remove(self, *names: str) -> None:
        """Delete the VirtualService, if it is there, and InferenceServices, with all that was made of them."""
        self.plane.api.delete(ISTIO, "VirtualService", CASE.model_name)
        self.delete(*names)

    def delete(self, *names: str) -> None:
        """Delete InferenceServices, with all that was made of them."""
        for name in names:
            self.plane.api.delete(SERVING, "InferenceService", name)
        until(lambda: not self._left(names), f"the end of {names}", 60)

    def _left(self, names: tuple[str, ...]) -> bool:
        gone = {f"{name}-predictor" for name in names}
        slices = self.plane.api.list("v1", "Service")
        return any(found["metadata"]["name"] in gone for found in slices) or any(
            process.name.startswith(tuple(gone)) for process in list(self.node.pods.values())
        )


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Everything, with a stand-in for the node, until the end of the block."""
    with control_plane(folder) as plane:
        node = NodeStandIn(plane.api, folder / "node", services.workspace_copy(folder / "workspace"))
        with installed(plane, node) as made:
            yield made


@contextmanager
def installed(plane: Plane, node: Node, stores: Stores = NO_STORES) -> Iterator[World]:
    """What Serin's overlay needs and the overlay itself, on a control plane and a node, until the end of the block."""
    with ExitStack() as stack:
        stack.enter_context(istio.istiod(plane))
        s3, issuer = stack.enter_context(services.s3("serin", ADDRESS)), stack.enter_context(tokens.issuer())
        pair = plane.authority.issue("gateway", hosts=["*.serin.internal"])
        found = installation.rendered("production")
        installation.neighbours(plane.api, found)
        endpoints = {key: s3[key] for key in ("AWS_ENDPOINT_URL", "FEAST_S3_ENDPOINT_URL", "AWS_DEFAULT_REGION")}
        for document in found:
            plane.api.apply(installation.here(document, {**endpoints, "SERIN_STORAGE": "s3://serin"}, issuer.keys))
        endpoint = urlsplit(s3["AWS_ENDPOINT_URL"]).netloc
        installation.secrets(plane.api, endpoint, pair.certificate.read_bytes(), pair.key.read_bytes(), stores)
        stack.enter_context(istio.gateway(plane))
        stack.enter_context(attended(plane.api, node))
        yield World(plane, node, s3, issuer)
