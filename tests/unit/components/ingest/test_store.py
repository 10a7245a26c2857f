"""The whole ingest step, on folders of tmp_path."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ingest.store import Ingested, ingest
from serin import partitions, storage
from serin.errors import DataError, UnavailableError
from serin.use_case import UseCase
from serin.workspace import Workspace
from tests.factories import make_case

MAY, JUNE = datetime(2018, 5, 1, tzinfo=UTC), datetime(2018, 6, 1, tzinfo=UTC)
Ingest = Callable[..., Ingested]


def toy(key: list[str], *, timestamp: bool) -> UseCase:
    return make_case(
        {
            "id": "integer",
            "amount": {"type": "number", "min": 0},
            "label": {"type": "integer", "nullable": True},
            **({"at": "timestamp"} if timestamp else {}),
        },
        request=["amount"],
        data={"key": key},
        label={"column": "label"},
        timestamp="at" if timestamp else None,
    )


EVENTS, KEYLESS, SNAPSHOT = (
    toy(["id"], timestamp=True),
    toy([], timestamp=True),
    toy(["id"], timestamp=False),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, "local", str(tmp_path / "state"), "", tmp_path / "feature_store.yaml")


@pytest.fixture
def run(workspace: Workspace, tmp_path: Path) -> Ingest:
    def run(case: UseCase, frame: pd.DataFrame, as_of: datetime = JUNE, *, replace_days: bool = False) -> Ingested:
        source = tmp_path / "source.csv"
        frame.to_csv(source, index=False)
        return ingest(workspace, case, str(source), as_of, replace_days=replace_days)

    return run


def rows(ids: range, *, days: int = 2, amount: float = 1.0) -> pd.DataFrame:
    at = [f"2018-06-{1 + i % days:02}T{i % 24:02}:00:00" for i in ids]
    return pd.DataFrame({"id": ids, "at": at, "amount": amount, "label": [i % 2 for i in ids]})


def files(workspace: Workspace) -> dict[str, int]:
    root = Path(workspace.storage)
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


def snapshot(workspace: Workspace) -> str:
    return partitions.snapshot(workspace.events("toy"))


def stored(workspace: Workspace) -> pd.DataFrame:
    return partitions.read(workspace.events("toy")).table.to_pandas()


def test_rows_go_to_the_partition_of_their_utc_date(run: Ingest, workspace: Workspace) -> None:
    frame = rows(range(4))
    frame.loc[0, "at"] = "2018-06-01T01:00:00+02:00"
    done = run(EVENTS, frame)
    assert done.written == ("2018-05-31", "2018-06-01", "2018-06-02")
    assert (done.rows, done.new, done.quarantined) == (4, 4, 0)
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
    assert (second.written, second.new, second.known) == ((), 0, 39)
    assert (second.rows, second.quarantined, second.quarantine) == (39, 1, first.quarantine)


def test_incoming_row_takes_the_place_of_the_one_with_its_key(run: Ingest, workspace: Workspace) -> None:
    run(EVENTS, rows(range(4)))
    first = snapshot(workspace)
    changed = run(EVENTS, rows(range(2, 6), amount=7.0))
    assert (changed.rows, changed.new, changed.corrected, changed.known, changed.deleted) == (4, 2, 2, 0, 0)
    assert snapshot(workspace) != first
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


def test_event_with_a_corrected_time_moves_to_its_new_date_and_is_told_as_corrected(
    run: Ingest, workspace: Workspace
) -> None:
    run(EVENTS, rows(range(300)))
    later = rows(range(300))
    later["at"] = later["at"].str.replace("2018-06", "2018-07")
    done = run(EVENTS, later)
    assert (done.rows, done.new, done.corrected, done.known, done.deleted) == (300, 0, 300, 0, 0)
    assert done.written == ("2018-07-01", "2018-07-02", "2018-06-01", "2018-06-02")
    assert list(files(workspace)) == [f"events/toy/date=2018-07-0{day}/part.parquet" for day in (1, 2)]
    assert sorted(stored(workspace)["id"]) == list(range(300))


def test_event_moves_alone_and_the_others_of_its_old_date_stay(run: Ingest, workspace: Workspace) -> None:
    run(EVENTS, rows(range(10)))
    moved = rows(range(3, 4)).assign(at="2018-06-01T09:00:00")
    done = run(EVENTS, moved)
    assert (done.new, done.corrected, done.written) == (0, 1, ("2018-06-01", "2018-06-02"))
    by_id = stored(workspace).set_index("id")["at"]
    assert sorted(by_id.index) == list(range(10))
    assert by_id[3] == pd.Timestamp("2018-06-01T09:00", tz="UTC")
    assert (by_id.dt.day == 2).sum() == 4


def test_key_of_two_columns_is_unique_over_the_whole_store(run: Ingest, workspace: Workspace) -> None:
    case = toy(["id", "amount"], timestamp=True)
    run(case, rows(range(4)))
    done = run(case, rows(range(4), amount=2.0).assign(at="2018-07-01T00:00:00"))
    assert (done.new, done.corrected) == (4, 0)
    done = run(case, rows(range(3), amount=2.0).assign(at="2018-08-01T00:00:00"))
    assert (done.new, done.corrected) == (0, 3)
    assert len(stored(workspace)) == 8


def test_event_that_a_killed_ingest_left_on_two_dates_is_one_again(run: Ingest, workspace: Workspace) -> None:
    run(EVENTS, rows(range(10)))
    before = storage.read_file(partitions.location(workspace.events("toy"), "2018-06-02"))
    moved = rows(range(3, 4)).assign(at="2018-06-01T09:00:00")
    run(EVENTS, moved)
    storage.write_table(before, partitions.location(workspace.events("toy"), "2018-06-02"))
    assert len(stored(workspace)) == 11
    run(EVENTS, moved)
    assert sorted(stored(workspace)["id"]) == list(range(10))


def test_rows_whose_key_is_null_delete_none_of_each_other(run: Ingest, workspace: Workspace) -> None:
    case = toy(["label"], timestamp=True)
    unknown = rows(range(4)).assign(label=None)
    run(case, pd.concat([unknown, rows(range(10, 12))]))
    done = run(case, rows(range(3, 6)).assign(label=None))
    assert (done.new, done.corrected, done.known, done.deleted) == (2, 0, 1, 0)
    assert sorted(stored(workspace)["id"]) == [0, 1, 2, 3, 4, 5, 10, 11]


def test_increment_without_a_key_adds_to_the_days_that_are_there(run: Ingest, workspace: Workspace) -> None:
    run(KEYLESS, rows(range(10)))
    done = run(KEYLESS, rows(range(20, 24), days=1))
    assert (done.new, done.known, done.deleted) == (4, 0, 0)
    assert sorted(stored(workspace)["id"]) == [*range(10), 20, 21, 22, 23]


def test_same_table_without_a_key_changes_nothing_however_its_rows_repeat(run: Ingest, workspace: Workspace) -> None:
    frame = pd.concat([rows(range(10)), rows(range(3)), rows(range(3))])
    run(KEYLESS, frame)
    before = files(workspace)
    done = run(KEYLESS, frame.iloc[::-1])
    assert (done.rows, done.new, done.known, done.written) == (16, 0, 16, ())
    assert files(workspace) == before


def test_row_that_occurs_once_more_than_it_is_stored_is_one_new_row(run: Ingest, workspace: Workspace) -> None:
    run(KEYLESS, rows(range(4)))
    done = run(KEYLESS, pd.concat([rows(range(2)), rows(range(2)), rows(range(2))]))
    assert (done.new, done.known) == (4, 2)
    assert sorted(stored(workspace)["id"]) == [0, 0, 0, 1, 1, 1, 2, 3]


@pytest.mark.parametrize("case", [KEYLESS, EVENTS], ids=["without a key", "with a key"])
def test_days_are_replaced_when_asked_and_what_is_deleted_is_counted(
    run: Ingest, workspace: Workspace, case: UseCase
) -> None:
    run(case, rows(range(10)))
    again = pd.concat([rows(range(2, 3)), rows(range(20, 24), days=1)])
    done = run(case, again, replace_days=True)
    assert (done.rows, done.new, done.known, done.deleted, done.written) == (5, 4, 1, 4, ("2018-06-01",))
    assert sorted(stored(workspace)["id"]) == [1, 2, 3, 5, 7, 9, 20, 21, 22, 23]


def test_column_that_an_older_date_lacks_is_null_in_its_rows(run: Ingest, workspace: Workspace) -> None:
    run(KEYLESS, rows(range(10)))
    folder = workspace.events("toy")
    older = storage.read_file(partitions.location(folder, "2018-06-01")).drop_columns(["label"])
    partitions.write(folder, "2018-06-01", older, ())
    run(KEYLESS, rows(range(20, 22), days=1))
    labels = stored(workspace).set_index("id")["label"]
    assert labels[[0, 2, 4, 6, 8]].isna().all()
    assert labels[[20, 21]].tolist() == [0, 1]


def test_key_that_older_dates_lack_is_no_key_of_theirs(run: Ingest, workspace: Workspace) -> None:
    run(EVENTS, rows(range(10)))
    folder = workspace.events("toy")
    for date in partitions.dates(folder):
        older = storage.read_file(partitions.location(folder, date)).drop_columns(["id", "label"])
        partitions.write(folder, date, older, ())
    done = run(EVENTS, rows(range(20, 24)))
    assert (done.new, done.corrected, done.known) == (4, 0, 0)
    assert sorted(stored(workspace)["id"].dropna()) == [20, 21, 22, 23]
    assert len(stored(workspace)) == 14


def test_column_that_changed_its_type_names_the_stored_file(run: Ingest, workspace: Workspace) -> None:
    run(KEYLESS, rows(range(10)))
    folder = workspace.events("toy")
    older = storage.read_file(partitions.location(folder, "2018-06-01"))
    texts = older.set_column(1, "amount", pa.array(["much"] * len(older)))
    partitions.write(folder, "2018-06-01", texts, ())
    before = files(workspace)
    with pytest.raises(DataError, match=r"amount is stored as string in .*/date=2018-06-01/part\.parquet and declared"):
        run(KEYLESS, rows(range(20, 24)))
    assert files(workspace) == before


def test_later_file_with_one_label_only_is_fine_beside_stored_rows(run: Ingest, workspace: Workspace) -> None:
    run(EVENTS, rows(range(10)))
    assert run(EVENTS, rows(range(20, 30)).assign(label=0)).new == 10


def test_label_of_one_class_in_stored_and_new_rows_is_refused(run: Ingest, workspace: Workspace) -> None:
    with pytest.raises(DataError, match="column label: the label must have both classes; all 10 known ones are 0"):
        run(EVENTS, rows(range(10)).assign(label=0))


def test_open_end_in_the_year_9999_is_set_aside_and_no_partition_of_it_is_written(
    run: Ingest, workspace: Workspace
) -> None:
    frame = rows(range(40))
    frame.loc[[0, 7], "at"] = ["9999-12-31T00:00:00", "1901-01-01T00:00:00"]
    done = run(EVENTS, frame)
    assert (done.rows, done.quarantined) == (38, 2)
    assert partitions.dates(workspace.events("toy")) == ["2018-06-01", "2018-06-02"]
    reasons = storage.read_file(done.quarantine).to_pandas()["reason"].tolist()
    assert ["at: not an ISO 8601 time" in reason and "from 1970 to 2199" in reason for reason in reasons] == [True] * 2


def cut_short(where: str) -> None:
    path = Path(where)
    path.write_bytes(path.read_bytes()[:-20])


def test_damaged_date_is_left_alone_by_an_increment_of_other_dates(run: Ingest, workspace: Workspace) -> None:
    run(EVENTS, rows(range(10)))
    broken = partitions.location(workspace.events("toy"), "2018-06-02")
    cut_short(broken)
    before = Path(broken).read_bytes()
    done = run(EVENTS, rows(range(20, 24), days=1))
    assert (done.new, done.replaced) == (4, ())
    assert Path(broken).read_bytes() == before


def test_damaged_date_is_mended_by_its_table_and_what_was_there_is_kept_aside(
    run: Ingest, workspace: Workspace
) -> None:
    run(EVENTS, rows(range(10)))
    sound = snapshot(workspace)
    broken = partitions.location(workspace.events("toy"), "2018-06-02")
    cut_short(broken)
    left = Path(broken).read_bytes()
    done = run(EVENTS, rows(range(10)))
    assert (done.new, done.known, done.written) == (5, 5, ("2018-06-02",))
    assert snapshot(workspace) == sound
    (aside,) = done.replaced
    assert Path(aside.location).read_bytes() == left
    assert aside.location.startswith(f"{workspace.quarantine('toy')}/damaged/date=2018-06-02/")
    assert f"{broken} is damaged" in aside.cause


def test_damaged_snapshot_is_replaced_by_the_next_and_kept_aside(run: Ingest, workspace: Workspace) -> None:
    run(SNAPSHOT, rows(range(10)), MAY)
    cut_short(partitions.location(workspace.events("toy"), "2018-05-01"))
    done = run(SNAPSHOT, rows(range(4)), JUNE)
    assert (done.new, done.deleted, len(done.replaced)) == (4, 0, 1)
    assert stored(workspace)["id"].tolist() == [0, 1, 2, 3]


def test_disk_that_fails_half_way_says_how_far_it_came_and_the_same_ingest_goes_on(
    run: Ingest, workspace: Workspace
) -> None:
    folder = Path(workspace.events("toy"))
    folder.mkdir(parents=True)
    (folder / "date=2018-06-02").write_text("a file where the folder should be")
    with pytest.raises(
        UnavailableError,
        match=r"date=2018-06-02/part\.parquet can't be written: File exists; nothing was half-written; "
        "1 of 2 days are in order, and the same ingest goes on from there",
    ):
        run(EVENTS, rows(range(10)))
    (folder / "date=2018-06-02").unlink()
    done = run(EVENTS, rows(range(10)))
    assert (done.new, done.known, done.written) == (5, 5, ("2018-06-02",))


def test_snapshot_hash_knows_neither_order_nor_history(run: Ingest, workspace: Workspace, tmp_path: Path) -> None:
    run(EVENTS, rows(range(10)))
    elsewhere = Workspace(tmp_path, "local", str(tmp_path / "other"), "", tmp_path / "feature_store.yaml")
    for part in (rows(range(5, 10)), rows(range(6)).iloc[::-1]):
        part.to_parquet(tmp_path / "part.parquet")
        ingest(elsewhere, EVENTS, str(tmp_path / "part.parquet"), JUNE)
    assert snapshot(elsewhere) == snapshot(workspace)


def test_snapshot_hash_is_the_one_it_has_always_been(run: Ingest, workspace: Workspace) -> None:
    """Registered versions carry it: should this fail, they can no longer be traced to their data."""
    run(EVENTS, rows(range(10)))
    assert snapshot(workspace) == "4bca02c78964"


def test_bad_rows_are_quarantined_with_their_reason(run: Ingest) -> None:
    frame = rows(range(40))
    frame.loc[5, "amount"] = -1.0
    done = run(EVENTS, frame)
    assert done.quarantine is not None
    bad = storage.read_file(done.quarantine).to_pandas()
    assert bad[["row", "id", "reason"]].values.tolist() == [[6, "5", "amount: below 0 (found '-1.0')"]]


def test_refused_source_leaves_everything_as_it_was(run: Ingest, workspace: Workspace) -> None:
    run(EVENTS, rows(range(10)))
    before = files(workspace)
    with pytest.raises(DataError, match="10 of 10 rows break a rule"):
        run(EVENTS, rows(range(10), amount=-1.0))
    assert files(workspace) == before


def test_table_without_times_is_one_partition_of_the_as_of_date(run: Ingest, workspace: Workspace) -> None:
    done = run(SNAPSHOT, rows(range(10)).drop(columns="at"), MAY)
    assert (done.written, done.new) == (("2018-05-01",), 10)
    assert list(stored(workspace).columns) == ["id", "amount", "label"]


def test_new_snapshot_replaces_the_old_one(run: Ingest, workspace: Workspace) -> None:
    run(SNAPSHOT, rows(range(10)), MAY)
    done = run(SNAPSHOT, rows(range(8, 12)), JUNE)
    assert (done.written, done.new, done.known, done.deleted) == (("2018-06-01",), 2, 2, 8)
    assert list(files(workspace)) == ["events/toy/date=2018-06-01/part.parquet"]
    assert stored(workspace)["id"].tolist() == [8, 9, 10, 11]


def test_same_snapshot_a_month_later_changes_nothing(run: Ingest, workspace: Workspace) -> None:
    run(SNAPSHOT, rows(range(10)), MAY)
    first, before = snapshot(workspace), files(workspace)
    assert run(SNAPSHOT, rows(range(10)), JUNE).known == 10
    assert snapshot(workspace) == first
    assert files(workspace) == before


def test_snapshot_whose_column_changed_its_type_is_replaced_and_counted(run: Ingest, workspace: Workspace) -> None:
    run(SNAPSHOT, rows(range(10)), MAY)
    folder = workspace.events("toy")
    before = storage.read_file(partitions.location(folder, "2018-05-01"))
    partitions.write(folder, "2018-05-01", before.set_column(1, "amount", pa.array(["much"] * 10)), ["id"])
    done = run(SNAPSHOT, rows(range(8)), JUNE)
    assert (done.new, done.corrected, done.known, done.deleted) == (0, 8, 0, 2)
    assert stored(workspace)["amount"].tolist() == [1.0] * 8


def test_snapshot_that_was_killed_while_moving_is_put_right(run: Ingest, workspace: Workspace) -> None:
    run(SNAPSHOT, rows(range(10)), MAY)
    older = storage.read_file(partitions.location(workspace.events("toy"), "2018-05-01"))
    storage.write_table(older.slice(0, 3), partitions.location(workspace.events("toy"), "2018-04-01"))
    run(SNAPSHOT, rows(range(10)), MAY)
    assert list(files(workspace)) == ["events/toy/date=2018-05-01/part.parquet"]
    assert len(stored(workspace)) == 10


def test_an_event_without_a_label_keeps_the_one_that_is_stored_where_labels_are_kept(
    workspace: Workspace, tmp_path: Path
) -> None:
    def bring(frame: pd.DataFrame, **options: bool) -> Ingested:
        frame.to_csv(tmp_path / "source.csv", index=False)
        return ingest(workspace, EVENTS, str(tmp_path / "source.csv"), JUNE, **options)

    def labels() -> list[float | None]:
        stored = partitions.read(workspace.events(EVENTS.name)).table.sort_by("id")
        return list(stored["label"].to_pylist())

    labelled = rows(range(4)).assign(label=[0, 1, 0, 1])
    bring(labelled)
    done = bring(labelled.assign(amount=2.0).drop(columns="label"), keep_labels=True)
    assert (done.corrected, labels()) == (4, [0, 1, 0, 1])
    assert done.events is not None
    assert done.events.sort_by("id")["label"].to_pylist() == [0, 1, 0, 1]
    bring(rows(range(3, 6)).assign(label=[None, None, 1]), keep_labels=True)
    assert labels() == [0, 1, 0, 1, None, 1]
    bring(labelled.assign(label=None))
    assert labels()[:4] == [None] * 4
