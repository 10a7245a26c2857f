"""What every step tells Kubeflow, and which of its failures are worth another attempt."""

import json
import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kfp.dsl import Metrics

from components.step import log_metrics, step
from serin import environment
from serin.errors import DataError, InterruptedStepError, UnavailableError
from tests import services


def test_a_metric_that_is_no_number_is_told_and_not_drawn(capsys) -> None:  # type: ignore[no-untyped-def]
    artifact = Metrics()
    log_metrics(artifact, {"roc_auc": np.float32(0.5), "lift": math.nan, "psi_Größe (cm)": math.inf})
    assert artifact.metadata == {"roc_auc": 0.5}
    assert type(artifact.metadata["roc_auc"]) is float
    assert "lift is nan: it can't be drawn" in capsys.readouterr().out


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A step of a run of Kubeflow's; gives where the run's failures are marked."""
    root = services.workspace_copy(tmp_path / "workspace")
    variables = {
        "SERIN_ROOT": str(root),
        "SERIN_RUN": "run-1",
        environment.TERMINATION_LOG: str(tmp_path / "last-words"),
    }
    with environment.changed(variables):
        yield root / ".serin" / "failures" / "run-1"


def attempt(error: Exception | None = None, task: str = "train xgboost") -> bool:
    """One attempt at a step that fails with `error`; whether it came to do its work."""
    worked = False
    kinds = (SystemExit, type(error)) if error else SystemExit
    with suppress(kinds), step(task, "bank_churn"):
        worked = True
        if error:
            raise error
    return worked


@pytest.mark.parametrize("error", [DataError("too few rows"), KeyError("x"), ValueError("no")])
def test_failure_that_would_repeat_is_not_worked_on_again(run: Path, error: Exception, capsys: Any) -> None:
    assert attempt(error)
    assert not attempt(error)
    assert str(error) in capsys.readouterr().err


@pytest.mark.parametrize("error", [UnavailableError("S3 is away"), ConnectionError("reset"), RuntimeError("who knows")])
def test_failure_that_may_pass_is_worked_on_again(run: Path, error: Exception) -> None:
    assert attempt(error)
    assert attempt(error)


def test_another_step_of_the_run_is_not_held_up(run: Path) -> None:
    assert attempt(DataError("too few rows"))
    assert attempt(task="train lightgbm")


def test_run_that_is_started_again_by_hand_later_is_worked_on(run: Path) -> None:
    assert attempt(DataError("too few rows"))
    (mark,) = run.iterdir()
    then = datetime.now(UTC) - timedelta(hours=2)
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"at": then.isoformat()}))
    assert attempt()


def test_interruption_has_an_exit_code_of_its_own_and_leaves_no_mark(run: Path) -> None:
    with pytest.raises(SystemExit) as end, step("train xgboost", "bank_churn"):
        raise InterruptedStepError("told to end")
    assert end.value.code == 75
    assert attempt()
