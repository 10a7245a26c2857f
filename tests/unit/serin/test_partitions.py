"""Date partitions: layout, pruning, content hashes, damage and compaction."""

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from serin import partitions, storage
from serin.errors import DataError

NOW = datetime(2018, 7, 1, tzinfo=UTC)
AT = pa.timestamp("us", tz="UTC")


def table(*days: int, start: int = 0) -> pa.Table:
    at = [datetime(2018, 6, day, 12, tzinfo=UTC) for day in days]
    return pa.table({"id": pa.array(range(start, start + len(days))), "at": pa.array(at, AT)})


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Events of three days."""
    folder = str(tmp_path / "events")
    for date, rows in partitions.by_date(table(3, 1, 2, 1), "at"):
        assert partitions.write(folder, date, rows, ["id"])
    return folder


def break_(where: str) -> None:
    Path(where).write_bytes(Path(where).read_bytes()[:-9])


def age(folder: str, hours: float) -> None:
    """Let all files be older."""
    for path in Path(folder).rglob("*.parquet"):
        time = path.stat().st_mtime - hours * 3600
        os.utime(path, (time, time))


def test_rows_lie_by_date_as_hive_and_pyarrow_expect(folder):
    assert partitions.dates(folder) == ["2018-06-01", "2018-06-02", "2018-06-03"]
    found = ds.dataset(folder, partitioning="hive").to_table().sort_by("id").to_pydict()
    assert found["id"] == [0, 1, 2, 3]
    assert found["date"] == ["2018-06-03", "2018-06-01", "2018-06-02", "2018-06-01"]


def test_only_the_dates_asked_for_are_opened(folder):
    break_(partitions.location(folder, "2018-06-03"))
    rows = partitions.read(folder, ["id"], first="2018-06-01", last="2018-06-02")
    assert rows.table.to_pydict() == {"id": [1, 3, 2]}
    assert rows.damaged == ()


def test_users_column_called_date_keeps_its_values(tmp_path):
    rows = table(1).append_column("date", pa.array(["yesterday"]))
    partitions.write(str(tmp_path), "2018-06-01", rows, ["id"])
    assert partitions.read(str(tmp_path)).table["date"].to_pylist() == ["yesterday"]


def test_workspace_below_a_folder_that_looks_like_a_date(tmp_path):
    folder = str(tmp_path / "date=2001-01-01" / "events")
    partitions.write(folder, "2018-06-01", table(1), ["id"])
    assert partitions.dates(folder) == ["2018-06-01"]


def test_rows_are_filtered_by_a_column_that_is_not_asked_for(folder):
    before = ds.field("at") < pa.scalar(datetime(2018, 6, 2, tzinfo=UTC))
    assert partitions.read(folder, ["id"], before, timestamp="at").table.to_pydict() == {"id": [1, 3]}


def test_damaged_file_is_named_and_the_others_are_read(folder):
    broken = partitions.location(folder, "2018-06-02")
    break_(broken)
    rows = partitions.read(folder)
    assert rows.table["id"].to_pylist() == [1, 3, 0]
    assert [one.location for one in rows.damaged] == [broken]
    assert partitions.damaged(folder) == list(rows.damaged)


def test_file_with_events_of_another_date_is_damaged(folder):
    storage.write_table(table(2, 9), partitions.location(folder, "2018-06-02"))
    (one,) = partitions.damaged(folder, "at")
    assert one.cause == f"{one.location} holds events of 2018-06-09, which is not its date"


def test_nothing_sound_names_every_cause(folder):
    for date in partitions.dates(folder):
        break_(partitions.location(folder, date))
    with pytest.raises(
        DataError, match=r"nothing that can be used is stored at (.*\n){3}.*date=2018-06-03/.* is damaged"
    ):
        partitions.read(folder)


def test_column_that_no_file_has_is_named(folder):
    with pytest.raises(DataError, match=r"no file of .*/events has a column b"):
        partitions.read(folder, ["id", "b"])


def test_column_that_a_file_lacks_is_null_there(folder):
    wider = table(4).append_column("b", pa.array(["z"]))
    partitions.write(folder, "2018-06-04", wider, ["id"])
    assert partitions.read(folder).table["b"].to_pylist() == [None, None, None, None, "z"]


def test_files_of_types_that_do_not_go_together_name_folder_and_column(folder):
    partitions.write(folder, "2018-06-04", pa.table({"id": ["z"]}), ["id"])
    with pytest.raises(DataError, match=r"the files of .*/events don't go together: .*Field id has incompatible"):
        partitions.read(folder)


def test_content_hash_is_the_same_for_every_writer(folder, tmp_path):
    ours = partitions.location(folder, "2018-06-01")
    rows = storage.read_file(ours).replace_schema_metadata(None)
    theirs = tmp_path / "theirs.parquet"
    pq.write_table(rows, theirs, compression="gzip", version="1.0", use_dictionary=False, row_group_size=1)
    assert theirs.read_bytes() != Path(ours).read_bytes()
    assert partitions.content_hash(str(theirs)) == partitions.content_hash(ours)


def test_snapshot_leaves_out_what_is_passed_over(folder):
    whole = partitions.snapshot(folder, "2018-06-02")
    last = partitions.location(folder, "2018-06-03")
    assert partitions.snapshot(folder, without={last}) == whole != partitions.snapshot(folder)


def test_date_without_rows_goes(folder):
    assert partitions.write(folder, "2018-06-02", table().schema.empty_table(), ["id"])
    assert partitions.dates(folder) == ["2018-06-01", "2018-06-03"]
    assert not Path(folder, "date=2018-06-02").exists()


@pytest.fixture
def log(tmp_path: Path) -> str:
    """A day of 20 small files of one row, and a day of one."""
    folder = str(tmp_path / "log")
    for number in range(20):
        storage.write_table(
            table(1, start=number), partitions.location(folder, "2018-06-01", f"v1-{number:02}.parquet")
        )
    storage.write_table(table(2, start=20), partitions.location(folder, "2018-06-02", "v1-20.parquet"))
    return folder


def ids(folder: str) -> list[int]:
    return sorted(partitions.read(folder).table["id"].to_pylist())


def test_many_small_files_of_a_date_become_one_and_no_row_counts_twice(log):
    assert partitions.compact(log, "2018-06-03", NOW) == 20
    assert len(partitions.files(log)) == 2
    assert ids(log) == list(range(21))


def test_dates_of_few_files_and_later_dates_are_left_as_they_are(log):
    assert partitions.compact(log, "2018-06-01", NOW) == 0
    assert partitions.compact(log, "2018-06-03", NOW, least=21) == 0
    assert len(partitions.files(log)) == 21


def test_replaced_files_stay_for_a_reader_that_listed_them_and_go_an_hour_later(log):
    listed = partitions.files(log)
    partitions.compact(log, "2018-06-03", datetime.now(UTC))
    partitions.compact(log, "2018-06-03", datetime.now(UTC))
    assert [storage.read_file(where).num_rows for where in listed] == [1] * 21
    partitions.compact(log, "2018-06-03", datetime.now(UTC) + timedelta(hours=2))
    assert len(storage.files(log)) == 2
    assert ids(log) == list(range(21))


@pytest.mark.parametrize("removed", range(1, 20, 6))
def test_compaction_that_was_killed_while_it_removed_files_loses_and_doubles_nothing(log, removed):
    smalls = partitions.files(log)[:20]
    partitions.compact(log, "2018-06-03", NOW)
    for where in smalls[:removed]:
        storage.remove(where)
    assert ids(log) == list(range(21))
    partitions.compact(log, "2018-06-03", datetime.now(UTC) + timedelta(hours=2))
    assert ids(log) == list(range(21))
    assert len(storage.files(log)) == 2


def test_files_that_are_written_meanwhile_are_merged_by_the_next_compaction(log):
    partitions.compact(log, "2018-06-03", datetime.now(UTC))
    for number in range(30, 50):
        storage.write_table(table(1, start=number), partitions.location(log, "2018-06-01", f"v1-{number}.parquet"))
    expected = [*range(21), *range(30, 50)]
    assert ids(log) == expected
    assert partitions.compact(log, "2018-06-03", datetime.now(UTC)) == 21
    assert ids(log) == expected
    # Whichever goes first of what the second merged file replaces, the rest stays replaced.
    partitions.compact(log, "2018-06-03", datetime.now(UTC) + timedelta(hours=2))
    assert ids(log) == expected
    assert len(storage.files(log)) == 2


def test_merged_files_have_at_most_so_many_rows_and_larger_ones_are_left_alone(log):
    large = partitions.location(log, "2018-06-01", "v1-large.parquet")
    storage.write_table(table(*[1] * 4, start=100), large)
    assert partitions.compact(log, "2018-06-03", NOW, most=8) == 20
    found = {where: storage.count(where) for where in partitions.files(log, "2018-06-01", "2018-06-01")}
    assert found.pop(large) == 4
    assert sorted(found.values()) == [4, 8, 8]
    assert ids(log) == [*range(21), *range(100, 104)]
    # Nothing of it is small and many: the next call leaves all as it is.
    assert partitions.compact(log, "2018-06-03", NOW, most=8) == 0


def test_readers_see_each_row_once_while_files_are_written_and_merged(tmp_path):
    log, written, ended = str(tmp_path / "log"), [], threading.Event()

    def write():
        for number in range(150):
            storage.write_table(
                table(1, start=number), partitions.location(log, "2018-06-01", f"v1-{number:03}.parquet")
            )
            written.append(number)
        ended.set()

    def merge():
        while not ended.is_set():
            partitions.compact(log, "2018-06-02", datetime.now(UTC), least=4, most=60)

    threads = [threading.Thread(target=target) for target in (write, merge)]
    for thread in threads:
        thread.start()
    reads = 0
    while not ended.is_set():
        before = len(written)
        found = ids(log) if before else []
        assert found[:before] == list(range(before))
        assert len(found) == len(set(found))
        reads += 1
    for thread in threads:
        thread.join()
    assert reads > 3
    assert ids(log) == list(range(150))
    assert len(partitions.files(log)) < 150


def test_a_file_that_is_stored_again_after_it_was_merged_counts_once(log):
    first = partitions.files(log)[0]
    content = Path(first).read_bytes()
    partitions.compact(log, "2018-06-03", datetime.now(UTC))
    partitions.compact(log, "2018-06-03", datetime.now(UTC) + timedelta(hours=2))
    assert not Path(first).exists()
    # A predictor was killed between the store and its spool, and found the rows there when it came back.
    Path(first).write_bytes(content)
    assert ids(log) == list(range(21))


def test_files_of_another_schema_are_merged_apart(log):
    for number in range(16):
        other = pa.table({"id": pa.array([100 + number]), "at": table(1)["at"], "amount": pa.array(["much"])})
        storage.write_table(other, partitions.location(log, "2018-06-01", f"v2-{number}.parquet"))
    assert partitions.compact(log, "2018-06-03", NOW) == 36
    assert len(partitions.files(log, "2018-06-01", "2018-06-01")) == 2
    assert ids(log) == [*range(21), *range(100, 116)]


def test_damaged_file_is_no_part_of_a_merged_one_and_stays(log):
    broken = partitions.files(log)[3]
    break_(broken)
    assert partitions.compact(log, "2018-06-03", NOW) == 19
    assert [one.location for one in partitions.damaged(log)] == [broken]
    partitions.compact(log, "2018-06-03", datetime.now(UTC) + timedelta(hours=2))
    assert Path(broken).exists()


def test_what_a_damaged_merged_file_replaced_is_not_removed(log):
    partitions.compact(log, "2018-06-03", NOW)
    (merged,) = partitions.files(log, "2018-06-01", "2018-06-01")
    break_(merged)
    partitions.compact(log, "2018-06-03", datetime.now(UTC) + timedelta(hours=2), least=100)
    assert ids(log) == list(range(21))
