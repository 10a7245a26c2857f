"""What every pipeline step does around its work: read its use case, tell how far it is, leave its last words.

A step that fails writes why where Kubernetes looks for a container's termination message; on this machine the local
runner names another file.

Kubeflow's launcher hides a step's exit code, and Argo tries every failure again. So a step that would fail again in the
same way, for the use case, the data or a bug, leaves a mark in the object store, under the run and its own name; the
next attempt finds it and ends at once, with the same words. A mark counts for an hour: who starts a failed run again by
hand, later, has mended something.
"""

import json
import math
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

from serin import environment, storage
from serin.errors import ConflictError, InterruptedStepError, SerinError, UnavailableError
from serin.platform import Platform, build
from serin.progress import say, told
from serin.use_case import UseCase

# EX_TEMPFAIL of sysexits.h: ended before it was done, and to be started again.
INTERRUPTED = 75
# Another attempt may do better. Of what libraries raise, only _BUGS are bugs for sure: a network fails in many ways.
_MAY_PASS = (UnavailableError, ConflictError, InterruptedStepError)
_BUGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    TypeError,
    ValueError,
)
_MARK_COUNTS = timedelta(hours=1)


@contextmanager
def step(task: str, use_case: str) -> Iterator[tuple[Platform, UseCase]]:
    """The platform and the use case that `use_case` refers to, for the block that does the work of `task`.

    One of Serin's errors becomes a message and exit code 1, or 75 where the process was told to end; of any other the
    traceback stays.
    """
    _end_with_the_runner()
    mark = ""
    try:
        with told(task):
            platform = build()
            mark = _mark(platform, task)
            _stop_where_it_failed(mark)
            yield platform, platform.use_case(use_case)
    except SerinError as error:
        words = f"{task} {'was interrupted' if isinstance(error, InterruptedStepError) else 'failed'}: {error}"
        _leave(words)
        if not isinstance(error, (*_MAY_PASS, _FailedBeforeError)):
            _leave_mark(mark, str(error))
        print(error, file=sys.stderr, flush=True)
        raise SystemExit(INTERRUPTED if isinstance(error, InterruptedStepError) else 1) from None
    except Exception as error:
        _leave(f"{task} failed: {type(error).__name__}: {error}")
        if isinstance(error, _BUGS):
            _leave_mark(mark, f"{type(error).__name__}: {error}")
        raise


class _FailedBeforeError(SerinError):
    """An earlier attempt at this step failed, and this one would in the same way."""


def _mark(platform: Platform, task: str) -> str:
    """Where a step of this run says that it failed for good; "" on this machine, where it is not tried again."""
    run = environment.run()
    return platform.workspace.failure(run, task.replace(" ", "-")) if run else ""


def _stop_where_it_failed(mark: str) -> None:
    # A store that is away is no reason: the step itself says so.
    with suppress(UnavailableError, ValueError, KeyError):
        if not mark or not storage.exists(mark):
            return
        found = json.loads(storage.read_text(mark))
        if datetime.now(UTC) - datetime.fromisoformat(found["at"]) < _MARK_COUNTS:
            raise _FailedBeforeError(str(found["error"]))


def _leave_mark(mark: str, error: str) -> None:
    with suppress(UnavailableError):
        if mark:
            storage.write_text(json.dumps({"at": datetime.now(UTC).isoformat(), "error": error}), mark)


def log_metrics(artifact: Any, values: Mapping[str, float]) -> None:
    """Give a KFP Metrics artifact its numbers; one that is not finite is told and left out, for JSON can't hold it."""
    for name, value in values.items():
        if math.isfinite(value):
            artifact.log_metric(name, float(value))
        else:
            say(f"{name} is {value}: it can't be drawn")


def _leave(last_words: str) -> None:
    target = environment.termination_log()
    # A kubelet mounts a file that everybody may write to, in a folder that a pod's user may not.
    if os.access(target if target.exists() else target.parent, os.W_OK):
        target.write_text(last_words, encoding="utf-8")


def _end_with_the_runner() -> None:
    """On this machine: end when the process that runs the pipeline is gone, even by kill -9."""
    if runner := environment.runner():
        threading.Thread(target=_watch, args=(runner,), daemon=True).start()


def _watch(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait()
    os._exit(1)
