"""The pipeline's image trains: tasks of the training pipeline with Kubeflow's executor, and the MLflow server."""

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import httpx
import pytest

from components.evaluate.component import evaluate
from components.features.component import features
from components.ingest.component import ingest
from components.register.component import register
from components.train.component import stack, train
from infra.images import ROOT
from serin.platform import reference_of
from serin.simulate import simulate
from serin.use_case import Search, dumps, load
from tests import services
from tests.images.container import Image
from tests.images.kubeflow import Done, Run

pytestmark = pytest.mark.images


@pytest.fixture(scope="module")
def endpoints(pipeline: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A cluster's services: S3, Redis and PostgreSQL of this machine, and the MLflow server from the image itself.

    The profile is `local` for its leases, which are files: those of a cluster need its API server.
    """
    folder = tmp_path_factory.mktemp("mlflow")
    port = services.free_port()
    with services.redis() as redis, services.postgres() as postgres, services.s3("serin") as s3:
        command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        command += ["--backend-store-uri", postgres, "--artifacts-destination", "s3://serin/mlflow"]
        settings = s3 | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with pipeline.container(folder, command, settings).started() as process:
            deadline = time.monotonic() + 180
            while not _healthy(port):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline, "no MLflow server within 180 s"
                time.sleep(0.2)
            yield s3 | {
                "SERIN_FEATURE_STORE": "/app/feature_repo/feature_store.cluster.yaml",
                "SERIN_STORAGE": "s3://serin/data",
                "SERIN_REDIS": redis,
                "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
            }


@pytest.fixture(scope="module")
def run(pipeline: Image, endpoints: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(pipeline, tmp_path_factory.mktemp("run"), endpoints)


@pytest.fixture(scope="module")
def published(endpoints: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """card_fraud with no search, published as `serin submit` does."""
    case = load("card_fraud", ROOT / "pipelines" / "use_cases")
    quick = case.model_copy(update={"training": case.training.model_copy(update={"search": Search(trials=0)})})
    document = tmp_path_factory.mktemp("published") / "use_case.json"
    document.write_text(dumps(quick))
    _upload(endpoints, document, f"data/use_cases/{reference_of(quick)}.json")
    return reference_of(quick)


@pytest.fixture(scope="module")
def featured(run: Run, published: str, endpoints: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The training set of 60 days of card transactions, by the image's own tasks `ingest` and `features`."""
    table = tmp_path_factory.mktemp("table") / "transactions.parquet"
    simulate(seed=3, start=date(2026, 1, 1), days=60, rows=30_000).to_parquet(table)
    _upload(endpoints, table, "incoming/transactions.parquet")
    given = {"data": "s3://serin/incoming/transactions.parquet", "as_of": "", "replace_days": False}
    ingested = run.task(ingest, {"use_case": published, **given})
    parameters = {"as_of": ingested.parameters["known_at"], "snapshot": ingested.parameters["snapshot"]}
    return run.task(features, {"use_case": published, **parameters})


def test_training_tasks_end_in_a_registered_version(
    run: Run, published: str, featured: Done, endpoints: dict[str, str]
) -> None:
    training_set = [featured.artifacts["training_set"]]
    assert training_set[0].metadata["rows"] > 1000
    named = {"use_case": published}
    # The estimator whose library needs one of the system's.
    trained = run.task(train, named | {"estimator": "lightgbm"}, {"training_set": training_set})
    assert 0.5 < trained.artifacts["metrics"].metadata["validation_roc_auc"] <= 1
    models = {"training_set": training_set, "models": [trained.artifacts["model"]]}
    stacked = run.task(stack, named, models)
    evaluated = run.task(evaluate, named, models | {"stack": [stacked.artifacts["model"]]})
    registered = run.task(
        register,
        named | {"gate": evaluated.parameters["Output"], "run_id": "run-1"},
        {"model": [evaluated.artifacts["model"]], "report": [evaluated.artifacts["report"]]},
    )
    assert registered.parameters["Output"] == 1
    address = f"{endpoints['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/model-versions/get"
    found = httpx.get(address, params={"name": "card-fraud", "version": "1"}).json()["model_version"]
    assert found["status"] == "READY"


def test_command_line_finds_its_workspace(pipeline: Image, endpoints: dict[str, str], tmp_path: Path) -> None:
    done = pipeline.container(tmp_path, ["serin", "status", "--json"], endpoints).run()
    assert done.returncode == 0, done.stderr
    assert "card_fraud" in done.stdout


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").is_success
    except httpx.TransportError:
        return False


def _upload(endpoints: dict[str, str], path: Path, key: str) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoints["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
    )
    client.upload_file(str(path), "serin", key)
    client.close()
