"""`serin submit` as a user meets it: a process of its own, S3 and Redis real, Kubeflow's API server a stand-in."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import boto3
import pytest

from tests import kubernetes_api, services
from tests.integration.serving_world import until
from tests.kfp_server import Frame, KfpServer, kfp_server

TRAINED = Frame("SUCCEEDED", {"ingest": "SUCCEEDED", "train": "SUCCEEDED", "register": "SUCCEEDED"})


@dataclass(frozen=True)
class Cluster:
    """A workspace, and the variables that lead its commands to the cluster's services."""

    root: Path
    variables: dict[str, str]

    def serin(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipelines", *arguments],
            cwd=self.root, env=self.variables | variables, capture_output=True, text=True, timeout=180,
        )  # fmt: skip

    def python(self, code: str, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.root, env=self.variables | variables, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def objects(self, prefix: str) -> list[str]:
        client = boto3.client("s3", endpoint_url=self.variables["AWS_ENDPOINT_URL"], region_name="us-east-1",
                              aws_access_key_id="test", aws_secret_access_key="test")  # fmt: skip  # noqa: S106
        found = client.list_objects_v2(Bucket="serin", Prefix=prefix).get("Contents", [])
        client.close()
        return [item["Key"] for item in found]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    with (
        services.redis() as redis,
        services.s3("serin") as endpoints,
        kubernetes_api.running(root.parent) as (_, kubeconfig),
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
            "PYTHONPATH": str(services.CHECKOUT),
        }
        yield Cluster(root, outside | endpoints | variables)


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    with kfp_server() as server:
        yield server


def test_a_training_is_submitted_with_its_table_and_followed(cluster: Cluster, kfp: KfpServer) -> None:
    from serin.simulate import simulate

    simulate(seed=3, start=date(2026, 1, 1), days=5, rows=1000).to_parquet(cluster.root / "t.parquet")
    kfp.play(Frame("RUNNING", {"ingest": "RUNNING"}), TRAINED)
    command = ("submit", "training", "card_fraud", "--data", "t.parquet", "--as-of", "2026-01-06")
    first = cluster.serin(*command, "--json", SERIN_KFP_HOST=kfp.url)
    again = cluster.serin(*command, "--no-follow", "--host", kfp.url)
    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    told = json.loads(first.stdout)
    run = kfp.runs[told["run_id"]]
    parameters = run.runtime_config.parameters
    assert told["state"] == "succeeded"
    assert told["link"] == f"{kfp.url}/#/runs/details/{run.run_id}"
    assert parameters["as_of"] == "2026-01-06T00:00:00+00:00"
    assert parameters["data"].startswith("s3://serin/data/uploads/")
    assert cluster.objects("data/uploads/") == [parameters["data"].removeprefix("s3://serin/")]
    assert cluster.objects("data/use_cases/") == [f"data/use_cases/{parameters['use_case']}.json"]
    assert f"t.parquet is at {parameters['data']} now" in first.stderr
    assert "t.parquet is at" not in again.stdout
    assert "✓ ingest and check" in first.stderr
    assert len(kfp.versions) == 1
    _, other = kfp.runs
    assert "there already" in again.stdout
    assert f"next: serin follow {other}" in again.stdout


def test_a_use_case_of_one_s_own_brings_its_definitions(cluster: Cluster, kfp: KfpServer) -> None:
    rows = "\n".join(f"{number},{number % 7},{number % 3 % 2}" for number in range(400))
    (cluster.root / "own.csv").write_text(f"id,size,y\n{rows}\n")
    made = cluster.serin("new", "own", "--data", "own.csv", "--label", "y", "--entity", "id")
    assert made.returncode == 0, made.stderr
    done = cluster.serin("submit", "training", "own", "--data", "own.csv", "--json", SERIN_KFP_HOST=kfp.url)
    assert done.returncode == 0, done.stderr
    (run,) = kfp.runs.values()
    # A pod's workspace is its image's, which does not have them.
    image = services.workspace_copy(cluster.root / "image")
    code = (
        "import sys; from components.ingest.run import run; from components.features.run import refresh;"
        "from serin.platform import build; platform = build(); case = platform.use_case(sys.argv[1]);"
        "found = run(platform, case, sys.argv[2], '');"
        "print([view.view for view in refresh(platform, case, found.known_at).served]);"
        "print(sorted(s.name for s in platform.features._open().list_feature_services()))"
    )
    parameters = run.runtime_config.parameters
    program = f"import sys; sys.argv[1:] = {[parameters['use_case'], parameters['data']]!r}; {code}"
    in_a_pod = {"SERIN_ROOT": str(image), "SERIN_POD": "pod-1"}
    views, there = cluster.python(program, **in_a_pod).splitlines()[-2:]
    assert views == "['own_id']"
    assert there == "['bank_churn_v1', 'card_fraud_v1', 'own_v1']"


def test_a_folder_is_uploaded_as_one_table_and_only_once(cluster: Cluster) -> None:
    parts = cluster.root / "parts"
    (parts / "2026").mkdir(parents=True)
    for name in ("2026/a.csv", "b.csv"):
        (parts / name).write_text("id,y\n1,0\n")
    code = (
        "from serin.adapters.cluster.uploads import uploaded; from serin.tables import read;"
        "[print(uploaded('parts', 's3://serin/folders', lambda event: print(event.text))) for _ in range(2)];"
        "print(len(read(uploaded('parts', 's3://serin/folders', print), ['id', 'y']).frame))"
    )
    told, first, again, rows = cluster.python(code).splitlines()
    assert told == f"parts is at {first} now"
    assert first == again
    assert rows == "2"
    key = first.removeprefix("s3://serin/")
    assert cluster.objects("folders/") == [f"{key}/2026/a.csv", f"{key}/b.csv"]


def test_ctrl_c_leaves_the_run_and_says_how_to_follow_it_again(cluster: Cluster, kfp: KfpServer) -> None:
    kfp.play(Frame("RUNNING", {"roll-out": "RUNNING"}))
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "submit", "rollout", "card_fraud", "--set", "version=3"],
        cwd=cluster.root, env=cluster.variables | {"SERIN_KFP_HOST": kfp.url}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    until(lambda: len(kfp.asked("GET", "/apis/v2beta1/runs/.*")) > 1, "the run is followed")
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    ((run_id, run),) = kfp.runs.items()
    assert process.returncode == 130, output + errors
    assert errors == (
        f"serin: interrupted; the run goes on: {kfp.url}/#/runs/details/{run_id}\n"
        f"  follow it again: serin follow {run_id}\n"
    )
    assert run.state == "RUNNING"
    assert run.runtime_config.parameters["version"] == 3
    assert not kfp.asked("POST", ".*:terminate")
    kfp.play(Frame("SUCCEEDED", {"roll-out": "SUCCEEDED"}))
    again = cluster.serin("follow", run_id, "--host", kfp.url)
    assert again.returncode == 0, again.stderr
    assert "roll out" in again.stdout


