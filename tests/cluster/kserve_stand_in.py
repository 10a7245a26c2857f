"""A stand-in for KServe's controller: for each InferenceService of namespace serin it makes the Deployment and the
Service that KServe makes, and tells in its status what has become of them. What follows from these two is done by the
real controllers; the HPA that KServe makes as well is not made.

True to what KServe 0.20 was seen to do: a wrong runtime, format or protocol shows in `status.modelStatus` alone.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from tests.cluster import kserve_pod
from tests.cluster.api import Api, Document, RefusedError
from tests.cluster.kserve_pod import RejectedError

SERVING = "serving.kserve.io/v1beta1"
RUNTIME = "serving.kserve.io/v1alpha1"
_MANAGER = "kserve-stand-in"


class Pod(Protocol):
    """A pod of an InferenceService that has an address."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def address(self) -> str:
        """Its IP address."""


class Node(Protocol):
    """What runs the pods."""

    @property
    def pods(self) -> Mapping[str, Pod]:
        """The pods of InferenceServices by UID."""

    def step(self) -> None:
        """Whatever is due, where it does nothing by itself; called often."""

    def close(self) -> None:
        """The end of its pods."""


class KServeStandIn:
    """Every InferenceService of the namespace; call `step` often."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._made: set[str] = set()
        self._told: dict[str, Document] = {}

    def step(self) -> None:
        """Make what is missing, and say how it stands."""
        for service in self._api.list(SERVING, "InferenceService"):
            if "deletionTimestamp" in service["metadata"]:
                continue
            status = {**self._status(service), "observedGeneration": service["metadata"]["generation"]}
            if self._told.get(service["metadata"]["uid"]) != status:
                self._tell(service, status)
                self._told[service["metadata"]["uid"]] = status

    def _status(self, service: Document) -> Document:
        uid, name = service["metadata"]["uid"], service["metadata"]["name"]
        if uid not in self._made:
            try:
                self._make(service)
            except RejectedError as rejected:
                info = {"reason": rejected.reason, "message": str(rejected)}
                return {**_conditions("Unknown"), "modelStatus": _model("InvalidSpec", "FailedToLoad", 0, info)}
            self._made.add(uid)
        available = _condition(self._found("apps/v1", "Deployment", f"{name}-predictor") or {}, "Available")
        label = {"labelSelector": f"serving.kserve.io/inferenceservice={name}"}
        pods = self._api.request("GET", "/api/v1/namespaces/serin/pods", params=label).json()["items"]
        if available.get("status") == "True":
            return {**_conditions("True"), **_url(name), "modelStatus": _model("UpToDate", "Loaded", len(pods))}
        said = _conditions(
            available.get("status", "Unknown"), available.get("reason", ""), available.get("message", "")
        )
        if info := next(filter(None, map(_failure, pods)), None):
            return {**said, "modelStatus": _model("BlockedByFailedLoad", "FailedToLoad", len(pods), info)}
        return {**said, "modelStatus": _model("InProgress", "Loading" if pods else "Pending", len(pods))}

    def _make(self, service: Document) -> None:
        runtime = self._found(RUNTIME, "ServingRuntime", service["spec"]["predictor"]["model"].get("runtime", ""))
        runtime = dict(kserve_pod.check(service, runtime))
        account = self._found("v1", "ServiceAccount", service["spec"]["predictor"].get("serviceAccountName", "default"))
        names = [reference["name"] for reference in (account or {}).get("secrets", [])]
        # KServe logs a Secret that is not there, and goes on without.
        secrets = [secret for name in names if (secret := self._found("v1", "Secret", name))]
        containers = self._api.list(RUNTIME, "ClusterStorageContainer")
        pod = kserve_pod.pod(service, runtime, containers, secrets)
        self._api.apply(kserve_pod.deployment(service, pod), _MANAGER, may_warn=True)
        self._api.apply(kserve_pod.front(service, runtime), _MANAGER)

    def _found(self, api: str, kind: str, name: str) -> Document | None:
        try:
            return self._api.get(api, kind, name)
        except RefusedError as refused:
            if refused.status == 404:
                return None
            raise

    def _tell(self, service: Document, status: Mapping[str, Any]) -> None:
        path = self._api.path(service) + "/status"
        headers = {"Content-Type": "application/merge-patch+json"}
        try:
            asked = {"fieldManager": _MANAGER}
            self._api.request("PATCH", path, json={"status": status}, params=asked, headers=headers)
        except RefusedError as refused:
            # Deleted meanwhile.
            if refused.status != 404:
                raise


@contextmanager
def attended(api: Api, node: Node) -> Iterator[None]:
    """The stand-ins at work in a thread until the end of the block; what they died of is raised there."""
    stand_in, ended = KServeStandIn(api), threading.Event()
    died: list[Exception] = []

    def work() -> None:
        try:
            while not ended.wait(0.2):
                _turn(stand_in, node)
        except Exception as error:  # noqa: BLE001
            died.append(error)
        finally:
            node.close()

    thread = threading.Thread(target=work, name="stand-ins")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if died:
        raise AssertionError("a stand-in died") from died[0]


def _turn(stand_in: KServeStandIn, node: Node) -> None:
    try:
        stand_in.step()
        node.step()
    except RefusedError as refused:
        # As with every controller: what was deleted or changed meanwhile is looked at again.
        if refused.status not in (404, 409):
            raise


def _conditions(status: str, reason: str = "", message: str = "") -> Document:
    said = {"status": status, **({"reason": reason, "message": message} if reason else {})}
    return {"conditions": [{"type": kind, **said} for kind in ("IngressReady", "PredictorReady", "Ready")]}


def _condition(document: Mapping[str, Any], kind: str) -> Document:
    conditions = document.get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _url(name: str) -> Document:
    """Where the label `networking.kserve.io/visibility: cluster-local` makes it answer."""
    inside = f"http://{name}-predictor.serin.svc.cluster.local"
    return {"url": inside, "address": {"url": inside}}


def _failure(pod: Document) -> Document | None:
    """What of a pod becomes `lastFailureInfo`: a container that has ended in an error."""
    status = pod.get("status", {})
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated") or {}
        if ended.get("reason") == "Error":
            return {"reason": "ModelLoadFailed", "message": ended.get("message", ""), "exitCode": ended["exitCode"]}
    return None


def _model(transition: str, state: str, copies: int, info: Document | None = None) -> Document:
    return {
        "transitionStatus": transition,
        "states": {"activeModelState": state if state == "Loaded" else "", "targetModelState": state},
        "copies": {"failedCopies": copies if info else 0, "totalCopies": copies},
        # A merge patch: what was said before goes.
        "lastFailureInfo": info,
    }
