"""Child processes, their end and their leftovers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serin.adapters.local import processes

SLEEPER = ["sleep", "60"]
DEAF = "trap '' TERM; echo up; while :; do sleep 0.05; done"


def _spawn(command: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    return processes.spawn(command, folder / "logs" / "child.log", dict(os.environ), folder)


def _until_text(path: Path) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.01)
    raise AssertionError(f"nothing was written to {path}")


def test_a_child_writes_to_its_log_and_the_last_log_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second"):
        assert _spawn(["sh", "-c", f"echo {word}; echo problem >&2"], tmp_path).wait() == 0
    assert (tmp_path / "logs" / "child.log").read_text() == "second\nproblem\n"
    assert (tmp_path / "logs" / "child.log.1").read_text() == "first\nproblem\n"


def test_a_child_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    child = _spawn(SLEEPER, tmp_path)
    try:
        assert os.getsid(child.pid) == child.pid
    finally:
        processes.stop([child], 5)


def test_stop_asks_first(tmp_path: Path) -> None:
    child = _spawn(SLEEPER, tmp_path)
    processes.stop([child], 5)
    assert child.returncode == -signal.SIGTERM


def test_stop_kills_what_does_not_listen(tmp_path: Path) -> None:
    child = _spawn(["sh", "-c", DEAF], tmp_path)
    _until_text(tmp_path / "logs" / "child.log")
    processes.stop([child], 0.1)
    assert child.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not tell a child of its parent's death")
def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys, time\n"
        "from serin.adapters.local import processes\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "child = processes.spawn(['sleep', '60'], here / 'log', dict(os.environ), here)\n"
        "(here / 'pid.tmp').write_text(str(child.pid)); (here / 'pid.tmp').rename(here / 'pid')\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        pid = int(_until_text(tmp_path / "pid"))
        known = processes.identity(pid)
        assert known
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 10
    while processes.identity(pid) == known and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes.identity(pid) != known


def test_identity_is_stable_and_tells_processes_apart(tmp_path: Path) -> None:
    child = _spawn(SLEEPER, tmp_path)
    try:
        assert processes.identity(child.pid) == processes.identity(child.pid)
        assert processes.identity(child.pid) != processes.identity(os.getpid())
    finally:
        processes.stop([child], 5)
    assert processes.identity(child.pid) is None


def test_a_leftover_is_ended(tmp_path: Path) -> None:
    child = _spawn(["sh", "-c", DEAF], tmp_path)
    _until_text(tmp_path / "logs" / "child.log")
    known = processes.identity(child.pid)
    assert known
    assert processes.end_stale(child.pid, known, 0.1)
    assert processes.identity(child.pid) is None
    child.wait()


def test_processes_are_ended_by_the_mark_that_they_were_started_with(tmp_path: Path) -> None:
    mark = f"{tmp_path}"
    shell = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], env={**os.environ, "MARK": mark}, stdout=-1)
    unmarked = subprocess.Popen(["sleep", "60"])
    try:
        assert shell.stdout
        orphan = int(shell.stdout.readline())
        shell.stdout.close()
        shell.kill()
        shell.wait()
        assert processes.identity(orphan)
        processes.end_marked("MARK", mark, 5)
        assert processes.identity(orphan) is None
        assert unmarked.poll() is None
    finally:
        unmarked.kill()
        unmarked.wait()


def test_another_process_with_the_same_id_is_left_alone(tmp_path: Path) -> None:
    child = _spawn(SLEEPER, tmp_path)
    try:
        assert not processes.end_stale(child.pid, "another start", 0.1)
        assert child.poll() is None
    finally:
        processes.stop([child], 5)
