"""One predictor process: what KServe's controller, storage initializer and kubelet do for it in a cluster."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from serin.adapters.local import loopback, processes
from serin.adapters.local.documents import InferenceService, ServingRuntime
from serin.atomic import replaced
from serin.errors import UnavailableError

_LONGEST_BACKOFF = 30.0
_STEADY = 60.0


def command(
    runtime: ServingRuntime, service: InferenceService, model_dir: Path, ports: tuple[int, int], spool: Path
) -> list[str]:
    """The command line of a predictor: the runtime's, then the InferenceService's arguments, as KServe joins them.

    Folders, host and ports (HTTP, gRPC) of this machine come last and so win over the container's. Nobody pays for a
    file here, and whoever looks into the prediction log wants to see it: it gets its rows every second.
    Raises UnavailableError: a placeholder other than {{.Name}}.
    """
    container = runtime.spec.containers[0]
    arguments = [*container.args, *service.spec.predictor.model.args]
    filled = [argument.replace("{{.Name}}", service.metadata.name) for argument in arguments]
    unknown = [argument for argument in filled if "{{" in argument]
    if unknown:
        raise UnavailableError(f"ServingRuntime {runtime.metadata.name}: {unknown[0]!r}; allowed: {{{{.Name}}}}")
    here = [f"--model_dir={model_dir}", "--host=127.0.0.1", f"--http_port={ports[0]}", f"--grpc_port={ports[1]}"]
    log = [f"--log_spool={spool}", "--log_seconds=1"]
    return [sys.executable, *container.command[1:], *filled, *here, *log]


def fetch(storage_uri: str, folder: Path) -> None:
    """Copy a model artifact to `folder`, in full or not at all.

    A path is taken as it stands; in a URI, as everywhere, %20 is a space.
    Raises UnavailableError: no local path, or no folder there.
    """
    if re.match(r"[a-z][a-z0-9+.-]*:/", storage_uri, re.IGNORECASE) and not storage_uri.startswith("file:///"):
        raise UnavailableError(f"storageUri {storage_uri} can't be read here; allowed: a path or file:///path")
    path = storage_uri.removeprefix("file://")
    source = Path(path if path == storage_uri else unquote(path))
    if not source.is_dir():
        raise UnavailableError(f"storageUri {storage_uri}: there is no such folder")
    with replaced(folder) as temporary:
        shutil.copytree(source, temporary)


class Predictor:
    """Keeps the process of one InferenceService running; call `step` often. Times are seconds, monotonic."""

    def __init__(
        self, service: InferenceService, runtime: ServingRuntime, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = service.metadata.name
        self.log = folder / "logs" / f"{self.name}.log"
        self.ports: tuple[int, int] | None = None
        self.ready = False
        self.message = "starting"
        self.restarts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._service, self._runtime, self._folder, self._environment = service, runtime, folder, environment
        # That of the workspace, where `serin doctor` looks: the folder is <state>/serving/<model name>.
        self._spool = folder.absolute().parents[1] / "spool"
        self._probe = runtime.spec.containers[0].readinessProbe
        self._crashes = self._missed = 0
        self._started = self._next = 0.0

    def step(self, now: float) -> None:
        """Start it, notice that it ended, or probe it: whatever is due."""
        if self.process is not None and self.process.poll() is not None:
            self._ended(now, f"exited with {self.process.returncode}: {_last_line(self.log)} (see {self.log})")
        elif now >= self._next:
            self._start(now) if self.process is None else self._look(now)

    def status(self) -> dict[str, Any]:
        """What the status file says."""
        pid = self.process.pid if self.process else None
        return {
            "ready": self.ready,
            "message": self.message,
            "restarts": self.restarts,
            "pid": pid,
            "identity": processes.identity(pid) if pid else None,
            "http_port": self.ports[0] if self.ports else None,
            "grpc_port": self.ports[1] if self.ports else None,
        }

    def _start(self, now: float) -> None:
        models = self._folder / "models" / self.name
        try:
            fetch(self._service.spec.predictor.model.storageUri, models)
            http, grpc = loopback.free_ports(2)
            line = command(self._runtime, self._service, models, (http, grpc), self._spool)
            self.process = processes.spawn(line, self.log, self._environment, self._folder)
        except (UnavailableError, OSError) as error:
            self._ended(now, str(error))
            return
        self.ports, self.message = (http, grpc), "starting"
        self._started, self._missed = now, 0

    def _look(self, now: float) -> None:
        """The readiness probe; three misses in a row (failureThreshold) make a ready predictor unready."""
        assert self.ports is not None  # noqa: S101
        path = self._probe.httpGet.path
        answer = loopback.get(f"http://127.0.0.1:{self.ports[0]}{path}", timeout=1.0)
        if answer and answer.is_success:
            self.ready, self._missed = True, 0
            # The gateway does not lead there.
            self.message = f"ready; its API is shown at http://127.0.0.1:{self.ports[0]}/docs"
        else:
            self._missed += 1
            if self.ready and self._missed >= self._probe.failureThreshold:
                self.ready, self.message = False, f"{path} answers {answer.status_code if answer else 'nothing'}"
        if self.ready and now - self._started > _STEADY:
            self._crashes = 0
        self._next = now + (self._probe.periodSeconds if self.ready else 0.2)

    def _ended(self, now: float, message: str) -> None:
        self._crashes += 1
        self.restarts += 1
        self.process, self.ports = None, None
        self.ready, self.message = False, message
        self._next = now + min(_LONGEST_BACKOFF, 2.0 ** (self._crashes - 1))


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return next((line[:300] for line in reversed(lines) if line.strip()), "no output")
