"""`serin schedule` as a user meets it: processes, S3 and Redis real, Kubeflow's API server a stand-in."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests import kubernetes_api, services
from tests.kfp_server import KfpServer, kfp_server

SCHEDULES = {"materialisation": {"cron": "5 * * * *"}, "rollout": {"cron": "*/15 * * * *"}}


@dataclass(frozen=True)
class Cluster:
    """A workspace with one use case, and the variables that lead its commands to the cluster's services."""

    root: Path
    variables: dict[str, str]
    kfp: KfpServer

    def serin(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipelines", "schedule", *arguments],
            cwd=self.root, env=self.variables | variables, capture_output=True, text=True, timeout=180,
        )  # fmt: skip

    def declare(self, schedules: dict[str, dict[str, str]]) -> None:
        file = self.root / "pipelines" / "use_cases" / "card_fraud.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"schedules": schedules}))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    (root / "pipelines" / "use_cases" / "bank_churn.yaml").unlink()
    with (
        services.redis() as redis,
        services.s3("serin") as endpoints,
        kubernetes_api.running(root.parent) as (_, kubeconfig),
        kfp_server() as kfp,
    ):
        outside = {key: value for key, value in os.environ.items() if not key.startswith("SERIN_")}
        variables = {
            "SERIN_ROOT": str(root),
            "SERIN_PROFILE": "cluster",
            "SERIN_STORAGE": "s3://serin/data",
            "SERIN_REDIS": redis,
            # For leases.
            "KUBECONFIG": str(kubeconfig),
            "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db",
            "SERIN_KFP_HOST": kfp.url,
            "PYTHONPATH": str(services.CHECKOUT),
        }
        yield Cluster(root, outside | endpoints | variables, kfp)


def test_a_schedule_from_the_use_case_to_kubeflow_and_back(cluster: Cluster) -> None:
    cluster.declare(SCHEDULES)
    before = cluster.serin("diff", "card_fraud")
    assert before.returncode == 3, before.stdout + before.stderr
    assert "+ materialisation of card_fraud: there is none" in before.stdout
    assert "next: serin schedule apply card_fraud" in before.stdout
    assert cluster.kfp.recurring_runs == {}

    applied = cluster.serin("apply")
    assert applied.returncode == 0, applied.stderr
    assert "created materialisation of card_fraud: there is none" in applied.stdout
    made = {one.display_name.split("-")[2]: one for one in cluster.kfp.recurring_runs.values()}
    assert made["rollout"].runtime_config.parameters["if_waiting"] is True
    _published(cluster, made["rollout"].runtime_config.parameters["use_case"])

    same = cluster.serin("diff", "--json")
    assert same.returncode == 0, same.stderr
    assert json.loads(same.stdout) == {"equal": True, "use_cases": ["card_fraud"], "actions": []}
    again = cluster.serin("apply", "--json")
    assert json.loads(again.stdout) == {"use_cases": ["card_fraud"], "actions": []}

    listed = cluster.serin("list")
    assert "5 * * * *" in listed.stdout
    assert made["materialisation"].display_name in listed.stdout

    cluster.declare({"rollout": SCHEDULES["rollout"]})
    changed = cluster.serin("diff")
    assert changed.returncode == 3
    assert f"- materialisation of card_fraud ({made['materialisation'].display_name}): no longer in" in changed.stdout

    removed = cluster.serin("remove", "card_fraud")
    assert removed.returncode == 0, removed.stderr
    assert f"deleted rollout of card_fraud ({made['rollout'].display_name})" in removed.stdout
    assert cluster.kfp.recurring_runs == {}


def _published(cluster: Cluster, reference: str) -> None:
    """The use case that a run is given can be read, and does not say when it runs."""
    code = f"from serin.platform import build; print(build().use_case({reference!r}).schedules.rollout)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=cluster.variables, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "None\n", done.stderr


def test_those_of_others_and_of_other_workspaces_are_listed_and_left_alone(cluster: Cluster) -> None:
    cluster.declare(SCHEDULES)
    assert cluster.serin("apply").returncode == 0
    first, second = cluster.kfp.recurring_runs.values()
    first.description, first.display_name = "mine", "by-hand"
    second.description = "serin/schedule=elsewhere/rollout"
    listed = cluster.serin("list")
    assert "made by others, and left alone: by-hand" in listed.stdout
    gone = "elsewhere is no use case of this workspace; `serin schedule remove elsewhere` ends"
    assert gone in listed.stdout
    assert gone in cluster.serin("diff").stdout
    assert gone not in cluster.serin("diff", "card_fraud").stdout
    assert cluster.serin("remove").returncode == 0
    assert len(cluster.kfp.recurring_runs) == 2
    assert cluster.serin("remove", "elsewhere").returncode == 0
    assert [one.display_name for one in cluster.kfp.recurring_runs.values()] == ["by-hand"]
    cluster.kfp.recurring_runs.clear()


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (("apply",), {"SERIN_KFP_HOST": ""}, "no Kubeflow Pipelines is named: set SERIN_KFP_HOST to its URL"),
        (("apply",), {"SERIN_KFP_HOST": "http://127.0.0.1:9"}, "nobody answers there"),
        (("list",), {"SERIN_PROFILE": "local"}, "On one machine, `serin watch` runs the same schedules"),
        (("diff", "frauds"), {}, "no use case 'frauds'; known: card_fraud"),
        (
            ("remove", "frauds"),
            {},
            "'frauds' is no use case of this workspace, and has no recurring run; those that have",
        ),
    ],
)
def test_what_is_wrong_is_one_message_and_exit_code_1(
    cluster: Cluster, arguments: tuple[str, ...], variables: dict[str, str], told: str
) -> None:
    done = cluster.serin(*arguments, **variables)
    assert done.returncode == 1
    assert done.stderr.startswith("serin: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
