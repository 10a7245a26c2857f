"""`serin serve` in a process of its own, for as long as the demo needs it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.rollout.deploy import serving_target
from serin.adapters.local import processes
from serin.deployments import deployment_name
from serin.errors import UnavailableError
from serin.use_case import UseCase
from serin.workspace import Workspace

_READY_SECONDS = 120.0
_GRACE = 40.0


@contextmanager
def serving(workspace: Workspace, case: UseCase, version: int, port: int) -> Iterator[None]:
    """Serve until the block ends; it starts once `version` answers behind the gateway on 127.0.0.1:`port`.

    Raises UnavailableError with the last lines of the log where that does not come about.
    """
    target, name = serving_target(workspace, case), deployment_name(case, version)
    log = workspace.state / "serve.log"
    command = [sys.executable, "-m", "pipelines", "serve", case.name, "--port", str(port)]
    child = processes.spawn(command, log, os.environ, workspace.root)
    try:
        _await(lambda: target.status(name).ready and _answers(port), child, log)
        yield
    finally:
        processes.stop([child], _GRACE)


def free_port(wanted: int) -> int:
    """`wanted`, or another where that is taken."""
    for number in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UnavailableError("no free port on 127.0.0.1")


def _await(ready: Callable[[], bool], child: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not ready():
        if child.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise UnavailableError(f"serin serve did not start; {log} ends:\n  " + "\n  ".join(tail))
        time.sleep(0.2)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
