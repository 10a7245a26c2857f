"""`serin train` that is interrupted leaves no process, and says how to go on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from serin.simulate import simulate
from tests import services
from tests.integration.serving_world import until


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    simulate(seed=3, start=date(2026, 1, 1), days=45, rows=3000).to_parquet(made / "t.parquet")
    return made


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
    until(lambda: services.step(root), "a step")
    interrupt(process)
    process.wait(120)
    assert services.left_over(root) == []
    output, errors = process.communicate()
    assert process.returncode == 130, output + errors
    assert errors == "serin: interrupted; run the same command again to go on\n"
