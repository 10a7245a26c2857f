"""What the serving target tells of versions that can't get ready, from what the controllers really leave behind."""

import copy
import re
from collections.abc import Callable, Iterator

import pytest

from serin import deployments
from serin.adapters.cluster.api import Api
from serin.adapters.cluster.serving import KubernetesServing
from serin.ports import Status
from tests.cluster.api import Document
from tests.cluster.kserve_stand_in import RUNTIME
from tests.cluster.world import World
from tests.factories import make_artifact
from tests.integration.serving_world import CASE, TEMPLATES, until

NAME = f"{CASE.model_name}-v9"
Change = Callable[[Document], None]


@pytest.fixture(scope="module")
def artifact(world: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a sound artifact."""
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder)
    return world.store(folder, 9)


@pytest.fixture
def target(world: World) -> Iterator[KubernetesServing]:
    """The serving target as a rollout has it, by the rights of `serin-rollout`."""
    yield KubernetesServing(Api("serin", world.plane.kubeconfig("serin-rollout")), CASE.model_name)
    world.delete(NAME)


def told(target: KubernetesServing, uri: str, change: Change) -> Status:
    """The first status that says more than that it is starting."""
    document = copy.deepcopy(deployments.inference_service(CASE, 9, uri, TEMPLATES.inference_service))
    change(document["spec"]["predictor"])
    target.create(document)

    def settled() -> Status | None:
        status = target.status(NAME)
        is_starting = status.message.startswith(("KServe's controller has not", "IngressReady is"))
        return None if is_starting else status

    found: Status = until(settled, "a status", 90)
    return found


def _of_model(key: str, value: object) -> Change:
    return lambda predictor: predictor["model"].update({key: value})


def _nothing(_: Document) -> None:
    """As the template has it."""


def test_a_version_that_starts_is_ready(target: KubernetesServing, artifact: str) -> None:
    status = told(target, artifact, _nothing)
    assert (status.ready, status.failed, status.restarts) == (True, False, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_of_model("runtime", "unheard-of"), "RuntimeNotRecognized: Waiting for runtime to become available"),
        (_of_model("modelFormat", {"name": "onnx"}), "NoSupportingRuntime: Specified runtime does not support"),
        (_of_model("protocolVersion", "grpc-v1"), "NoSupportingRuntime: .* protocol version"),
    ],
    ids=["runtime", "format", "protocol"],
)
def test_a_document_that_kserve_can_not_follow_is_told_at_once(
    target: KubernetesServing, artifact: str, change: Change, message: str
) -> None:
    status = told(target, artifact, change)
    assert status.failed
    assert re.search(message, status.message)


def test_a_lost_artifact_is_told_with_what_the_storage_initializer_said(
    target: KubernetesServing, world: World
) -> None:
    status = told(target, "s3://serin/models/lost", _nothing)
    assert (status.ready, status.failed) == (False, False)
    assert "s3://serin/models/lost: Failed to fetch model" in status.message
    until(lambda: target.status(NAME).restarts >= 2, "another try", 30)


def test_a_predictor_without_credentials_is_told(target: KubernetesServing, artifact: str) -> None:
    status = told(target, artifact, lambda predictor: predictor.pop("serviceAccountName"))
    assert "Unable to locate credentials" in status.message


def test_a_secret_that_is_not_there_is_told_as_lasting(target: KubernetesServing, artifact: str, world: World) -> None:
    runtime = world.plane.api.get(RUNTIME, "ServingRuntime", "serin-predictor")
    runtime["metadata"] = {"name": "astray", "namespace": "serin"}
    runtime["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "unheard-of"}}]
    world.plane.api.apply(runtime)
    try:
        status = told(target, artifact, _of_model("runtime", "astray"))
    finally:
        world.plane.api.delete(RUNTIME, "ServingRuntime", "astray")
    assert status.failed
    assert 'CreateContainerConfigError: 404: secrets "unheard-of" not found' in status.message


def test_pods_that_pod_security_refuses_are_told_as_lasting(
    target: KubernetesServing, artifact: str, world: World
) -> None:
    runtime = world.plane.api.get(RUNTIME, "ServingRuntime", "serin-predictor")
    runtime["metadata"] = {"name": "astray", "namespace": "serin"}
    del runtime["spec"]["containers"][0]["securityContext"]
    world.plane.api.apply(runtime)
    try:
        status = told(target, artifact, _of_model("runtime", "astray"))
    finally:
        world.plane.api.delete(RUNTIME, "ServingRuntime", "astray")
    assert status.failed
    assert "its pods are refused" in status.message
    assert "violates PodSecurity" in status.message
