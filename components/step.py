"""What every pipeline step does around its work: read its use case, tell how far it is, leave its last words.

A step that fails writes why where Kubernetes looks for a container's termination message; on this machine the local
runner names another file.
"""

import math
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from serin import environment
from serin.errors import SerinError
from serin.platform import Platform, build
from serin.progress import say, told
from serin.use_case import UseCase


@contextmanager
def step(task: str, use_case: str) -> Iterator[tuple[Platform, UseCase]]:
    """The platform and the use case that `use_case` refers to, for the block that does the work of `task`.

    One of Serin's errors becomes a message and exit code 1; of any other the traceback stays.
    """
    _end_with_the_runner()
    try:
        with told(task):
            platform = build()
            yield platform, platform.use_case(use_case)
    except SerinError as error:
        _leave(f"{task} failed: {error}")
        print(error, file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    except Exception as error:
        _leave(f"{task} failed: {type(error).__name__}: {error}")
        raise


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
