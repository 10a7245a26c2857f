"""Leases between processes of this machine."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from serin.adapters.local import processes
from serin.adapters.local.lease import FileLease
from serin.errors import ConflictError
from tests import services


@pytest.fixture
def lease(tmp_path: Path) -> FileLease:
    return FileLease(tmp_path / "locks")


@pytest.fixture
def other(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process, which holds the lease `job`."""
    with services.lease_holder(tmp_path / "locks", "job") as process:
        assert _said(process) == "held\n"
        yield process


def _said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline()


def test_a_lease_is_held_by_one_and_the_other_hears_by_whom(lease: FileLease, other: "subprocess.Popen[str]") -> None:
    with pytest.raises(ConflictError, match=f"job: process {other.pid} is at it already; let it end or stop it"):
        lease.hold("job").__enter__()
    with lease.hold("another job"):
        pass


def test_who_waits_hears_once_for_whom(lease: FileLease, other: "subprocess.Popen[str]") -> None:
    heard: list[str] = []

    def hear(holder: str) -> None:
        heard.append(holder)
        other.kill()

    with lease.hold("job", wait=True, waits_for=hear):
        assert heard == [f"process {other.pid}"]


def test_who_need_not_wait_hears_nothing(lease: FileLease) -> None:
    with lease.hold("job", wait=True, waits_for=pytest.fail):
        pass


def test_looking_for_the_holder_does_not_take_the_lease(lease: FileLease) -> None:
    assert lease.holder("job") is None
    with lease.hold("job"):
        assert lease.holder("job") == f"process {os.getpid()}"
    assert lease.holder("job") is None
    with lease.hold("job"):
        pass


def test_the_holder_is_seen_from_another_process_and_gone_when_it_is_killed(
    lease: FileLease, other: "subprocess.Popen[str]"
) -> None:
    assert lease.holder("job") == f"process {other.pid}"
    other.kill()
    other.wait()
    assert lease.holder("job") is None
    with lease.hold("job"):
        assert lease.holder("job") == f"process {os.getpid()}"


@pytest.mark.parametrize("signed", ["{pid} 1.0 {place}", "{pid} earlier {place}", "{pid}", "someone", ""])
def test_a_process_that_only_has_the_number_of_a_holder_is_none(lease: FileLease, tmp_path: Path, signed: str) -> None:
    with lease.hold("job"):
        pass
    path = tmp_path / "locks" / "job.lock"
    path.write_text(signed.format(pid=os.getpid(), place=processes.place(path)))
    assert lease.holder("job") is None


def test_whoever_waits_gets_the_lease_once_its_holder_is_done(
    lease: FileLease, other: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    with services.lease_holder(tmp_path / "locks", "job") as waiting:
        other.kill()
        assert _said(waiting) == "held\n"
        assert lease.holder("job") == f"process {waiting.pid}"


def test_the_lease_is_let_go_of_when_the_block_fails(lease: FileLease) -> None:
    with pytest.raises(ZeroDivisionError), lease.hold("job"):
        raise ZeroDivisionError
    assert lease.holder("job") is None


def test_holder_signs_with_its_start_and_the_place_of_the_file(lease: FileLease, tmp_path: Path) -> None:
    path = tmp_path / "locks" / "job.lock"
    with lease.hold("job"):
        signed = path.read_text()
    assert signed == f"{os.getpid()} {processes.identity(os.getpid())} {processes.place(path)}"
    path.write_text(signed)
    assert lease.holder("job") == f"process {os.getpid()}"
