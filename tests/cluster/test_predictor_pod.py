"""The pod that KServe makes of Serin's documents, at the API server's admission, and what it says when it can't run."""

import pytest

from serin import deployments
from tests.cluster import kserve_pod
from tests.cluster.api import Document, RefusedError
from tests.cluster.kserve_pod import INITIALIZER
from tests.cluster.kserve_stand_in import RUNTIME
from tests.cluster.world import World
from tests.integration.serving_world import CASE, TEMPLATES


@pytest.fixture
def pod(world: World) -> Document:
    """What KServe makes of a filled template and of what is installed, but for the Service account's Secrets."""
    service = deployments.inference_service(CASE, 7, "s3://serin/models/7", TEMPLATES.inference_service)
    runtime = world.plane.api.get(RUNTIME, "ServingRuntime", "serin-predictor")
    containers = world.plane.api.list(RUNTIME, "ClusterStorageContainer")
    secret = world.plane.api.get("v1", "Secret", "serin-s3")
    return kserve_pod.pod(service, runtime, containers, [secret])


def test_the_pod_keeps_to_pod_security(world: World, pod: Document) -> None:
    world.plane.api.create(pod, dryRun="All")


@pytest.mark.parametrize("containers", ["containers", "initContainers"])
def test_the_pod_is_refused_where_a_container_has_no_security_context(
    world: World, pod: Document, containers: str
) -> None:
    (container,) = pod["spec"][containers]
    del container["securityContext"]
    refusal = f'violates PodSecurity "restricted:.*": allowPrivilegeEscalation != false .*{container["name"]}'
    with pytest.raises(RefusedError, match=refusal):
        world.plane.api.create(pod, dryRun="All")


def test_the_storage_initializer_that_kserve_ships_would_be_refused(world: World) -> None:
    service = deployments.inference_service(CASE, 7, "s3://serin/models/7", TEMPLATES.inference_service)
    runtime = world.plane.api.get(RUNTIME, "ServingRuntime", "serin-predictor")
    with pytest.raises(RefusedError, match=f"violates PodSecurity.*{INITIALIZER}"):
        world.plane.api.create(kserve_pod.pod(service, runtime, [], []), dryRun="All")


def test_the_service_account_gives_the_storage_initializer_its_credentials(pod: Document) -> None:
    (initializer,) = pod["spec"]["initContainers"]
    named = {variable["name"]: variable for variable in initializer["env"]}
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert named[key]["valueFrom"]["secretKeyRef"] == {"name": "serin-s3", "key": key}
