"""Pipelines on this machine: the settings of a cluster change nothing here."""

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
