"""`serin serve` and rollouts as processes of their own, with registered versions and requests, in a workspace whose
folder has a name that URIs have to write otherwise."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from components.register.run import register
from components.rollout.controller import ANNOTATION
from components.rollout.states import RolloutState, parse_state
from serin.deployments import weights_of
from serin.errors import NotFoundError
from serin.platform import Platform, build
from serin.ports import VIRTUAL_SERVICE
from serin.progress import Progress
from serin.workspace import Workspace
from tests import services
from tests.factories import make_artifact
from tests.integration.serving_world import CASE, Load, predict, until

pytestmark = [
    # MLflow and KFP use interfaces of SQLAlchemy, Pydantic and others that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

PLAN = {
    "steps": [{"weight": 30, "pause": "2s"}, {"weight": 60, "pause": "1s"}],
    "interval": "1s",
    "min_requests": 10,
    "failure_limit": 0,
    "inconclusive_limit": 60,
}


class User:
    """Somebody with a workspace in which version 1 is champion and version 2 the challenger."""

    def __init__(self, root: Path) -> None:
        self.root = services.workspace_copy(root)
        self.port = services.free_port()
        file = root / "pipelines" / "use_cases" / "card_fraud.yaml"
        declared = yaml.safe_load(file.read_text()) | {"rollout": PLAN, "slo": {"latency_p95_ms": 4000}}
        file.write_text(yaml.safe_dump(declared))
        self.platform: Platform = build(Workspace.from_variables({"SERIN_ROOT": str(root)}))
        for version in (1, 2):
            self.register(version)

    def register(self, version: int) -> None:
        folder = self.root / f"v{version}"
        make_artifact(folder, seed=version)
        assert register(self.platform, CASE, folder, "passed", {}, "").version == version

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SERIN_")}
        return subprocess.Popen(
            [sys.executable, "-u", "-m", "pipelines", *arguments],
            env=kept | {"SERIN_ROOT": str(self.root)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    @contextmanager
    def serving(self) -> Iterator["subprocess.Popen[str]"]:
        """`serin serve` until the block ends, answering when it starts."""
        server = self.start("serve", "card_fraud", "--port", str(self.port))
        try:
            until(lambda: predict(self.port)[0] == 200 or server.poll() is not None, "an answer", 120)
            yield server
        finally:
            server.terminate()
            output, _ = server.communicate(timeout=60)
        assert server.returncode in (0, -9), output

    def weights(self) -> dict[str, int]:
        try:
            return weights_of(self.platform.serving("card-fraud").get(VIRTUAL_SERVICE, "card-fraud"))
        except NotFoundError:
            return {}

    def state(self) -> RolloutState:
        document = self.platform.serving("card-fraud").get(VIRTUAL_SERVICE, "card-fraud")
        return parse_state(document["metadata"]["annotations"][ANNOTATION], "")

    def alias(self, name: str) -> int | None:
        found = self.platform.registry.by_alias("card-fraud", name)
        return found.version if found else None


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> User:
    return User(tmp_path_factory.mktemp("workspace") / "a chéckout")


def test_a_rollout_whose_server_is_killed_stops_blames_nobody_and_goes_on_later(user: User) -> None:
    with user.serving() as server, Load(user.port):
        rollout = user.start("rollout", "card_fraud")
        until(lambda: user.weights().get("card-fraud-v2") or rollout.poll() is not None, "traffic for version 2", 120)
        server.kill()
        output, _ = rollout.communicate(timeout=60)
    assert rollout.returncode == 1, output
    assert "serin: nothing serves card_fraud on this machine; start `serin serve card_fraud`" in output
    assert (user.state().phase, user.state().failures) == ("Progressing", 0)
    assert user.weights() == {"card-fraud-v1": 70, "card-fraud-v2": 30}
    assert (user.alias("champion"), user.alias("challenger")) == (1, 2)
    with user.serving(), Load(user.port):
        rollout = user.start("rollout", "card_fraud")
        output, _ = rollout.communicate(timeout=120)
    assert rollout.returncode == 0, output
    assert "Failed" not in output
    assert user.weights() == {"card-fraud-v2": 100}
    assert (user.alias("champion"), user.alias("previous")) == (2, 1)


def test_the_rollout_pipeline_promotes_the_challenger(user: User) -> None:
    from pipelines.rollout import rollout

    user.register(3)
    told: list[Progress] = []
    with user.serving(), Load(user.port) as load:
        user.platform.pipelines.run(
            rollout, {"use_case": user.platform.publish(user.platform.own_use_case("card_fraud"))}, told.append
        )
        assert user.weights() == {"card-fraud-v3": 100}
        until(lambda: load.versions.get("3", 0) > 20, "answers of version 3")
    assert load.failed == []
    assert user.alias("champion") == 3
    assert [(each.task, each.event) for each in told if each.event != "said"] == [
        ("rollout", "started"),
        ("rollout", "finished"),
    ]
    assert any("Promoted" in each.text for each in told)
