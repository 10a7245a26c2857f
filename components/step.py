"""What every pipeline step does around its work: say what it did, and leave its last words where they are found.

A step that fails with one of Serin's errors writes the message where Kubernetes looks for a container's
termination message; on this machine the local runner names another file.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serin.errors import SerinError

TERMINATION_LOG = "SERIN_TERMINATION_LOG"
RUNNER = "SERIN_RUNNER_PID"
SAID = "serin: "


def say(text: str) -> None:
    """One line of progress, on a cluster in the pod's log, on this machine in front of the user."""
    print(SAID + text, flush=True)


@contextmanager
def step() -> Iterator[None]:
    """Turn one of Serin's errors into a message and exit code 1; leave a bug's traceback as it is."""
    _end_with_the_runner()
    try:
        yield
    except SerinError as error:
        target = Path(os.environ.get(TERMINATION_LOG, "/dev/termination-log"))
        if target.parent.is_dir() and os.access(target.parent, os.W_OK):
            target.write_text(str(error), encoding="utf-8")
        print(error, file=sys.stderr, flush=True)
        raise SystemExit(1) from None


def _end_with_the_runner() -> None:
    """On this machine: end when the process that runs the pipeline is gone, even by kill -9."""
    if runner := os.environ.get(RUNNER):
        threading.Thread(target=_watch, args=(int(runner),), daemon=True).start()


def _watch(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            os._exit(1)
        time.sleep(0.5)
