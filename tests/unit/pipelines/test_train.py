"""What `serin train` says is to be done next."""

from typing import Any

import pytest

from pipelines.commands.train import _next
from pipelines.console import Console
from serin.ports import RegisteredVersion
from tests.unit.pipelines.test_doctor import CASE


def version(number: int, gate: str = "passed") -> RegisteredVersion:
    return RegisteredVersion("toy", number, {"serin.gate": gate}, ())


@pytest.mark.parametrize(
    ("made", "champion", "told"),
    [
        (version(1, "failed"), None, "there is no champion yet; the report says why"),
        (version(2, "failed"), version(1), "v1 stays the champion; the report says why"),
        (version(1), version(1), "serin serve toy"),
        (version(3), version(3), "serin serve toy"),
        (version(3), version(1), "serin rollout toy --version 3"),
    ],
)
def test_next_step_goes_by_who_is_champion(made: RegisteredVersion, champion: Any, told: str, capsys: Any) -> None:
    _next(Console(), CASE, made, champion)
    assert told in capsys.readouterr().out
