"""What `serin train` asks first, and what it says is to be done next."""

from pathlib import Path
from typing import Any

import pytest

from pipelines import runs
from pipelines.commands.train import _metrics, _next
from pipelines.console import Console
from serin.errors import UnavailableError
from serin.platform import build
from serin.ports import RegisteredVersion
from serin.workspace import Workspace
from tests import services
from tests.unit.pipelines.test_doctor import CASE


def version(number: int, gate: str = "passed") -> RegisteredVersion:
    return RegisteredVersion("toy", number, {"serin.gate": gate}, ())


@pytest.mark.parametrize(
    ("made", "champion", "told"),
    [
        (version(1, "failed"), None, "there is no champion yet; the report says why"),
        (version(2, "failed"), version(1), "v1 stays the champion; the report says why"),
        (version(2, "undecided"), version(1), "v1 stays the champion; the report says why"),
        (version(1), version(1), "serin serve toy"),
        (version(3), version(3), "serin serve toy"),
        (version(3), version(1), "serin rollout toy --version 3"),
    ],
)
def test_next_step_goes_by_who_is_champion(made: RegisteredVersion, champion: Any, told: str, capsys: Any) -> None:
    _next(Console(), CASE, made, champion)
    assert told in capsys.readouterr().out


def test_metrics_stand_with_their_intervals_and_without_those_of_validation():
    found = {"validation_roc_auc": 0.8, "roc_auc": 0.9, "roc_auc_low": 0.87, "roc_auc_high": 0.92, "f1": 0.5}
    assert _metrics(found) == [("roc auc", "0.9000", "0.8700 to 0.9200"), ("f1", "0.5000", "")]


def test_registry_that_is_away_is_told_before_any_step_runs(tmp_path: Path):
    root = services.workspace_copy(tmp_path)
    uri = f"http://127.0.0.1:{services.free_port()}"
    platform = build(Workspace.from_variables({"SERIN_ROOT": str(root), "MLFLOW_TRACKING_URI": uri}))
    case = platform.own_use_case("bank_churn")
    with pytest.raises(UnavailableError, match=f"the model registry at {uri} does not answer"):
        runs.train(platform, case, "nothing.csv", "", print)
    assert not (platform.workspace.state / "runs").exists()
