"""The demo's workspace."""

import pytest

from serin import use_case
from serin.demo import stage
from serin.errors import ConflictError
from serin.platform import build
from serin.workspace import Workspace
from tests import services


@pytest.fixture
def main(tmp_path):
    return Workspace.from_variables({"SERIN_ROOT": str(services.workspace_copy(tmp_path))})


def test_workspace_holds_the_demos_use_case_alone_and_starts_empty(main):
    first, _ = stage.set_up(main)
    (first.state / "mlflow").mkdir(parents=True)
    workspace, case = stage.set_up(main)
    assert workspace.root == main.state / "demo"
    assert not workspace.state.exists()
    assert [path.name for path in workspace.use_cases.iterdir()] == ["card_fraud.yaml"]
    assert [path.name for path in workspace.feature_repo.glob("*.py")] == ["card_fraud.py"]
    assert use_case.load("card_fraud", workspace.use_cases) == case


def test_workspace_with_somebodys_use_case_is_left_alone(main):
    workspace, _ = stage.set_up(main)
    (workspace.use_cases / "churn.yaml").write_text("name: churn\n")
    with pytest.raises(ConflictError, match=r"demo holds churn.yaml; the demo starts over in an empty workspace"):
        stage.set_up(main)
    assert (workspace.use_cases / "churn.yaml").exists()


def test_workspace_that_is_served_is_left_alone(main):
    workspace, _ = stage.set_up(main)
    with (
        build(workspace).lease.hold("serving-card-fraud"),
        pytest.raises(ConflictError, match=r"`serin serve card_fraud` still runs in .*; end it"),
    ):
        stage.set_up(main)


def test_oversized_use_case_has_one_estimator_and_is_put_back_whatever_happens(main):
    workspace, case = stage.set_up(main)

    def interrupted():
        with stage.oversized(workspace):
            changed = use_case.load("card_fraud", workspace.use_cases)
            assert list(changed.training.estimators) == ["random_forest"]
            assert changed.training.test == case.training.test
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert use_case.load("card_fraud", workspace.use_cases) == case
