"""The whole ingest step, on folders of tmp_path."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from components.ingest.store import Ingested, ingest
from serin import partitions, storage
from serin.errors import DataError
from serin.use_case import UseCase, parse
from serin.workspace import Workspace

MAY, JUNE = datetime(2018, 5, 1, tzinfo=UTC), datetime(2018, 6, 1, tzinfo=UTC)
Ingest = Callable[..., Ingested]


def make_case(key: list[str], *, timestamp: bool) -> UseCase:
    columns: dict[str, Any] = {
        "id": {"type": "integer"},
        "amount": {"type": "number", "min": 0},
        "label": {"type": "integer", "nullable": True},
    }
    return parse(
        {
            "name": "toy",
            "data": {"columns": columns | ({"at": {"type": "timestamp"}} if timestamp else {}), "key": key},
            "label": {"column": "label"},
            "entities": {"thing": "id"},
            "features": {"service": "toy_v1", "request": ["amount"]},
            "training": {"estimators": {"xgboost": {}}},
        }
        | ({"timestamp": "at"} if timestamp else {}),
        "toy",
    )


EVENTS, KEYLESS, SNAPSHOT = (
    make_case(["id"], timestamp=True),
    make_case([], timestamp=True),
    make_case(["id"], timestamp=False),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, "local", str(tmp_path / "state"), "", tmp_path / "feature_store.yaml")


@pytest.fixture
def run(workspace: Workspace, tmp_path: Path) -> Ingest:
    def run(case: UseCase, frame: pd.DataFrame, as_of: datetime = JUNE) -> Ingested:
        source = tmp_path / "source.csv"
        frame.to_csv(source, index=False)
        return ingest(workspace, case, str(source), as_of)

    return run


def rows(ids: range, *, days: int = 2, amount: float = 1.0) -> pd.DataFrame:
    at = [f"2018-06-{1 + i % days:02}T{i % 24:02}:00:00" for i in ids]
    return pd.DataFrame({"id": ids, "at": at, "amount": amount, "label": [i % 2 for i in ids]})


def files(workspace: Workspace) -> dict[str, int]:
    root = Path(workspace.storage)
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


def stored(workspace: Workspace) -> pd.DataFrame:
    return storage.read_table(workspace.events("toy")).to_pandas()


def test_rows_go_to_the_partition_of_their_utc_date(run: Ingest, workspace: Workspace) -> None:
    frame = rows(range(4))
    frame.loc[0, "at"] = "2018-06-01T01:00:00+02:00"
    done = run(EVENTS, frame)
    assert done.written == ("2018-05-31", "2018-06-01", "2018-06-02")
    assert (done.rows, done.added, done.quarantined) == (4, 4, 0)
    assert done.first == datetime(2018, 5, 31, 23, tzinfo=UTC)
    assert done.last == datetime(2018, 6, 2, 3, tzinfo=UTC)
    schema = pq.read_schema(partitions.location(workspace.events("toy"), "2018-06-01"))
    assert [(field.name, str(field.type)) for field in schema] == [
        ("id", "int64"),
        ("amount", "double"),
        ("label", "double"),
        ("at", "timestamp[us, tz=UTC]"),
    ]


def test_second_run_changes_nothing_not_even_times_of_files(run: Ingest, workspace: Workspace) -> None:
    frame = rows(range(40))
    frame.loc[0, "amount"] = -1.0
    first, before = run(EVENTS, frame), files(workspace)
    second = run(EVENTS, frame)
    assert files(workspace) == before
    assert (second.written, second.added, second.snapshot) == ((), 0, first.snapshot)
    assert (second.rows, second.quarantined, second.quarantine) == (39, 1, first.quarantine)


def test_incoming_row_takes_the_place_of_the_one_with_its_key(run: Ingest, workspace: Workspace) -> None:
    first = run(EVENTS, rows(range(4)))
    changed = run(EVENTS, rows(range(2, 6), amount=7.0))
    assert (changed.added, changed.rows) == (2, 4)
    assert changed.snapshot != first.snapshot
    assert stored(workspace).sort_values("id")["amount"].tolist() == [1, 1, 7, 7, 7, 7]


def test_only_partitions_whose_content_changes_are_written(run: Ingest, workspace: Workspace) -> None:
    run(EVENTS, rows(range(10)))
    frame = rows(range(10))
    frame.loc[frame["id"] == 3, "amount"] = 9.0
    assert run(EVENTS, frame).written == ("2018-06-02",)


def test_part_of_what_is_stored_changes_nothing(run: Ingest, workspace: Workspace) -> None:
    run(EVENTS, rows(range(10)))
    before = files(workspace)
    assert run(EVENTS, rows(range(4))).written == ()
    assert files(workspace) == before


def test_source_without_key_replaces_the_dates_it_covers(run: Ingest, workspace: Workspace) -> None:
    run(KEYLESS, rows(range(10)))
    run(KEYLESS, rows(range(20, 24), days=1))
    assert sorted(stored(workspace)["id"]) == [1, 3, 5, 7, 9, 20, 21, 22, 23]


def test_snapshot_hash_knows_neither_order_nor_history(run: Ingest, workspace: Workspace, tmp_path: Path) -> None:
    at_once = run(EVENTS, rows(range(10))).snapshot
    elsewhere = Workspace(tmp_path, "local", str(tmp_path / "other"), "", tmp_path / "feature_store.yaml")
    for part in (rows(range(5, 10)), rows(range(6)).iloc[::-1]):
        part.to_parquet(tmp_path / "part.parquet")
        done = ingest(elsewhere, EVENTS, str(tmp_path / "part.parquet"), JUNE)
    assert done.snapshot == at_once


def test_snapshot_hash_is_the_one_it_has_always_been(run: Ingest) -> None:
    """Registered versions carry it: should this fail, they can no longer be traced to their data."""
    assert run(EVENTS, rows(range(10))).snapshot == "4bca02c78964"


def test_bad_rows_are_quarantined_with_their_reason(run: Ingest) -> None:
    frame = rows(range(40))
    frame.loc[5, "amount"] = -1.0
    done = run(EVENTS, frame)
    assert done.quarantine is not None
    bad = storage.read_table(done.quarantine).to_pandas()
    assert bad[["row", "id", "reason"]].values.tolist() == [[6, "5", "amount: below 0 (found '-1.0')"]]


def test_refused_source_leaves_everything_as_it_was(run: Ingest, workspace: Workspace) -> None:
    run(EVENTS, rows(range(10)))
    before = files(workspace)
    with pytest.raises(DataError, match="10 of 10 rows break a rule"):
        run(EVENTS, rows(range(10), amount=-1.0))
    assert files(workspace) == before


def test_table_without_times_is_one_partition_of_the_as_of_date(run: Ingest, workspace: Workspace) -> None:
    done = run(SNAPSHOT, rows(range(10)).drop(columns="at"), MAY)
    assert (done.written, done.added, done.first) == (("2018-05-01",), 10, None)
    assert list(stored(workspace).columns) == ["id", "amount", "label"]


def test_new_snapshot_replaces_the_old_one(run: Ingest, workspace: Workspace) -> None:
    run(SNAPSHOT, rows(range(10)), MAY)
    done = run(SNAPSHOT, rows(range(8, 12)), JUNE)
    assert (done.written, done.added) == (("2018-06-01",), 0)
    assert list(files(workspace)) == ["events/toy/date=2018-06-01/part.parquet"]
    assert stored(workspace)["id"].tolist() == [8, 9, 10, 11]


def test_same_snapshot_a_month_later_changes_nothing(run: Ingest, workspace: Workspace) -> None:
    first, before = run(SNAPSHOT, rows(range(10)), MAY), files(workspace)
    assert run(SNAPSHOT, rows(range(10)), JUNE).snapshot == first.snapshot
    assert files(workspace) == before


def test_snapshot_that_was_killed_while_moving_is_put_right(run: Ingest, workspace: Workspace) -> None:
    run(SNAPSHOT, rows(range(10)), MAY)
    older = storage.read_table(partitions.location(workspace.events("toy"), "2018-05-01"))
    storage.write_table(older.slice(0, 3), partitions.location(workspace.events("toy"), "2018-04-01"))
    run(SNAPSHOT, rows(range(10)), MAY)
    assert list(files(workspace)) == ["events/toy/date=2018-05-01/part.parquet"]
    assert len(stored(workspace)) == 10
