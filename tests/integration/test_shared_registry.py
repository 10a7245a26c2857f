"""A cluster's feature registry, which several workspaces and the images of pipelines share."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from serin.adapters.feast import FeastStore
from serin.errors import UseCaseError
from serin.use_case import UseCase, load
from serin.workspace import Workspace
from tests import services


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with the shipped use cases; Redis is asked for nothing."""
    monkeypatch.setenv("SERIN_STORAGE", str(tmp_path / "storage"))
    monkeypatch.setenv("SERIN_REDIS", "127.0.0.1:1")
    return at(services.workspace_copy(tmp_path / "one"))


def at(root: Path) -> Workspace:
    variables = {"SERIN_ROOT": str(root), "SERIN_PROFILE": "cluster", "MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    return Workspace.from_variables({**variables, "SERIN_STORAGE": str(root.parent / "storage")})


def case(workspace: Workspace, name: str = "bank_churn") -> UseCase:
    return load(name, workspace.use_cases)


def without_bank_churn(root: Path) -> Workspace:
    other = services.workspace_copy(root)
    (other / "feature_repo" / "bank_churn.py").unlink()
    return at(other)


def features(workspace: Workspace) -> tuple[str, ...]:
    (view,) = FeastStore(workspace).sources(case(workspace))
    return view.features


def drop_a_feature(workspace: Workspace) -> None:
    """In the use case and in its definitions."""
    definitions, use_case = workspace.feature_repo / "bank_churn.py", workspace.use_cases / "bank_churn.yaml"
    field = r' *Field\(\s*name="Geography",.*?\n        \),\n'
    for path, pattern in ((definitions, field), (use_case, r" *- Geography\n")):
        text, times = re.subn(pattern, "", path.read_text(), flags=re.DOTALL)
        assert times == 1
        path.write_text(text)


def test_what_a_workspace_lacks_stays_declared_for_the_others(workspace: Workspace, tmp_path: Path) -> None:
    FeastStore(workspace).apply()
    FeastStore(without_bank_churn(tmp_path / "other")).apply()
    assert "Geography" in features(workspace)


def test_a_change_of_the_definitions_reaches_the_registry(workspace: Workspace) -> None:
    FeastStore(workspace).apply()
    drop_a_feature(workspace)
    FeastStore(workspace).apply()
    assert "Geography" not in features(workspace)


def test_a_pod_takes_the_definitions_that_were_applied_and_not_its_image_s(
    workspace: Workspace, tmp_path: Path
) -> None:
    drop_a_feature(workspace)
    FeastStore(workspace).apply()
    image = replace(at(services.workspace_copy(tmp_path / "image")), pod="pod-1")
    # For this use case, whose definitions are there, and for one whose are not.
    FeastStore(image).apply(case(workspace))
    FeastStore(image).apply(case(workspace).model_copy(update={"features": case(image, "card_fraud").features}))
    assert "Geography" not in features(workspace)


def test_a_pod_declares_what_its_image_has_where_nobody_did(workspace: Workspace) -> None:
    pod = replace(workspace, pod="pod-1")
    FeastStore(pod).apply(case(workspace))
    assert "Geography" in features(pod)


def test_a_pod_that_knows_no_definitions_says_who_can_bring_them(workspace: Workspace, tmp_path: Path) -> None:
    pod = replace(without_bank_churn(tmp_path / "image"), pod="pod-1")
    FeastStore(pod).apply(case(workspace))
    told = "Feast has no feature service 'bank_churn_v1'; it has card_fraud_v1. Run `serin submit` in the workspace"
    with pytest.raises(UseCaseError, match=told):
        FeastStore(pod).sources(case(workspace))
