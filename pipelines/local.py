"""KFP's local runner: the same pipeline, each step a process of this environment."""

import contextlib
import logging
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOBase
from pathlib import Path
from typing import Any

from components.step import RUNNER, SAID, TERMINATION_LOG
from serin.errors import SerinError

_COLOUR = re.compile(r"\x1b\[\d+m")
_STARTED = re.compile(r"Executing task '([\w-]+)'")
_FINISHED = re.compile(r"Task '([\w-]+)' finished with status (SUCCESS|FAILURE)")


@dataclass(frozen=True)
class Progress:
    """Something that happened in a run: a task started or finished, or said something."""

    task: str
    event: str  # started, said, finished, failed
    text: str = ""
    seconds: float = 0.0


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Run:
    """A finished pipeline run."""

    outputs: dict[str, Any]
    log: Path


def run(pipeline: Any, arguments: dict[str, Any], folder: Path, report: Report) -> Run:
    """Run `pipeline` with `arguments`; its outputs and its log go to a new folder below `folder`.

    Raises SerinError with what the failing step said, else with its last lines and the log to read.
    """
    from kfp import local

    root = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{pipeline.name}"
    root.mkdir(parents=True)
    last_words, log = root / "termination-log", root / "log.txt"
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), workspace_root=str(root / "workspace"))
    surroundings = {TERMINATION_LOG: str(last_words), RUNNER: str(os.getpid())}
    with log.open("w", encoding="utf-8") as file, _environment(surroundings), _terminable():
        watcher = _Watcher(file, report)
        with contextlib.redirect_stdout(watcher), _logging_kept(), warnings.catch_warnings():
            # The runner warns of an image that is not called python; every step's image is Serin's own.
            warnings.simplefilter("ignore")
            try:
                result = pipeline(**arguments)
            except RuntimeError:
                raise SerinError(_failure(watcher.failed, last_words, log)) from None
    return Run(dict(result.outputs), log)


def _failure(task: str, last_words: Path, log: Path) -> str:
    if last_words.is_file():
        return f"step {task} failed: {last_words.read_text(encoding='utf-8')}"
    tail = [line.strip() for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    errors = [line for line in tail if re.match(r"[\w.]+(Error|Exception|Killed)\b", line)]
    return f"step {task} failed: {(errors or ['it was ended from outside'])[-1]}\n  the whole log: {log}"


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Put back the handlers of the root logger: the runner leaves one that writes to this run's log."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does: the run ends, and its steps with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Watcher(TextIOBase):
    """Takes what the runner prints: all of it to the log, what matters to `report`."""

    def __init__(self, log: Any, report: Report) -> None:
        self._log = log
        self._report = report
        self._rest = ""
        self._started: dict[str, float] = {}
        self._current = ""
        self.failed = "unknown"

    def write(self, text: str) -> int:
        self._log.write(_COLOUR.sub("", text))
        self._log.flush()
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._look_at(_COLOUR.sub("", line).strip())
        return len(text)

    def _look_at(self, line: str) -> None:
        if match := _STARTED.search(line):
            self._current = match[1]
            self._started[match[1]] = time.monotonic()
            self._report(Progress(match[1], "started"))
        elif match := _FINISHED.search(line):
            seconds = time.monotonic() - self._started.get(match[1], time.monotonic())
            if match[2] == "FAILURE":
                self.failed = match[1]
            self._report(Progress(match[1], "finished" if match[2] == "SUCCESS" else "failed", seconds=seconds))
        elif line.startswith(SAID):
            self._report(Progress(self._current, "said", line.removeprefix(SAID)))
