"""What is asked of Kubeflow, before it is asked."""

from typing import Any

import pytest

from pipelines.submission import packaged, pairs, read, submit
from serin.errors import SerinError, UnavailableError
from serin.platform import build
from serin.use_case import load
from serin.workspace import Workspace
from tests import services


@pytest.fixture(scope="module")
def package():  # type: ignore[no-untyped-def]
    return packaged("training", load("card_fraud", services.CHECKOUT / "pipelines" / "use_cases"))


def test_a_pipeline_that_is_none_is_told_with_those_there_are() -> None:
    case = load("card_fraud", services.CHECKOUT / "pipelines" / "use_cases")
    with pytest.raises(SerinError, match="no pipeline 'traning'; known: training, retraining"):
        packaged("traning", case)


def test_texts_become_what_the_pipeline_declares(package) -> None:  # type: ignore[no-untyped-def]
    given = {"as_of": "2026-01-06", "replace_days": "true"}
    assert read(package, given) == {"as_of": "2026-01-06", "replace_days": True}


def test_a_text_that_is_none_of_its_type_is_named(package) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SerinError, match="replace_days: found 'yes', allowed is true or false"):
        read(package, {"replace_days": "yes"})


def test_a_setting_without_a_value_is_named() -> None:
    assert pairs(["version=3", "as_of=a=b"]) == {"version": "3", "as_of": "a=b"}
    with pytest.raises(SerinError, match="--set version: allowed is NAME=VALUE"):
        pairs(["version"])


def test_a_setting_that_is_given_twice_is_named_with_both_values() -> None:
    with pytest.raises(SerinError, match="version is given twice, as '3' and as '4'; allowed: once"):
        pairs(["version=3", "version=4"])


def test_a_use_case_beside_the_use_case_is_refused_before_anything_is_asked() -> None:
    case = load("card_fraud", services.CHECKOUT / "pipelines" / "use_cases")
    platform = build(Workspace.from_variables({"SERIN_ROOT": str(services.CHECKOUT)}))
    kubeflow: Any = None
    with pytest.raises(SerinError, match="--set use_case=bank_churn: the use case is the argument before, card_fraud"):
        submit(platform, kubeflow, "rollout", case, {"use_case": "bank_churn"}, lambda _: None)


@pytest.fixture
def variables(tmp_path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("SERIN_KFP_HOST", raising=False)
    root = services.workspace_copy(tmp_path / "workspace")
    return {
        "SERIN_ROOT": str(root),
        "SERIN_PROFILE": "cluster",
        "SERIN_STORAGE": "s3://serin",
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
    }


def test_a_host_that_nobody_named_is_told_with_how_to_name_one(variables: dict[str, str]) -> None:
    platform = build(Workspace.from_variables(variables))
    with pytest.raises(UnavailableError, match="set SERIN_KFP_HOST to its URL, or give --host URL"):
        platform.kubeflow("")


def test_a_host_that_is_no_url_is_refused(variables: dict[str, str]) -> None:
    platform = build(Workspace.from_variables(variables))
    with pytest.raises(UnavailableError, match="--host is 'kfp:8080'; allowed: a URL that starts with http://"):
        platform.kubeflow("kfp:8080")


def test_the_local_profile_has_no_kubeflow(variables: dict[str, str]) -> None:
    platform = build(Workspace.from_variables({"SERIN_ROOT": variables["SERIN_ROOT"]}))
    with pytest.raises(UnavailableError, match="SERIN_PROFILE is local, and Kubeflow's pods can't read"):
        platform.kubeflow("http://kfp")
