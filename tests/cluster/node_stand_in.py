"""A stand-in for scheduler, kubelet and container runtime: every predictor pod as a process of this machine, on an
address of its own.

The command line, the variables (out of ConfigMaps and Secrets of the API server), the probe and the grace are those of
the pod. Its image is this checkout, and the storage initializer is a copy from S3 or a folder. No other pod is run.
"""

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx

from serin.adapters.local import processes
from tests.cluster.api import Api, Document, RefusedError
from tests.cluster.containers import CHECKOUT, FailedError, copied, named, variables
from tests.cluster.kserve_pod import INITIALIZER, PREDICTOR

NAME = "stand-in"
_PREDICTORS = {"labelSelector": "serving.kserve.io/inferenceservice"}
# A kubelet waits 10 s after the first crash and up to 300 s; nobody wants to wait so long here.
_BACK_OFF = 1.0


class NodeStandIn:
    """The node; `folder` has the pods' files, `workspace` stands for the image's /app."""

    def __init__(self, api: Api, folder: Path, workspace: Path) -> None:
        self.api, self.folder, self.workspace = api, folder, workspace
        self.pods: dict[str, Process] = {}
        self._addresses = 0
        api.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}})

    def step(self) -> None:
        """Whatever is due for every predictor pod."""
        found = self.api.request("GET", "/api/v1/namespaces/serin/pods", params=_PREDICTORS).json()["items"]
        asked = {pod["metadata"]["uid"]: pod for pod in found}
        for uid, pod in asked.items():
            if uid not in self.pods and "deletionTimestamp" not in pod["metadata"]:
                self.pods[uid] = self._bound(pod)
        for uid, process in list(self.pods.items()):
            if uid in asked and "deletionTimestamp" not in asked[uid]["metadata"]:
                process.step(time.monotonic())
            elif process.leave(time.monotonic()):
                self._removed(self.pods.pop(uid))

    def close(self) -> None:
        """End every process."""
        for process in self.pods.values():
            process.stop(grace=5)

    def _bound(self, pod: Document) -> "Process":
        name = pod["metadata"]["name"]
        target = {"apiVersion": "v1", "kind": "Node", "name": NAME}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        self.api.request("POST", f"/api/v1/namespaces/serin/pods/{name}/binding", json=binding)
        self._addresses += 1
        return Process(self, pod, f"10.200.{1 + self._addresses // 250}.{self._addresses % 250 + 1}")

    def _removed(self, process: "Process") -> None:
        process.stop(grace=0)
        path = f"/api/v1/namespaces/serin/pods/{process.name}"
        try:
            self.api.request("DELETE", path, json={"gracePeriodSeconds": 0, "preconditions": {"uid": process.uid}})
        except RefusedError as refused:
            # Already gone; or the name is another pod's.
            if refused.status not in (404, 409):
                raise


