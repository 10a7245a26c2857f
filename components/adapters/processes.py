"""Child processes that never outlive their parent, and the leftovers of one that was killed."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def spawn(command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a child in `folder` whose output goes to `log` (the last run's is kept as `log`.1).

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
            stderr=subprocess.STDOUT,
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
    """What tells a process from a later one with the same id: when it started. None: no such process."""
    return _linux_identity(pid) if sys.platform == "linux" else _ps_identity(pid)


def _linux_identity(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in brackets and may hold spaces; start time is the 22nd (man 5 proc).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else f"{boot}:{fields[19]}"


def _ps_identity(pid: int) -> str | None:
    asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or None


def end_stale(pid: int, known: str, grace: float) -> bool:
    """End a process of an earlier run, if `pid` is still that very process; whether it was."""
    if identity(pid) != known:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            if identity(pid) != known:
                return True
            time.sleep(0.05)
    return True
