"""A task of the training pipeline as a pod: the pipeline's image under the account and the settings of the task."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from components.ingest.component import ingest
from serin.simulate import simulate
from tests.cluster.api import Document
from tests.cluster.audit import writes
from tests.cluster.node.task_pod import pod
from tests.cluster.world import World
from tests.integration.serving_world import until

TABLE = "serin/incoming/transactions.parquet"


@pytest.fixture(scope="module")
def store(world: World) -> fs.S3FileSystem:
    """The object store with a table of five days."""
    system = world.files()
    with system.open_output_stream(TABLE) as file:
        simulate(seed=3, start=date(2026, 1, 1), days=5, rows=2_000).to_parquet(file)
    return system


@pytest.fixture
def image(world: World) -> str:
    """The image of tasks, as the overlay names it."""
    deployment = world.plane.api.get("apps/v1", "Deployment", "mlflow")
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.fixture(autouse=True)
def no_pod_left(world: World) -> Iterator[None]:
    yield
    world.plane.api.delete("v1", "Pod", ingest.name)
    until(lambda: not _there(world), "the end of the task's pod", 60)


def test_a_task_stores_its_table_under_a_lease_of_its_account(
    world: World, store: fs.S3FileSystem, image: str, tmp_path: Path
) -> None:
    ended = run(world, pod(ingest, arguments(TABLE), "serin-pipeline", image, tmp_path))
    assert ended["exitCode"] == 0, output(world)
    assert {write.kind for write in writes(world.plane, "serin-pipeline")} == {"leases"}
    stored = store.get_file_info(fs.FileSelector("serin/events", recursive=True))
    assert [info.path for info in stored if info.extension == "parquet"]


def test_a_task_that_fails_says_why(world: World, store: fs.S3FileSystem, image: str, tmp_path: Path) -> None:
    ended = run(world, pod(ingest, arguments("serin/incoming/lost.parquet"), "serin-pipeline", image, tmp_path))
    assert ended["exitCode"] == 1
    assert "s3://serin/incoming/lost.parquet" in ended.get("message", ""), output(world)


def arguments(table: str) -> dict[str, Any]:
    return {"use_case": "card_fraud", "data": f"s3://{table}", "as_of": "", "replace_days": False}


def run(world: World, document: Document) -> Document:
    """Create a pod and wait for its end; how its container ended."""
    world.plane.api.create(document)

    def ended() -> Document | None:
        status = world.plane.api.get("v1", "Pod", document["metadata"]["name"])["status"]
        (container,) = status.get("containerStatuses") or [{"state": {}}]
        found: Document | None = container["state"].get("terminated")
        return found

    found: Document = until(ended, "the end of the task", 240)
    return found


def output(world: World) -> str:
    """What the task's container has written."""
    return world.plane.api.request("GET", f"/api/v1/namespaces/serin/pods/{ingest.name}/log").text[-3000:]


def _there(world: World) -> bool:
    return any(found["metadata"]["name"] == ingest.name for found in world.plane.api.list("v1", "Pod"))
