"""A person at a terminal: every command of `serin` is shown and runs as a process of its own."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serin import environment
from serin.adapters.local import processes
from serin.errors import SerinError, UnavailableError
from serin.workspace import Workspace

_GRACE = 40.0
_POLL, _READY_SECONDS = 0.2, 120.0
Result = dict[str, Any]


@dataclass(frozen=True)
class Terminal:
    """Runs commands in a workspace; `show` gets each command line before it starts."""

    workspace: Workspace
    show: Callable[[str], None]

    def serin(self, *arguments: str, may_fail: bool = False) -> Result:
        """The JSON result of a command, whose progress goes on to standard error.

        Raises SerinError where it ends with another exit code than 0 (with `may_fail`, without a result).
        """
        self._show(arguments)
        answer = self._log(arguments[0]).with_suffix(".json")
        child = self._start([*arguments, "--json"], answer, errors=None)
        try:
            code = child.wait()
        finally:
            processes.stop([child], _GRACE)
        text = answer.read_text(encoding="utf-8")
        if code and not (may_fail and text):
            raise SerinError(f"`serin {shlex.join(arguments)}` ended with exit code {code}; what it said stands above")
        found: Result = json.loads(text)
        return found

    @contextmanager
    def serving(self, use_case: str, port: int, ready: Callable[[], bool]) -> Iterator[None]:
        """Run `serin serve` until the block ends; the block starts once it is `ready`.

        Raises UnavailableError with the last lines of its log where that does not come about in two minutes.
        """
        arguments = ("serve", use_case, "--port", str(port))
        self._show(arguments)
        log = self._log("serve")
        child = self._start(list(arguments), log, errors=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + _READY_SECONDS
            while not ready():
                if child.poll() is not None or time.monotonic() > deadline:
                    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
                    raise UnavailableError(f"serin serve did not start; {log} ends:\n  " + "\n  ".join(tail))
                time.sleep(_POLL)
            yield
        finally:
            processes.stop([child], _GRACE)

    def _show(self, arguments: tuple[str, ...]) -> None:
        self.show(f"$ serin {shlex.join(arguments)}")

    def _log(self, name: str) -> Path:
        return self.workspace.state / "demo" / f"{name}.log"

    def _start(self, arguments: list[str], log: Path, errors: int | None) -> "subprocess.Popen[bytes]":
        variables = environment.variables() | self.workspace.variables()
        command = [sys.executable, "-m", "pipelines", *arguments]
        return processes.spawn(command, log, variables, self.workspace.root, errors)
