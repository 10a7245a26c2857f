"""What an InferenceService does, from its status, its Deployment and its pods. Pure functions.

The controller accepts any document and says later, in other places, what is wrong with it:

    the InferenceService   no such runtime, no runtime for the format        (modelStatus.lastFailureInfo)
    the Deployment         its pods are refused: Pod Security, no account, quota     (condition ReplicaFailure)
    the pods               no node, no image, no artifact, no secret, an end         (conditions, containers)
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from serin.ports import Document, Status

# What KServe's controller finds wrong with the document itself; of a load that failed it tells as well, but that is
# tried again.
_WRONG_SPEC = ("InvalidPredictorSpec", "NoSupportingRuntime", "RuntimeDisabled", "RuntimeNotRecognized")
# What the kubelet waits for in vain: somebody has to change something.
_WRONG_POD = ("CreateContainerConfigError", "ErrImageNeverPull", "InvalidImageName")
_STARTING = ("ContainerCreating", "PodInitializing")


class Problem(NamedTuple):
    """Something that keeps a deployment from being ready; `lasting`: waiting will not mend it."""

    text: str
    lasting: bool = False


def readiness(service: Document, deployment: Document | None, pods: Sequence[Document]) -> Status:
    """The state of an InferenceService; `restarts` is that of the predictor with most of them.

    The storage initializer's do not count: they say nothing against the version, but that its store is away.
    """
    status = service.get("status") or {}
    restarts = max((_restarts(pod) for pod in pods), default=0)
    url = str((status.get("address") or {}).get("url") or status.get("url") or "")
    if not (waiting := _waiting(service)):
        return Status(ready=True, message="ready", restarts=restarts, url=url)
    problems = [*_of_spec(status), *_of_deployment(deployment or {}), *(p for pod in pods for p in _of_pod(pod))]
    lasting = [problem.text for problem in problems if problem.lasting]
    told = lasting or [problem.text for problem in problems] or [waiting]
    message = "; ".join(dict.fromkeys(told))
    return Status(ready=False, message=message, restarts=restarts, url=url, failed=bool(lasting))


def ready_since(pod: Document) -> str | None:
    """Since when a pod is ready (RFC 3339), None where it is not, or is being deleted."""
    if pod["metadata"].get("deletionTimestamp"):
        return None
    ready = _condition(pod, "Ready")
    return str(ready["lastTransitionTime"]) if ready.get("status") == "True" else None


def _waiting(service: Document) -> str:
    """Why an InferenceService is not ready, by its own conditions; "" where it is."""
    status, metadata = service.get("status") or {}, service["metadata"]
    if metadata.get("deletionTimestamp"):
        return "it is being deleted"
    if not status.get("conditions"):
        return "KServe's controller has not looked at it yet; does it run?"
    if int(status.get("observedGeneration") or metadata.get("generation", 0)) < int(metadata.get("generation", 0)):
        return "KServe's controller has not looked at its last change yet"
    if _condition(service, "Ready").get("status") == "True":
        return ""
    amiss = [c for c in status["conditions"] if c.get("status") != "True" and c.get("type") != "Ready"]
    return "; ".join(map(_said, amiss or [_condition(service, "Ready") or {"type": "Ready"}]))


def _of_spec(status: Mapping[str, Any]) -> Iterator[Problem]:
    failure = (status.get("modelStatus") or {}).get("lastFailureInfo") or {}
    if reason := failure.get("reason"):
        code = f" (exit code {failure['exitCode']})" if failure.get("exitCode") else ""
        yield Problem(f"{reason}{code}: {failure.get('message', '')}".rstrip(": "), reason in _WRONG_SPEC)


def _of_deployment(deployment: Document) -> Iterator[Problem]:
    refused = _condition(deployment, "ReplicaFailure")
    if refused.get("status") == "True":
        said = str(refused.get("message", ""))
        # A quota may have room again.
        yield Problem(f"its pods are refused: {said or refused.get('reason')}", "exceeded quota" not in said)


def _of_pod(pod: Document) -> Iterator[Problem]:
    name = pod["metadata"]["name"]
    if pod["metadata"].get("deletionTimestamp"):
        return
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        yield Problem(f"pod {name}: {scheduled.get('reason')}: {scheduled.get('message', '')}")
    status = pod.get("status") or {}
    if status.get("reason") and status.get("phase") == "Failed":
        yield Problem(f"pod {name}: {status['reason']}: {status.get('message', '')}")
    for container in _containers(pod):
        if problem := _of_container(container):
            yield Problem(f"pod {name}, {container['name']}: {problem.text}", problem.lasting)


def _of_container(container: Document) -> Problem | None:
    state = container.get("state") or {}
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    last = f"ended with {ended['exitCode']}: {_end(ended)}" if ended.get("exitCode") else ""
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason")
    if reason and reason not in _STARTING:
        return Problem(f"{reason}: {last or waiting.get('message', '')}".rstrip(": "), reason in _WRONG_POD)
    return Problem(last) if last and not container.get("ready") else None


def _end(ended: Mapping[str, Any]) -> str:
    """The last words of a container, else why it ended."""
    return str(ended.get("message") or ended.get("reason") or "").strip()


def _containers(pod: Document) -> list[Document]:
    status = pod.get("status") or {}
    found: list[Document] = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    return found


def _restarts(pod: Document) -> int:
    containers = (pod.get("status") or {}).get("containerStatuses") or ()
    return sum(int(container.get("restartCount", 0)) for container in containers)


def _condition(document: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = (document.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def _said(condition: Mapping[str, Any]) -> str:
    words = [str(condition[key]) for key in ("reason", "message") if condition.get(key)]
    return f"{condition.get('type')} is {condition.get('status', 'Unknown')}" + (
        f" ({': '.join(words)})" if words else ""
    )
