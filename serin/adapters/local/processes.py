"""Child processes that never outlive their parent, and the leftovers of one that was killed."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_JITTER = 2.0  # seconds


def spawn(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    folder: Path,
    errors: int | None = subprocess.STDOUT,
) -> subprocess.Popen[bytes]:
    """Start a child in `folder` whose output goes to `log` (the last run's is kept as `log`.1).

    With `errors` None, its standard error is this process's own.
    Ctrl-C does not reach it, since it has its own session; it gets SIGTERM when the calling thread ends in
    any way (on Linux).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            preexec_fn=_dies_with_parent() if sys.platform == "linux" else None,
        )


def _dies_with_parent() -> Callable[[], None]:
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        # The parent may have died before the kernel was asked.
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


def stop(children: Sequence[subprocess.Popen[bytes]], grace: float) -> None:
    """SIGTERM to all, SIGKILL to those that still run after `grace` seconds; returns when all have ended."""
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + grace
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def identity(pid: int) -> str | None:
    """What tells a process from a later one with the same id: when it started. None: no such process, or it ended."""
    process = _process(pid)
    return str(process.create_time()) if process else None


def is_same(pid: int, known: str | None) -> bool:
    """Whether `pid` is still the very process of which `identity` said `known`.

    The start is told from the boot time, which Linux rounds to seconds and may tell differently from call to call.
    """
    found = identity(pid)
    try:
        return found is not None and abs(float(found) - float(known or "nan")) < _JITTER
    except ValueError:
        return False  # Whoever wrote that, `identity` did not.


def place(path: Path) -> str:
    """What tells a file or folder from a copy of it, whatever it is called; moved on its disk, it stays the same."""
    found = path.stat()
    return f"{found.st_dev}:{found.st_ino}"


def end_stale(pid: int, known: str | None, grace: float) -> bool:
    """End a process of an earlier run, if `pid` is still that very process; whether it was."""
    process = _process(pid)
    if process is None or not is_same(pid, known):
        return False
    try:
        process.terminate()
        process.wait(grace)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(grace)
    except psutil.NoSuchProcess:
        pass
    return True


def end_marked(variable: str, value: str, grace: float) -> None:
    """End every other process that was started with an environment variable of that value, by whomever.

    A step whose shell Ctrl-C ended before it is nobody's child any more, but still knows its runner.
    """
    marked = [process for process in psutil.process_iter() if _variable(process, variable) == value]
    for process in marked:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(marked, grace)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, grace)


def _variable(process: psutil.Process, name: str) -> str | None:
    if process.pid == os.getpid():
        return None
    try:
        found: str | None = process.environ().get(name)
    except (psutil.Error, OSError):
        return None  # Another user's, or gone.
    return found


def _process(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None
