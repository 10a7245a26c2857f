"""KFP's local runner: the same pipeline, each step a process of this environment.

A training that was interrupted, or killed from outside (as the system does when memory runs out), is started again and
goes on from its checkpoint; any other failure ends the run, for somebody waits.
"""

import contextlib
import copy
import itertools
import json
import logging
import os
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import TextIOBase
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from serin import environment
from serin.adapters.local.processes import end_marked
from serin.errors import SerinError
from serin.progress import Listener, heard, say
from serin.storage import absolute
from serin.workspace import Workspace

_GRACE = 5.0
# KFP runs no more than two of a loop's tasks side by side.
_PARALLEL = 2
# Components that go on from a checkpoint, and how their end looks when it came from outside: told to (75, see
# components.step), or by SIGKILL or SIGTERM, as a process or as a shell says it.
_RESUMED = ("train",)
_FROM_OUTSIDE = (75, 128 + signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGKILL, -signal.SIGTERM)
_ATTEMPTS = 4
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
            environment.THREADS: str(max(1, (os.cpu_count() or 1) // _PARALLEL)),
        }
        ending = threading.Event()
        with log.open("w", encoding="utf-8") as file, environment.changed(variables), _terminable(ending):
            watcher = _Watcher(file, listener)
            with (
                contextlib.redirect_stdout(watcher),
                _logging_kept(),
                _watched(ending) as failed,
                warnings.catch_warnings(),
            ):
                # The runner warns of an image that is not called python; every step's image is Serin's own.
                warnings.simplefilter("ignore")
                try:
                    _tried_once(pipeline)(**arguments)
                except RuntimeError:
                    raise SerinError(
                        _failure(failed or [f"{watcher.current or 'before the first'} failed"], last_words, log)
                    ) from None
                finally:
                    ending.set()
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


@contextlib.contextmanager
def _watched(ending: threading.Event) -> Iterator[list[str]]:
    """While the block runs, start a training again that was ended from outside, unless the run itself is `ending`.

    Gives the list of the steps that failed, each with how it ended. KFP knows retries, but not which failures are worth
    one; its function that runs a process is the only place that sees the exit code.
    """
    from kfp.local import subprocess_task_handler as handler

    original: Callable[..., int] = handler.run_local_subprocess
    failed: list[str] = []

    def run(full_command: Sequence[str], env_vars: Mapping[str, str] | None = None) -> int:
        code, name = 1, _step_of(full_command)
        for attempt in range(1, _ATTEMPTS + 1):
            # After Ctrl-C KFP begins what else a loop has.
            if ending.is_set():
                break
            code = original(full_command, env_vars)
            resumed = any(component in full_command for component in _RESUMED)
            if ending.is_set() or not resumed or code not in _FROM_OUTSIDE or attempt == _ATTEMPTS:
                break
            say(
                f"{name} was ended from outside (exit code {code}); started again from its checkpoint, "
                f"attempt {attempt + 1} of {_ATTEMPTS}"
            )
        if code:
            how = "it was ended from outside" if code in _FROM_OUTSIDE else "the log's last lines say why"
            failed.append(f"{name} failed with exit code {code}: {how}")
        return code

    handler.run_local_subprocess = run
    try:
        yield failed
    finally:
        handler.run_local_subprocess = original


def _step_of(command: Sequence[str]) -> str:
    """The component that a command of KFP's executor runs, and the estimator where it is given one."""
    following = dict(itertools.pairwise(command))
    name = following.get("--function_to_execute", "a step")
    with contextlib.suppress(ValueError, LookupError, TypeError):
        given = json.loads(following["--executor_input"])["inputs"]["parameterValues"]
        return f"{name} {given['estimator']}"
    return name


def _failure(failed: Sequence[str], last_words: Path, log: Path) -> str:
    # Steps run side by side, so it is the step itself that says which one failed; one that can't is told by its end.
    said = last_words.read_text(encoding="utf-8") if last_words.is_file() else failed[0]
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
def _terminable(ending: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run, and its steps with it.

    The steps are told first: where several run at once, KFP waits for all of them, whatever happens. One that takes
    its time to keep what it has is killed after a while.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        ending.set()
        _to_each_step(psutil.Process.terminate)
        last = threading.Timer(_GRACE, _to_each_step, (psutil.Process.kill,))
        last.daemon = True
        last.start()
        signal.default_int_handler(number, frame)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    # Who is started in the background may have Ctrl-C ignored, and it stays so.
    for number in (number for number, handler in before.items() if handler != signal.SIG_IGN):
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _to_each_step(do: Callable[[psutil.Process], None]) -> None:
    for step in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            do(step)


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