def test_a_run_that_fails_ends_with_its_reason_and_exit_code_1(cluster: Cluster, kfp: KfpServer) -> None:
    kfp.play(Frame("FAILED", {"roll-out": "FAILED"}, {"roll-out": "rollout failed: no challenger"}))
    done = cluster.serin("submit", "rollout", "card_fraud", "--json", SERIN_KFP_HOST=kfp.url)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "serin: the run failed: step roll out: rollout failed: no challenger",
        f"  {kfp.url}/#/runs/details/{next(iter(kfp.runs))}",
    ]
    assert json.loads(done.stdout)["state"] == "failed"


def test_train_runs_on_kubeflow_where_one_is_named(cluster: Cluster, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t1")
    with kfp_server(multi_user=True, tokens={"t1": "ann"}, rights={"ann": {"serin"}}) as kfp:
        kfp.play(TRAINED)
        variables = {"SERIN_KFP_HOST": kfp.url, "SERIN_KFP_NAMESPACE": "serin", "SERIN_KFP_TOKEN_FILE": str(token)}
        done = cluster.serin("train", "card_fraud", **variables)
        (run,) = kfp.runs.values()
    assert f"{kfp.url}/?ns=serin#/runs/details/{run.run_id}" in done.stdout
    assert "✓ train an estimator" in done.stdout
    # Nothing was executed, so no version can have come of it: the registry, not the run's state, says what did.
    assert done.returncode == 1
    assert (
        f"has no version of card-fraud whose tag serin.run is {run.runtime_config.parameters['run_id']}" in done.stderr
    )


def test_what_can_not_be_submitted_is_refused_before_anything_is_asked(cluster: Cluster, kfp: KfpServer) -> None:
    done = cluster.serin("submit", "rollout", "card_fraud", "--data", "t.csv", SERIN_KFP_HOST=kfp.url)
    assert done.returncode == 1
    assert "data: no parameter of the pipeline; it takes " in done.stderr
    assert not kfp.requests
