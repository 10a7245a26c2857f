"""Commands in processes of their own, as the demo runs them."""

import re

import pytest

from serin.demo.terminal import Terminal
from serin.errors import SerinError, UnavailableError
from serin.workspace import Workspace
from tests import services


@pytest.fixture
def workspace(tmp_path):
    return Workspace.from_variables({"SERIN_ROOT": str(services.workspace_copy(tmp_path / "a workspace"))})


def test_command_is_shown_and_its_result_returned(workspace):
    shown = []
    made = Terminal(workspace, shown.append).serin("simulate", "--rows=1000", "--days=5", "--out", "a table.csv")
    assert shown == ["$ serin simulate --rows=1000 --days=5 --out 'a table.csv'"]
    assert (workspace.root / made["file"]).is_file()


def test_progress_of_a_command_goes_on_to_standard_error(workspace, capfd):
    Terminal(workspace, [].append).serin("simulate", "--rows=1000", "--days=5")
    told = capfd.readouterr()
    assert "fraud" in told.err
    assert told.out == ""


def test_command_that_fails(workspace, capfd):
    with pytest.raises(SerinError, match=r"^`serin simulate --out t.xlsx` ended with exit code 1; what it said stands"):
        Terminal(workspace, [].append).serin("simulate", "--out", "t.xlsx", may_fail=True)
    assert "can't write .xlsx" in capfd.readouterr().err


def test_command_that_may_fail_and_has_a_result(workspace):
    (workspace.use_cases / "broken.yaml").write_text("name: broken\n")
    terminal = Terminal(workspace, [].append)
    assert terminal.serin("doctor", may_fail=True)["ok"] is False
    with pytest.raises(SerinError, match="`serin doctor` ended with exit code 1"):
        terminal.serin("doctor")


def test_server_that_does_not_start(workspace):
    terminal = Terminal(workspace, [].append)
    message = re.escape("serin serve did not start") + r"(?s:.*)no champion"
    with pytest.raises(UnavailableError, match=message), terminal.serving("card_fraud", 1, lambda: False):
        raise AssertionError("the block must not run")
