"""Pipelines on this machine: the settings of a cluster change nothing here."""

import signal
from pathlib import Path

import pytest
from kfp import dsl, kubernetes

from serin.adapters.local.runner import LocalRunner
from serin.errors import SerinError
from serin.workspace import Workspace
from tests import services


@dsl.component(base_image="serin", install_kfp_package=False)
def stumble(path: str) -> None:
    """Writes a line and fails."""
    from pathlib import Path

    from components.step import step

    with Path(path).open("a", encoding="utf-8") as file:
        file.write("tried\n")
    with step("stumble", "no_use_case"):
        pass


@dsl.component(base_image="serin", install_kfp_package=False)
def train(path: str, code: int, times: int) -> None:
    """Writes a line; the first `times` attempts end with the code, or by the signal where that is negative."""
    import os
    import sys
    from pathlib import Path

    with Path(path).open("a", encoding="utf-8") as file:
        file.write("tried\n")
    if len(Path(path).read_text(encoding="utf-8").splitlines()) <= times:
        if code < 0:
            os.kill(os.getpid(), -code)
        sys.exit(code)


@dsl.pipeline(name="training")
def training(path: str, code: int, times: int) -> None:
    """One training."""
    train(path=path, code=code, times=times)


@dsl.component(base_image="serin", install_kfp_package=False)
def broken(estimator: str) -> None:
    """Ends before it can say anything for itself."""
    import os

    os._exit(7)


@dsl.pipeline(name="breaking")
def breaking(estimator: str) -> None:
    """One step that leaves no last words."""
    broken(estimator=estimator)


@dsl.pipeline(name="stumbling")
def stumbling(path: str) -> None:
    """One step that is tried again on a cluster."""
    task = stumble(path=path).set_retry(3, "60s", 2.0, "600s")
    kubernetes.use_config_map_as_env(task, "nowhere", {"A": "SERIN_PROFILE"})
    kubernetes.set_timeout(task, 1)


def test_a_step_that_fails_is_not_tried_again_while_somebody_waits(tmp_path) -> None:  # type: ignore[no-untyped-def]
    root = services.workspace_copy(tmp_path / "workspace")
    runner = LocalRunner(Workspace.from_variables({"SERIN_ROOT": str(root)}))
    for times in (1, 2):
        with pytest.raises(SerinError, match="step stumble failed: no use case 'no_use_case'"):
            runner.run(stumbling, {"path": str(tmp_path / "tries")}, print)
        assert (tmp_path / "tries").read_text() == "tried\n" * times


def tries(tmp_path: Path, code: int, times: int) -> tuple[int, list[str]]:
    """How often a training was tried whose first attempts end so, and what was told."""
    root = services.workspace_copy(tmp_path / "workspace")
    runner, told = LocalRunner(Workspace.from_variables({"SERIN_ROOT": str(root)})), []
    try:
        arguments = {"path": str(tmp_path / "tries"), "code": code, "times": times}
        runner.run(training, arguments, lambda event: told.append(event.text))
    except SerinError as error:
        told.append(str(error))
    return len((tmp_path / "tries").read_text().splitlines()), told


@pytest.mark.parametrize("code", [75, -signal.SIGKILL])
def test_training_that_was_ended_from_outside_is_started_again_and_that_is_told(tmp_path: Path, code: int) -> None:
    times, told = tries(tmp_path, code, 1)
    assert times == 2
    assert len(told) == 1
    assert "started again from its checkpoint, attempt 2 of 4" in told[0]


def test_training_that_is_ended_each_time_fails_in_the_end(tmp_path: Path) -> None:
    times, told = tries(tmp_path, 75, 99)
    assert times == 4
    assert "was ended from outside" in told[-1]


def test_training_that_fails_by_itself_is_not_started_again(tmp_path: Path) -> None:
    assert tries(tmp_path, 1, 1)[0] == 1


def test_a_step_that_leaves_no_last_words_is_named_with_its_estimator_and_exit_code(tmp_path: Path) -> None:
    root = services.workspace_copy(tmp_path / "workspace")
    runner = LocalRunner(Workspace.from_variables({"SERIN_ROOT": str(root)}))
    with pytest.raises(SerinError, match="step broken xgboost failed with exit code 7: the log's last lines say why"):
        runner.run(breaking, {"estimator": "xgboost"}, print)
