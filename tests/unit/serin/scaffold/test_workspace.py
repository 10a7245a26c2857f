"""A workspace made by command."""

from pathlib import Path

import pytest

from serin.errors import UnavailableError
from serin.scaffold.workspace import make, shipped_use_cases
from serin.use_case import load
from serin.workspace import Workspace


def test_new_workspace_is_found_and_has_the_shipped_use_cases(tmp_path: Path):
    make(tmp_path / "w")
    workspace = Workspace.from_variables({"SERIN_ROOT": str(tmp_path / "w")})
    assert [load(name, workspace.use_cases).name for name in shipped_use_cases()] == ["bank_churn", "card_fraud"]


def test_root_that_is_no_workspace_is_told_with_the_variable_that_names_it(tmp_path: Path):
    with pytest.raises(UnavailableError) as refused:
        Workspace.from_variables({"SERIN_ROOT": str(tmp_path)})
    assert str(refused.value) == (
        f"SERIN_ROOT is {tmp_path}, which is no workspace: it holds no feature_repo/feature_store.yaml. Set SERIN_ROOT "
        "to a workspace; `serin init FOLDER` makes one"
    )


def test_bare_workspace_has_no_use_case_and_no_definitions(tmp_path: Path):
    made = make(tmp_path, use_cases=())
    assert not [name for name in made.written if name.startswith("pipelines/") or name.endswith(".py")]
    assert Workspace.from_variables({"SERIN_ROOT": str(tmp_path)}).use_cases.is_dir()


def test_file_that_its_user_changed_is_kept_and_a_lost_one_is_made_again(tmp_path: Path):
    make(tmp_path)
    changed, lost = tmp_path / "pipelines/use_cases/card_fraud.yaml", tmp_path / "istio/virtualservice.yaml"
    changed.write_text("mine")
    lost.unlink()
    made = make(tmp_path)
    assert made.written == ("istio/virtualservice.yaml",)
    assert changed.read_text() == "mine"


def test_use_case_that_does_not_ship_is_named(tmp_path: Path):
    with pytest.raises(UnavailableError, match="no use case churn ships with Serin; there are bank_churn, card_fraud"):
        make(tmp_path, use_cases=("churn",))


def test_folder_that_is_a_file_is_named_with_the_cause(tmp_path: Path):
    (tmp_path / "f").touch()
    with pytest.raises(UnavailableError, match="f can't be made a workspace: "):
        make(tmp_path / "f")
