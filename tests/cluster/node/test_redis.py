"""Redis as an overlay deploys it, as a pod on a volume of the node."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.cluster import installation
from tests.cluster.api import Document
from tests.cluster.node.kubelet import NAME
from tests.cluster.world import World
from tests.integration.serving_world import until

PASSWORD = "test"  # noqa: S105  as installation.secrets has it


@pytest.fixture(scope="module")
def address(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The ClusterIP of the Service, once Redis is ready."""
    api = world.plane.api
    api.apply(_volume(tmp_path_factory.mktemp("redis")))
    found = [one for one in installation.rendered("staging") if one["metadata"]["name"] == "redis"]
    documents = [one for one in found if one["kind"] in ("Service", "StatefulSet")]
    for document in documents:
        api.apply(document)
    until(lambda: _is_ready(world), "Redis", 120)
    yield str(api.get("v1", "Service", "redis")["spec"]["clusterIP"])
    api.delete("apps/v1", "StatefulSet", "redis")


def _volume(folder: Path) -> Document:
    """What a cluster's storage class would make for the claim."""
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NAME]}]}]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "redis"},
        "spec": {
            "capacity": {"storage": "5Gi"},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    }


def _is_ready(world: World) -> bool:
    status = world.plane.api.get("apps/v1", "StatefulSet", "redis").get("status", {})
    return status.get("readyReplicas") == 1


def _client(address: str, password: str = PASSWORD) -> "redis.Redis":
    return redis.Redis(address, password=password, socket_timeout=5)


def test_what_was_written_outlives_the_pod(world: World, address: str) -> None:
    with _client(address) as client:
        client.set("customer", "7")
    before = world.plane.api.get("v1", "Pod", "redis-0")["metadata"]["uid"]
    world.plane.api.delete("v1", "Pod", "redis-0")

    def another() -> bool:
        pods = [one for one in world.plane.api.list("v1", "Pod") if one["metadata"]["name"] == "redis-0"]
        return [one["metadata"]["uid"] for one in pods] != [before] and _is_ready(world)

    until(another, "Redis after its pod", 120)
    with _client(address) as client:
        assert client.get("customer") == b"7"


def test_nobody_gets_in_without_the_password(address: str) -> None:
    with _client(address, "wrong") as client, pytest.raises(redis.AuthenticationError):
        client.ping()