class Process:
    """One pod."""

    def __init__(self, node: NodeStandIn, pod: Document, address: str) -> None:
        self.name, self.uid, self.address = pod["metadata"]["name"], pod["metadata"]["uid"], address
        self.ready = False
        self.restarts = 0
        self.failed: FailedError | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._node, self._pod = node, pod
        self._container = named(pod["spec"]["containers"], PREDICTOR)
        self._folder, self._log = node.folder / self.name, node.folder / "logs" / f"{self.name}.log"
        self._fetched = False
        self._told: Document = {}
        self._was_ready, self._since = True, ""
        self._next = self._missed = 0.0
        self._left: float | None = None

    def step(self, now: float) -> None:
        """Start it, see that it has ended, or probe it; times are seconds, monotonic."""
        if self.process is not None and self.process.poll() is not None:
            self._ended(now, FailedError(PREDICTOR, "Error", self._last_words(), self.process.returncode))
        elif now >= self._next:
            self._start(now) if self.process is None else self._probe(now)
        self._tell()

    def leave(self, now: float) -> bool:
        """SIGTERM after the preStop hook, SIGKILL after the grace; whether it has ended."""
        if self._left is None:
            self._left = now
        waited, grace = now - self._left, self._pod["spec"].get("terminationGracePeriodSeconds", 30)
        if self.process is None or self.process.poll() is not None:
            return True
        if waited >= grace:
            self.process.kill()
        elif waited >= _pause(self._container):
            self.process.terminate()
        return False

    def stop(self, grace: float) -> None:
        """End it, and remove its files."""
        if self.process is not None:
            processes.stop([self.process], grace)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, now: float) -> None:
        models = self._folder / "models"
        try:
            if not self._fetched:
                initializer = named(self._pod["spec"]["initContainers"], INITIALIZER)
                copied(initializer["args"][0], models, variables(self._node.api, self._pod, initializer, self.address))
                self._fetched = True
            given = variables(self._node.api, self._pod, self._container, self.address)
        except FailedError as failed:
            self._ended(now, failed)
            return
        program, *rest = [*self._container["command"], *self._container["args"]]
        assert program == "python", program
        # The pod's volumes are folders here; tests that look for logged rows don't wait a minute.
        log = [f"--log_spool={self._folder / 'spool'}", "--log_seconds=1"]
        here = [f"--model_dir={models}", f"--host={self.address}", *log]
        own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), "HOME": str(self._folder)}
        given["SERIN_ROOT"] = str(self._node.workspace)
        self.process = processes.spawn([sys.executable, *rest, *here], self._log, own | given, self._folder)
        self._missed, self._next = 0, now

    def _probe(self, now: float) -> None:
        probe = self._container["readinessProbe"]
        try:
            address = f"{self.address}:{probe['httpGet']['port']}"
            passed = httpx.get(f"http://{address}{probe['httpGet']['path']}", timeout=1).is_success
        except httpx.TransportError:
            passed = False
        self._missed = 0 if passed else self._missed + 1
        if passed:
            self.ready, self.failed = True, None
        elif self._missed >= probe.get("failureThreshold", 3):
            self.ready = False
        self._next = now + (probe.get("periodSeconds", 10) if self.ready else 0.2)

    def _ended(self, now: float, failed: FailedError) -> None:
        self.ready, self.failed, self.process = False, failed, None
        self.restarts += 1
        self._next = now + _BACK_OFF * 2 ** min(self.restarts - 1, 5)

    def _last_words(self) -> str:
        """What a kubelet keeps of a container's output, where its termination message policy says so."""
        if self._container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return ""
        return self._log.read_bytes()[-2048:].decode("utf-8", "replace").strip()

    def _tell(self) -> None:
        status = self._status()
        if status == self._told:
            return
        metadata = {"name": self.name, "namespace": "serin"}
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}
        try:
            self._node.api.apply(document, "node-stand-in", part="status")
        except RefusedError as refused:
            # Gone meanwhile.
            if refused.status != 404:
                raise
        self._told = status

    def _status(self) -> Document:
        if self.ready != self._was_ready:
            self._was_ready, self._since = self.ready, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = {"status": str(self.ready), "lastTransitionTime": self._since}
        ready = [{"type": kind, **said} for kind in ("ContainersReady", "Ready")]
        return {
            "phase": "Running" if self._fetched and self.process else "Pending",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "conditions": [{"type": "PodScheduled", "status": "True"}, *ready],
            "initContainerStatuses": [self._state(INITIALIZER, self._fetched)],
            "containerStatuses": [self._state(PREDICTOR, self.ready)],
        }

    def _state(self, name: str, ready: bool) -> Document:
        failed = self.failed if self.failed and self.failed.container == name else None
        status: Document = {
            "name": name, "image": "", "imageID": "", "ready": ready, "restartCount": self.restarts if failed else 0,
        }  # fmt: skip
        if name == PREDICTOR:
            status["restartCount"] = self.restarts
        if failed and failed.reason == "Error":
            ended = {"exitCode": failed.code, "reason": "Error", "message": str(failed)}
            waiting = {"reason": "CrashLoopBackOff", "message": f"back-off restarting failed container {name}"}
            return {**status, "state": {"waiting": waiting}, "lastState": {"terminated": ended}}
        if failed:
            return {**status, "state": {"waiting": {"reason": failed.reason, "message": str(failed)}}}
        if name == PREDICTOR and not self.process:
            return {**status, "state": {"waiting": {"reason": "PodInitializing"}}}
        return {**status, "state": {"running": {}} if name == PREDICTOR or not ready else {"terminated": _done()}}


def _done() -> Document:
    return {"exitCode": 0, "reason": "Completed"}


def _pause(container: Document) -> float:
    """How long the container's preStop hook lets it go on, in seconds: one that sleeps, and no other is known."""
    hook = container.get("lifecycle", {}).get("preStop", {})
    if not hook:
        return 0.0
    return float(hook["sleep"]["seconds"] if "sleep" in hook else hook["exec"]["command"][-1])
