"""What the serving tests share: artifacts, documents, a controller process, and clients of its gateway."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serin import deployments as logic
from serin import use_case
from serin.adapters import templates
from serin.adapters.local import processes
from serin.adapters.local.lease import FileLease
from serin.adapters.local.serving import LocalServing, read_status
from serin.errors import NotFoundError
from serin.ports import VIRTUAL_SERVICE
from tests import services

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = templates.load(ROOT)
CASE = use_case.load("card_fraud", ROOT / "pipelines" / "use_cases")
ROW = {
    "CUSTOMER_ID": 1,
    "TERMINAL_ID": 2,
    "TX_AMOUNT": 10.0,
    "CHANNEL": "chip",
    "TX_DATETIME": "2018-05-01T10:00:00",
}
_CONTROLLER = """
import os, pathlib, sys
from serin.adapters import templates
from serin.adapters.local.controller import attend
from serin.adapters.local.lease import FileLease
from serin.adapters.local.serving import LocalServing
from serin.errors import SerinError
folder, locks, root = map(pathlib.Path, sys.argv[1:4])
lease = FileLease(locks)
try:
    target = LocalServing(folder, lease)
    attend(target, lease, templates.load(root).serving_runtime, os.environ, int(sys.argv[4]), print)
except SerinError as error:
    sys.exit(str(error))
"""


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Wait for a condition and return its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


class World:
    """One model's folder and the controller process that serves it; end it with `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.locks = folder / "locks"
        self.target = LocalServing(folder / "serving" / "card-fraud", FileLease(self.locks))
        self.port = services.free_port()
        self.controllers: list[subprocess.Popen[str]] = []
        self._known: dict[int, str] = {}

    def deploy(self, version: int, artifact: Path) -> None:
        self.target.create(logic.inference_service(CASE, version, str(artifact), TEMPLATES.inference_service))

    def share(self, weights: dict[str, int]) -> None:
        new = logic.virtual_service(CASE, weights, TEMPLATES.virtual_service)
        try:
            before = self.target.get(VIRTUAL_SERVICE, "card-fraud")
        except NotFoundError:
            self.target.create(new)
            return
        new["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        self.target.replace(new)

    def start(self) -> "subprocess.Popen[str]":
        environment = {**os.environ, "SERIN_ROOT": str(ROOT), "SERIN_STORAGE": str(self.folder / "storage")}
        line = [sys.executable, "-u", "-c", _CONTROLLER, str(self.target.folder)]
        line += [str(self.locks), str(ROOT), str(self.port)]
        controller = subprocess.Popen(
            line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.controllers.append(controller)
        return controller

    def await_ready(self, version: int) -> None:
        name = f"card-fraud-v{version}"
        until(lambda: self.target.status(name).ready, f"{name} ready")
        self.children()

    def children(self) -> dict[int, str]:
        """All processes that any controller of this world started, so far as their status files told."""
        for path in (self.target.folder / "status").glob("*.yaml"):
            status = read_status(self.target.folder, path.stem)
            if status and status.pid and status.identity:
                self._known[status.pid] = status.identity
        return self._known

    def alive(self) -> list[int]:
        return [pid for pid, known in self.children().items() if processes.is_same(pid, known)]

    def close(self) -> None:
        self.children()
        for controller in self.controllers:
            if controller.poll() is None:
                controller.send_signal(signal.SIGTERM)
            controller.wait(timeout=60)
            if controller.stdout:
                controller.stdout.close()
        assert self.alive() == []


def predict(port: int) -> tuple[int, dict[str, Any]]:
    """One V1 prediction through the gateway; its HTTP status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = json.dumps({"instances": [ROW]})
        connection.request("POST", "/v1/models/card-fraud:predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if response.status == 200 else {"text": text}
    except OSError as error:
        return 0, {"text": repr(error)}
    finally:
        connection.close()


class Load:
    """A light client that sends one request after the other until it is left; what failed is in `failed`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.versions: dict[str, int] = {}
        self.failed: list[tuple[int, dict[str, Any]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._stop.wait(0.005):
            status, answer = predict(self._port)
            if status != 200:
                self.failed.append((status, answer))
                continue
            version = answer["predictions"][0]["model_version"]
            self.versions[version] = self.versions.get(version, 0) + 1
