"""Leases between processes, by the Lease objects of a real API server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.cluster.containers import CHECKOUT
from tests.cluster.world import World

NAME = "rollout-of-tests"


class Holders:
    """Processes that want the lease."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self._env = os.environ | {
            "KUBECONFIG": str(world.plane.kubeconfig("serin-drift")),
            "PYTHONPATH": str(CHECKOUT),
        }
        self._stack = stack

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """One more; it ends with the test."""
        line = [sys.executable, "-m", "tests.cluster.lease_holder", NAME, *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = self._stack.enter_context(subprocess.Popen(line, env=self._env, text=True, **pipes))
        self._stack.callback(process.kill)
        return process


@pytest.fixture
def holders(world: World) -> Iterator[Holders]:
    with ExitStack() as stack:
        yield Holders(world, stack)


def is_held(process: "subprocess.Popen[str]") -> bool:
    assert process.stdout
    return process.stdout.readline() == "held\n"


def test_a_second_holder_is_refused_and_told_who_has_it(holders: Holders) -> None:
    first = holders.start()
    assert is_held(first)
    _, said = holders.start().communicate(timeout=60)
    assert said.startswith(f"ConflictError: {NAME}: ")
    assert f"-{first.pid}-" in said


def test_whoever_waits_has_it_once_it_is_released(holders: Holders) -> None:
    first = holders.start()
    assert is_held(first)
    second = holders.start("wait")
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert is_held(second)


def test_the_lease_of_a_holder_that_was_killed_lapses(holders: Holders) -> None:
    first = holders.start()
    assert is_held(first)
    first.kill()
    assert is_held(holders.start())


def test_a_holder_whose_lease_was_taken_is_interrupted(holders: Holders, world: World) -> None:
    first = holders.start()
    assert is_held(first)
    world.plane.api.delete("coordination.k8s.io/v1", "Lease", NAME)
    second = holders.start()
    assert is_held(second)
    assert first.wait(60) == 1
    assert first.stderr
    assert "its lease was lost, and the work was interrupted" in first.stderr.read()
