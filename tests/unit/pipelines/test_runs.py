"""What a run is told of its result."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines import runs
from serin.errors import NotFoundError
from serin.platform import build
from serin.workspace import Workspace
from tests import services


class Backend:
    """Runs nothing, and ends well."""

    def table(self, data: str, listener: Any) -> str:
        return data

    def run(self, pipeline: Any, arguments: Any, listener: Any) -> None:
        self.arguments = arguments


@pytest.fixture
def platform(tmp_path):
    root = services.workspace_copy(tmp_path / "workspace")
    return replace(build(Workspace.from_variables({"SERIN_ROOT": str(root)})), pipelines=Backend())


def test_training_that_ended_well_and_left_no_version_is_told_with_its_run(platform):
    case = platform.own_use_case("bank_churn")
    told = (
        "training of bank_churn ended well, but the model registry has no version of bank-churn whose tag serin.run is"
    )
    with pytest.raises(NotFoundError, match=told) as error:
        runs.train(platform, case, "", "", print)
    assert platform.pipelines.arguments["run_id"] in str(error.value)


def test_retraining_that_left_no_version_had_no_reason_to_train(platform):
    case = platform.own_use_case("bank_churn")
    assert runs.retrain(platform, case, "", "", "", print) is None
