"""Ingest from and to S3: moto's server over HTTP, reached through AWS's own variables."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from components.ingest.store import ingest
from serin import partitions, storage
from serin import tables as source_table
from serin.errors import UnavailableError
from serin.simulate import simulate
from serin.use_case import load
from serin.workspace import Workspace
from tests import services
from tests.factories import make_case

ROOT = Path(__file__).parents[2]
AS_OF = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of the test's own."""
    name = f"serin-{uuid4().hex}"
    with services.s3(name) as variables:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        yield f"s3://{name}"


@pytest.fixture
def workspace(bucket: str, tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, "cluster", f"{bucket}/serin", "", tmp_path / "feature_store.yaml")


def modified(bucket: str) -> dict[str, str]:
    import boto3

    client = boto3.client("s3")
    listed = client.list_objects_v2(Bucket=bucket.removeprefix("s3://"))["Contents"]
    client.close()
    return {item["Key"]: f"{item['LastModified']} {item['ETag']}" for item in listed}


def test_source_on_s3_is_stored_by_date_on_s3_and_again_without_a_change(bucket: str, workspace: Workspace) -> None:
    import pyarrow as pa

    case = load("card_fraud", ROOT / "pipelines" / "use_cases")
    frame = simulate(seed=1, start=date(2026, 1, 1), days=5, rows=1425)
    frame.loc[7, "TX_AMOUNT"] = -1.0
    source = f"{bucket}/incoming/transactions.parquet"
    storage.write_table(pa.Table.from_pandas(frame), source)

    first = ingest(workspace, case, source, AS_OF)
    assert first.written == tuple(f"2026-01-0{day}" for day in range(1, 6))
    assert (first.rows, first.quarantined) == (len(frame) - 1, 1)
    before, snapshot = modified(bucket), partitions.snapshot(workspace.events(case.name))
    second = ingest(workspace, case, source, AS_OF)
    assert (second.written, second.new, second.known) == ((), 0, len(frame) - 1)
    assert modified(bucket) == before
    assert partitions.snapshot(workspace.events(case.name)) == snapshot
    assert partitions.read(workspace.events(case.name)).table.num_rows == len(frame) - 1


def test_new_snapshot_on_s3_replaces_the_old_one(workspace: Workspace, tmp_path: Path) -> None:
    case = make_case({"id": "integer", "x": "number", "y": "integer"}, request=["x"], data={"key": ["id"]})
    source = tmp_path / "t.csv"
    for text, as_of in (("1,9,0\n2,9,1", datetime(2026, 1, 1, tzinfo=UTC)), ("2,9,0\n3,9,1\n4,9,1", AS_OF)):
        source.write_text(f"id,x,y\n{text}\n")
        ingest(workspace, case, str(source), as_of)
    (part,) = storage.files(workspace.events("toy"))
    assert part.endswith("/events/toy/date=2026-02-01/part.parquet")
    assert storage.read_file(part)["id"].to_pylist() == [2, 3, 4]


def test_source_that_is_not_on_s3_is_named(bucket: str) -> None:
    for location in (f"{bucket}/nothing.csv", "s3://no-such-bucket-of-serin/t.csv"):
        with pytest.raises(UnavailableError, match=location):
            source_table.read(location)


def test_dates_on_s3_are_pruned_compacted_and_passed_over_when_damaged(bucket: str) -> None:
    import pyarrow as pa

    folder = f"{bucket}/serin/predictions/toy"
    for number in range(20):
        storage.write_table(pa.table({"id": [number]}), partitions.location(folder, "2026-01-01", f"{number}.parquet"))
    storage.write_table(pa.table({"id": [20]}), partitions.location(folder, "2026-01-02", "20.parquet"))
    system, path = storage.filesystem(partitions.location(folder, "2026-01-02", "cut.parquet"))
    with system.open_output_stream(path) as file:
        file.write(b"PAR1")
    later = datetime.now(UTC) + timedelta(hours=2)
    assert [partitions.compact(folder, "2026-01-02", moment) for moment in (AS_OF, later)] == [20, 0]
    assert len(storage.files(folder)) == 3
    rows = partitions.read(folder)
    assert sorted(rows.table["id"].to_pylist()) == list(range(21))
    assert [one.location for one in rows.damaged] == [f"{folder}/date=2026-01-02/cut.parquet"]
    assert partitions.read(folder, first="2026-01-02").table["id"].to_pylist() == [20]


def test_bucket_that_is_not_there_is_named_with_what_was_tried(bucket: str) -> None:
    import pyarrow as pa

    where = "s3://no-such-bucket-of-serin/a.parquet"
    for act, words in (
        (lambda: storage.write_table(pa.table({"a": [1]}), where), "can't be written: .*; nothing was half-written"),
        (lambda: storage.write_text("a", where), "can't be written: .*; nothing was half-written"),
        (lambda: storage.read_file(where), "can't be read: "),
        (lambda: storage.read_text(where), "can't be read: "),
    ):
        with pytest.raises(UnavailableError, match=f"^{where} {words}"):
            act()


def test_s3_that_is_away_is_named_and_no_file_is_called_damaged(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{services.free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for act, words in (
        (lambda: partitions.damaged(f"{bucket}/a"), f"{bucket}/a can't be listed: "),
        (lambda: storage.read_file(f"{bucket}/a.parquet"), f"{bucket}/a.parquet can't be read: "),
    ):
        with pytest.raises(UnavailableError, match=f"^{words}"):
            act()
