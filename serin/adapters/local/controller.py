"""`serin serve`: the controller of the local profile, which makes the processes match the documents.

Every pass looks at the documents anew and takes the steps that are due, so a controller that was killed is
simply started again.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from serin.adapters.local import documents, envoy, processes
from serin.adapters.local.documents import InferenceService, ServingRuntime
from serin.adapters.local.gateway import Gateway
from serin.adapters.local.predictor import Predictor
from serin.adapters.local.serving import LocalServing, read_status, write_status
from serin.errors import NotFoundError, SerinError, UnavailableError
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE, Lease

_PASS = 0.2
_GRACE = 36.0  # what a predictor may take at most (manifests/inferenceservice.yaml), without preStop
Report = Callable[[str], None]


def run(
    target: LocalServing,
    lease: Lease,
    runtime: Mapping[str, Any],
    environment: Mapping[str, str],
    report: Report,
    port: int = 8080,
) -> None:
    """Serve what the documents say on 127.0.0.1:`port` until SIGINT, SIGTERM or SIGHUP; for the main thread.

    `runtime` is the ServingRuntime, `environment` that of the predictors; `report` gets one line an event.
    Raises ConflictError: another controller serves this model, or the port is taken. UnavailableError: no Envoy.
    """
    folder = target.folder
    with _signals() as stop, lease.hold(target.controller_lease):
        end_leftovers(folder, report)
        controller = Controller(target, runtime, environment, report, port)
        try:
            controller.start()
            while not stop.wait(_PASS):
                controller.reconcile()
        finally:
            controller.stop()


def attend(
    target: LocalServing,
    lease: Lease,
    runtime: Mapping[str, Any],
    environment: Mapping[str, str],
    port: int,
    report: Report,
) -> str:
    """`run`, for whoever stands before it; returns how it ended."""
    report(f"Starting {target.folder.name}; Ctrl-C ends it.")
    run(target, lease, runtime, environment, report, port)
    return "stopped; no process was left behind"


def end_leftovers(folder: Path, report: Report) -> None:
    """End processes that a killed controller left, and forget their status. A reused process id is left alone."""
    for path in sorted((folder / "status").glob("*.yaml")):
        try:
            status = read_status(folder, path.stem)
        except UnavailableError as error:
            report(f"{error}; forgotten, and a process that it may have named is left alone")
        else:
            if status and status.pid:
                processes.end_stale(status.pid, status.identity, _GRACE)
        path.unlink(missing_ok=True)


@contextmanager
def _signals() -> Iterator[threading.Event]:
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Controller:
    """The processes of one model, and the passes that bring them in line with its documents."""

    def __init__(
        self,
        target: LocalServing,
        runtime: Mapping[str, Any],
        environment: Mapping[str, str],
        report: Report,
        port: int,
    ) -> None:
        self._target, self._report = target, report
        self._runtime = documents.read(ServingRuntime, runtime, "the ServingRuntime")
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        folder = target.folder
        self._gateway = Gateway(folder / "envoy", folder / "logs" / "gateway.log", port)
        self._predictors: dict[str, Predictor] = {}
        self._leaving: list[tuple[subprocess.Popen[bytes], float]] = []
        self._stamp: frozenset[tuple[str, int, int]] | None = None
        self._services: dict[str, InferenceService] = {}
        self._routes = envoy.no_routes()
        self._statuses: dict[str, dict[str, Any]] = {}
        self._problems: dict[str, str] = {}
        self._serves = False

    def start(self) -> None:
        """Open the gateway; it answers 404 until there is a VirtualService, and 503 until a predictor is up."""
        self._gateway.start(self._environment)

    def stop(self) -> None:
        """End every process, the gateway first."""
        processes.stop(self._gateway.processes, _GRACE)
        running = [p.process for p in self._predictors.values() if p.process]
        processes.stop([*running, *(process for process, _ in self._leaving)], _GRACE)
        for path in (self._target.folder / "status").glob("*.yaml"):
            path.unlink(missing_ok=True)
        self._report("stopped")

    def reconcile(self) -> None:
        """One pass. A problem is reported when it appears; what it does not concern goes on."""
        self._attempt("documents", self._read_documents)
        self._attempt("predictors", self._step)
        directed = self._attempt("traffic", self._direct)
        self._attempt("status", self._write_statuses)
        self._tell(directed)

    def _attempt(self, what: str, part: Callable[[], None]) -> bool:
        """Whether `part` went well; why it did not is reported once, until it does or fails in another way."""
        problem = ""
        try:
            part()
        except (SerinError, OSError) as error:
            problem = str(error)
        if problem and problem != self._problems.get(what):
            self._report(f"{what}: {problem}")
        self._problems[what] = problem
        return not problem

    def _step(self) -> None:
        for name in self._services.keys() - self._predictors.keys():
            service, folder = self._services[name], self._target.folder
            self._predictors[name] = Predictor(service, self._runtime, folder, self._environment)
        for predictor in self._predictors.values():
            predictor.step(time.monotonic())

    def _direct(self) -> None:
        self._route()
        self._retire(time.monotonic())

    def _read_documents(self) -> None:
        """What can't be read stays as it was, and is read again at the next pass."""
        stamp = self._target.stamp()
        if stamp == self._stamp:
            return
        names = self._target.names(INFERENCE_SERVICE)
        self._services = {name: service for name, service in self._services.items() if name in names}
        well = [self._attempt(f"{INFERENCE_SERVICE} {name}", partial(self._read_service, name)) for name in names]
        well.append(self._attempt(f"{VIRTUAL_SERVICE} {self._target.folder.name}", self._read_routes))
        self._stamp = stamp if all(well) else None

    def _read_service(self, name: str) -> None:
        with suppress(NotFoundError):  # Deleted meanwhile: gone at the next pass.
            found = self._target.get(INFERENCE_SERVICE, name)
            self._services[name] = documents.read(InferenceService, found, name)

    def _read_routes(self) -> None:
        try:
            self._routes = envoy.routes(self._target.get(VIRTUAL_SERVICE, self._target.folder.name))
        except NotFoundError:
            self._routes = envoy.no_routes()

    def _route(self) -> None:
        if not self._gateway.running:
            self._report("the gateway ended; starting it again")
            self._gateway.start(self._environment)
        self._gateway.update({name: p.ports for name, p in self._predictors.items()}, self._routes)

    def _retire(self, now: float) -> None:
        """Let predictors without a document go: off the routes, idle, out of Envoy, and only then SIGTERM."""
        routed = envoy.routed_clusters(self._routes)
        for name in self._predictors.keys() - self._services.keys():
            if routed & {cluster["name"] for cluster in envoy.clusters({name: None})}:
                continue
            if self._gateway.active(name):
                continue
            process = self._predictors.pop(name).process
            self._route()
            if process:
                process.terminate()
                self._leaving.append((process, now + _GRACE))
            (self._target.folder / "status" / f"{name}.yaml").unlink(missing_ok=True)
            self._statuses.pop(name, None)
            self._report(f"{name}: stopped")
        self._leaving = [(process, end) for process, end in self._leaving if process.poll() is None]
        for process, end in self._leaving:
            if now > end:
                process.kill()

    def _write_statuses(self) -> None:
        found = {name: predictor.status() for name, predictor in self._predictors.items()}
        for name, status in {"gateway": self._gateway.status(), **found}.items():
            before = self._statuses.get(name)
            if status == before:
                continue
            write_status(self._target.folder, name, status)
            if before is None or status["message"] != before["message"]:
                self._report(f"{name}: {status['message']}")
            self._statuses[name] = status

    def _tell(self, directed: bool) -> None:
        """Say where the model is served, each time that this becomes true: once all that have a share are ready."""
        shared = envoy.shared_clusters(self._routes)
        ready = {
            envoy.cluster_name(f"{name}-predictor", envoy.HTTP_PORT) for name, p in self._predictors.items() if p.ready
        }
        serves = directed and bool(shared) and shared <= ready
        if serves and not self._serves:
            model, port = self._target.folder.name, self._gateway.port
            self._report(f"Serving {model} at http://127.0.0.1:{port}/v1/models/{model}:predict, gRPC on the same port")
        self._serves = serves
