"""Profile `cluster`: the same code with S3, Redis and PostgreSQL behind it, all real servers on loopback. Leases go to
a stand-in API server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests import kubernetes_api, services

AS_OF = datetime(2026, 2, 15, tzinfo=UTC)

# Run in a process of its own: the clients of S3 read their endpoint from the environment once.
REFRESH_AND_REGISTER = """
import sys
from datetime import datetime
from pathlib import Path
from components.features.run import refresh
from components.ingest.store import ingest
from components.register.run import register
from serin.platform import build
from tests.factories import make_artifact

platform = build()
case = platform.own_use_case("card_fraud")
as_of = datetime.fromisoformat(sys.argv[2])
ingest(platform.workspace, case, sys.argv[1], as_of)
refresh(platform, case, as_of)
folder = Path(sys.argv[1]).parent / "artifact"
make_artifact(folder)
print(register(platform, case, folder, "passed", {}, "run-1").version)
version = platform.registry.by_alias("card-fraud", "champion")
print(platform.registry.storage_uri(version))
print(platform.registry.fetch(version, folder.with_name("fetched")))
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    root = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    with (
        services.redis() as redis,
        services.postgres() as postgres,
        services.s3("serin") as endpoints,
        kubernetes_api.running(root) as (_, kubeconfig),
    ):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SERIN_")} | endpoints
        yield (
            root,
            environment
            | {
                "SERIN_ROOT": str(root),
                "SERIN_PROFILE": "cluster",
                "SERIN_STORAGE": "s3://serin/data",
                "SERIN_REDIS": redis,
                "MLFLOW_TRACKING_URI": postgres,
                # For leases: of the API server a stand-in answers.
                "KUBECONFIG": str(kubeconfig),
                "PYTHONPATH": str(services.CHECKOUT),
            },
        )


def test_events_features_and_models_go_to_s3_redis_and_postgresql(cluster):
    from serin.simulate import simulate

    root, environment = cluster
    table = root / "t.parquet"
    simulate(seed=3, start=date(2026, 1, 1), days=45, rows=3000).to_parquet(table)
    command = [sys.executable, "-c", REFRESH_AND_REGISTER, str(table), AS_OF.isoformat()]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    version, uri, fetched = done.stdout.splitlines()[-3:]
    assert version == "1"
    assert uri.startswith("s3://serin/data/mlflow/artifacts/")
    assert (Path(fetched) / "manifest.json").is_file()
    stored = _objects(environment)
    assert stored >= {"data/events/card_fraud/date=2026-01-01/part.parquet", "data/feast-registry.db"}
    assert any(name.startswith("data/features/card_fraud/customer_activity__") for name in stored)
    assert _redis_keys(environment["SERIN_REDIS"]) > 50
    # Nothing stays on this machine.
    assert not (root / ".serin").exists()


def _objects(environment: dict[str, str]) -> set[str]:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
    )
    found = {item["Key"] for item in client.list_objects_v2(Bucket="serin")["Contents"]}
    client.close()
    return found


def _redis_keys(address: str) -> int:
    import redis

    host, port = address.split(":")
    with redis.Redis(host=host, port=int(port)) as client:
        return int(client.dbsize())
