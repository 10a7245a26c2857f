"""`serin train` that is interrupted leaves no process, and says how to go on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psutil
import pytest

from serin.simulate import simulate
from tests import services
from tests.integration.serving_world import until


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    simulate(seed=3, start=date(2026, 1, 1), days=45, rows=3000).to_parquet(made / "t.parquet")
    return made


def _left_over(root: Path) -> list[psutil.Process]:
    """Processes that were started in the workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SERIN_ROOT") == str(root):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _ctrl_c(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGINT)


def _as_in_a_terminal() -> None:
    """Who runs the tests in the background has SIGINT ignored, and a child would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _terminate(process: "subprocess.Popen[str]") -> None:
    process.terminate()


@pytest.mark.parametrize("interrupt", [_ctrl_c, _terminate])
def test_an_interrupted_training_leaves_no_process_and_says_how_to_go_on(
    root: Path, interrupt: Callable[["subprocess.Popen[str]"], None]
) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SERIN_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "train", "card_fraud", "--data", "t.parquet"],
        env=kept | {"SERIN_ROOT": str(root)}, cwd=root, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=_as_in_a_terminal,
    )  # fmt: skip
    until(lambda: _step(root), "a step")
    interrupt(process)
    process.wait(120)
    assert _left_over(root) == []
    output, errors = process.communicate()
    assert process.returncode == 130, output + errors
    assert errors == "serin: interrupted; run the same command again to go on\n"


def _step(root: Path) -> bool:
    """Whether Python runs in a step: its shell is there before it."""
    commands = [" ".join(process.cmdline()) for process in _left_over(root)]
    return any("executor_main" in command and "python" in command.partition(" ")[0] for command in commands)
