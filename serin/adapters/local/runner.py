"""KFP's local runner: the same pipeline, each step a process of this environment."""

import contextlib
import copy
import logging
import os
import re
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import TextIOBase
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from serin import environment
from serin.adapters.local.processes import end_marked
from serin.errors import SerinError
from serin.progress import Listener, heard
from serin.storage import absolute
from serin.workspace import Workspace

_GRACE = 5.0
_COLOUR = re.compile(r"\x1b\[\d+m")


class LocalRunner:
    """Runs pipelines in this workspace; what a run leaves behind lies below <state>/runs."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @property
    def recurring(self) -> None:
        """See PipelineBackend: `serin watch` does that here."""
        return None

    def table(self, data: str, listener: Listener) -> str:  # noqa: ARG002
        """See PipelineBackend: the location as every process of this machine understands it."""
        return absolute(data)

    def run(self, pipeline: Any, arguments: Mapping[str, Any], listener: Listener) -> None:
        """See PipelineBackend. Ctrl-C and SIGTERM end the step that runs, then raise KeyboardInterrupt."""
        from kfp import local

        root = self._workspace.state / "runs" / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{pipeline.name}"
        root.mkdir(parents=True)
        last_words, log = root / "termination-log", root / "log.txt"
        local.init(
            local.SubprocessRunner(use_venv=False), pipeline_root=str(root), workspace_root=str(root / "workspace")
        )
        variables = {
            **self._workspace.variables(),
            environment.TERMINATION_LOG: str(last_words),
            environment.RUNNER: str(os.getpid()),
        }
        with log.open("w", encoding="utf-8") as file, environment.changed(variables), _terminable():
            watcher = _Watcher(file, listener)
            with contextlib.redirect_stdout(watcher), _logging_kept(), warnings.catch_warnings():
                # The runner warns of an image that is not called python; every step's image is Serin's own.
                warnings.simplefilter("ignore")
                try:
                    _tried_once(pipeline)(**arguments)
                except RuntimeError:
                    raise SerinError(_failure(watcher.current, last_words, log)) from None
                finally:
                    # Nothing runs any more, but after Ctrl-C: KFP lets go of a step without ending it.
                    end_marked(environment.RUNNER, str(os.getpid()), _GRACE)


def _tried_once(pipeline: Any) -> Any:
    """The pipeline without retries: on this machine nothing is preempted, and somebody waits for what is wrong."""
    once = copy.deepcopy(pipeline)
    graph = once.component_spec.implementation.graph
    for dag in (graph.root.dag, *(component.dag for component in graph.components.values())):
        for task in dag.tasks.values():
            task.ClearField("retry_policy")
    return once


def _failure(task: str, last_words: Path, log: Path) -> str:
    # Steps run side by side, so it is the step itself that says which one failed.
    ended = f"{task or 'before the first'} failed: it was ended from outside"
    said = last_words.read_text(encoding="utf-8") if last_words.is_file() else ended
    return f"step {said}\n  the whole log: {log}"


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
def _terminable() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does in a terminal: the run ends, and its steps with it.

    The steps are told first: where several run at once, KFP waits for all of them, whatever happens.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        for step in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                step.terminate()
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Watcher(TextIOBase):
    """Takes what the runner prints: all of it to the log, what the steps tell to `listener`."""

    def __init__(self, log: Any, listener: Listener) -> None:
        self._log = log
        self._listener = listener
        self._rest = ""
        self.current = ""

    def write(self, text: str) -> int:
        self._log.write(_COLOUR.sub("", text))
        self._log.flush()
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            told = heard(_COLOUR.sub("", line).strip())
            if told:
                self.current = told.task or self.current
                self._listener(told)
        return len(text)
