"""One control plane with a node for all tests here; `make cluster-test-node` runs them in namespaces of their own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from infra.images import name_of, revision
from tests import services
from tests.cluster import installation
from tests.cluster.api import ADDRESS
from tests.cluster.installation import Stores
from tests.cluster.node.images import Images
from tests.cluster.node.kubelet import Node, node
from tests.cluster.node.runtime import containerd
from tests.cluster.plane import UnavailableError, control_plane
from tests.cluster.world import World, installed

_CONTROLLERS = ("node-lifecycle-controller", "statefulset-controller", "persistentvolume-binder-controller")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Serin's overlay on a control plane with a node, with no model served."""
    try:
        with _made(tmp_path_factory.mktemp("plane")) as world:
            yield world
    except UnavailableError as error:
        pytest.exit(str(error), returncode=1)


@contextmanager
def _made(folder: Path) -> Iterator[World]:
    archives = _archives(folder)
    with ExitStack() as stack:
        redis, postgres = (stack.enter_context(made(ADDRESS)) for made in (services.redis, services.postgres))
        plane = stack.enter_context(control_plane(folder, *_CONTROLLERS))
        runtime = stack.enter_context(containerd(folder / "containerd"))
        for archive in archives:
            runtime.load(archive)
        (folder / "node").mkdir()
        stack.enter_context(node(plane, folder / "node"))
        yield stack.enter_context(installed(plane, Node(plane.api), Stores(redis, postgres)))


def _archives(folder: Path) -> list[Path]:
    """Every image that a pod of the tests may ask for, under the name that it is asked for."""
    images = Images(folder)
    for target, commit in images.built().items():
        if commit != revision():
            print(f"serin-{target} is an image of commit {commit}, this checkout is {revision()}")
    # Of `staging`, which has Redis in the cluster.
    found = installation.rendered("staging")
    redis, fetching = (
        next(document["spec"] for document in found if document["kind"] == kind)
        for kind in ("StatefulSet", "ClusterStorageContainer")
    )
    runtime, mlflow = (
        next(document["spec"] for document in installation.rendered("production") if document["kind"] == kind)
        for kind in ("ServingRuntime", "Deployment")
    )
    initializer_image, redis_image = images.fetched()
    wanted = {
        f"localhost/{name_of('predictor')}": runtime["containers"][0]["image"],
        f"localhost/{name_of('pipeline')}": mlflow["template"]["spec"]["containers"][0]["image"],
        redis_image: redis["template"]["spec"]["containers"][0]["image"],
        initializer_image: f"docker.io/{fetching['container']['image']}",
        (pause := images.pause()): pause,
    }
    return [images.archive(name, name_in_pods) for name, name_in_pods in wanted.items()]
