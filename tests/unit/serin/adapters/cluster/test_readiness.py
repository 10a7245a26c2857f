"""What is said of a deployment, from the documents that KServe, Kubernetes and the kubelet write."""

from typing import Any

import pytest

from serin.adapters.cluster.readiness import readiness, ready_since
from tests.cluster_scenarios import failing, ready

NAME = "card-fraud-v2"


def _service(status: dict[str, Any] | None, generation: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": NAME, "generation": generation}, "status": status}


def _waiting(**more: Any) -> dict[str, Any]:
    conditions = [
        {"type": "PredictorReady", "status": "False", "reason": "MinimumReplicasUnavailable", "message": "no replica"},
        {"type": "IngressReady", "status": "True"},
        {"type": "Ready", "status": "False", "reason": "MinimumReplicasUnavailable"},
    ]
    return _service({"conditions": conditions, **more})


def _pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p"},
        "status": {"containerStatuses": list(containers), "initContainerStatuses": list(init), **status},
    }


def _container(name: str = "kserve-container", restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": restarts, **state}


def _refused(message: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": message}]}}


def _message(*pods: dict[str, Any], deployment: dict[str, Any] | None = None) -> tuple[str, bool]:
    status = readiness(_waiting(), deployment, pods)
    assert not status.ready
    return status.message, status.failed


def test_ready_is_what_the_condition_says_and_has_an_address():
    status = readiness(_service(ready(NAME) | {"address": {"url": "http://in.mesh"}}), None, [])
    assert (status.ready, status.failed, status.url) == (True, False, "http://in.mesh")


def test_a_change_that_the_controller_has_not_seen_is_not_ready():
    status = readiness(_service(ready(NAME) | {"observedGeneration": 1}, generation=2), None, [])
    assert (status.ready, status.message) == (False, "KServe's controller has not looked at its last change yet")


@pytest.mark.parametrize("status", [None, {}, {"conditions": []}])
def test_a_document_that_nobody_acts_on_says_so(status):
    found = readiness(_service(status), None, [])
    assert (found.ready, found.message) == (False, "KServe's controller has not looked at it yet; does it run?")


def test_a_service_that_is_being_deleted_is_not_ready():
    document = _service(ready(NAME))
    document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert readiness(document, None, []).message == "it is being deleted"


def test_the_conditions_that_are_amiss_are_named():
    assert _message() == ("PredictorReady is False (MinimumReplicasUnavailable: no replica)", False)


@pytest.mark.parametrize(
    "reason", ["RuntimeNotRecognized", "NoSupportingRuntime", "RuntimeDisabled", "InvalidPredictorSpec"]
)
def test_a_document_that_kserve_can_not_follow_has_failed(reason):
    status = readiness(_service(failing(reason, "no such runtime")), None, [])
    assert (status.ready, status.failed, status.message) == (False, True, f"{reason}: no such runtime")


def test_a_load_that_failed_is_tried_again():
    info = {"lastFailureInfo": {"reason": "ModelLoadFailed", "message": "no artifact", "exitCode": 1}}
    status = readiness(_waiting(modelStatus=info), None, [])
    assert (status.failed, status.message) == (False, "ModelLoadFailed (exit code 1): no artifact")


@pytest.mark.parametrize(
    ("message", "failed"),
    [
        ('pods "p" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true', True),
        ('pods "p" is forbidden: error looking up service account serin/serin-predictor: not found', True),
        ('pods "p" is forbidden: exceeded quota: cpu', False),
    ],
)
def test_pods_that_are_refused_are_told_from_the_deployment(message, failed):
    assert _message(deployment=_refused(message)) == (f"its pods are refused: {message}", failed)


@pytest.mark.parametrize(
    ("reason", "failed"),
    [
        ("ErrImagePull", False),
        ("ImagePullBackOff", False),
        ("CreateContainerConfigError", True),
        ("InvalidImageName", True),
    ],
)
def test_a_container_that_can_not_start_says_why(reason, failed):
    container = _container(state={"waiting": {"reason": reason, "message": 'secret "serin-s3" not found'}})
    assert _message(_pod(container)) == (f'pod p, kserve-container: {reason}: secret "serin-s3" not found', failed)


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_a_container_that_starts_is_no_problem(reason):
    waiting = _container(state={"waiting": {"reason": reason}})
    assert _message(_pod(waiting))[0].startswith("PredictorReady is False")


def test_a_container_that_crashes_says_its_last_words_and_counts():
    last = {"terminated": {"exitCode": 1, "reason": "Error", "message": "the artifact was changed\n"}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}
    status = readiness(_waiting(), None, [_pod(_container(restarts=3, state=waiting, lastState=last)), _pod()])
    wanted = "pod p, kserve-container: CrashLoopBackOff: ended with 1: the artifact was changed"
    assert (status.message, status.restarts, status.failed) == (wanted, 3, False)


def test_a_storage_initializer_that_fails_is_told_and_not_held_against_the_version():
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "NoSuchBucket"}}
    init = _container("storage-initializer", 2, state=ended)
    status = readiness(_waiting(), None, [_pod(_container(), init=(init,))])
    assert (status.message, status.restarts) == ("pod p, storage-initializer: ended with 1: NoSuchBucket", 0)


def test_a_pod_without_a_node_says_why():
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
    assert _message(_pod(conditions=conditions)) == ("pod p: Unschedulable: 0/3 nodes", False)


def test_a_pod_that_was_evicted_says_why():
    assert _message(_pod(phase="Failed", reason="Evicted", message="low memory")) == (
        "pod p: Evicted: low memory",
        False,
    )


def test_a_pod_that_is_leaving_is_no_problem():
    leaving = _pod(_container(state={"waiting": {"reason": "CrashLoopBackOff"}}))
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert _message(leaving)[0].startswith("PredictorReady is False")
    assert ready_since(leaving) is None


def test_pods_with_the_same_problem_say_it_once():
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
    assert _message(*[_pod(conditions=conditions)] * 3)[0] == "pod p: Unschedulable: 0/3 nodes"


def test_a_pod_is_ready_since_its_condition_changed():
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    assert ready_since(_pod(conditions=conditions)) == "2026-01-01T00:00:00Z"
    assert ready_since(_pod()) is None
