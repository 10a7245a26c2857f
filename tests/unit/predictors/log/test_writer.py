"""The log on its way: what is written where, what waits while something is away, and what is dropped and told."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from predictors.identity import Identity
from predictors.log.columns import Columns, logged_of, schema
from predictors.log.limits import Limits
from predictors.log.writer import PredictionLog
from serin import partitions, predictions
from serin.artifact import Manifest
from serin.errors import ArtifactError, UnavailableError
from serin.schema import InputColumn, InputSchema
from serin.storage import files, read_file
from tests.factories import make_manifest

CARDS = Identity("card-fraud", "12", "card-fraud-v12")
SCHEMA = schema({"AMOUNT": "number", "CHANNEL": "text", "decision": "boolean", "missing_features": "integer"})
NOW = datetime(2018, 6, 9, 12, tzinfo=UTC)


class Told(list[int]):
    """Where the log tells how many rows it dropped."""


def log(root: Path, told: Told, **limits: Any) -> PredictionLog:
    usual = {"seconds": 0.01, "file_seconds": 0.02, "pause_seconds": 0.0, "close_seconds": 2.0, "retry_seconds": 0.05}
    return PredictionLog(
        str(root / "log"), root / "spool", CARDS, SCHEMA, told.append, limits=Limits(**{**usual, **limits})
    )


def rows(numbers: Sequence[int], day: int = 1, **changes: Any) -> Columns:
    count = len(numbers)
    return {
        "logged_at": NOW,
        "event_timestamp": [datetime(2018, 6, day, tzinfo=UTC)] * count,
        "request_id": "r-1",
        "row": numbers,
        "AMOUNT": [None if number == 3 else float(number) for number in numbers],
        "CHANNEL": ["chip"] * count,
        "decision": [True] * count,
        "missing_features": [0] * count,
        **changes,
    }


def stored(root: Path) -> list[int]:
    folder = str(root / "log")
    return sorted(partitions.read(folder).table["row"].to_pylist()) if files(folder) else []


def eventually(condition: Callable[[], Any]) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


def block(folder: Path) -> None:
    """Let nothing be written below a folder."""
    folder.write_text("a file where the folder should be")


def test_rows_are_written_by_event_date_with_who_answered(tmp_path: Path) -> None:
    target = log(tmp_path, Told())
    target.append(rows(range(3), day=1))
    target.append(rows([3, 4], day=2))
    target.append(rows([5], day=1))
    target.flush()
    target.close()
    written = [Path(name) for name in files(str(tmp_path / "log"))]
    assert [path.parent.name for path in written] == ["date=2018-06-01", "date=2018-06-02"]
    assert all(path.name.startswith("card-fraud-v12-") for path in written)
    second = read_file(str(written[1]))
    assert second.schema.equals(SCHEMA)
    assert second["AMOUNT"].to_pylist() == [None, 4.0]
    assert second.slice(0, 1).select(
        ["logged_at", "request_id", "model", "model_version", "deployment"]
    ).to_pylist() == [
        {
            "logged_at": NOW,
            "request_id": "r-1",
            "model": "card-fraud",
            "model_version": "12",
            "deployment": CARDS.deployment,
        }
    ]
    assert stored(tmp_path) == [0, 1, 2, 3, 4, 5]
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_clock_that_jumps_holds_up_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    told, jumped = Told(), time.time() + seconds
    target = log(tmp_path, told)
    target.start()
    target.append(rows([0]))
    monkeypatch.setattr(time, "time", lambda: jumped)
    target.append(rows([1]))
    assert eventually(lambda: stored(tmp_path) == [0, 1])
    assert eventually(lambda: target.oldest_seconds() == 0)
    target.append(rows([2]))
    assert target.oldest_seconds() < 60
    target.close()
    assert (stored(tmp_path), told) == ([0, 1, 2], [])


def test_arrays_and_lists_are_the_same_to_it(tmp_path: Path) -> None:
    days = np.array(["2018-06-01T10:00", "2018-06-01T11:00"], "datetime64[us]")
    amounts = np.array([[1.5, np.nan], [np.nan, 2.5]])
    arrays = {
        "event_timestamp": days,
        "row": np.arange(2),
        "AMOUNT": amounts[:, 0],
        "CHANNEL": np.array(["chip", None], object),
        "decision": np.array([True, False]),
        "missing_features": np.array([1, 0]),
    }
    lists = {
        "event_timestamp": [moment.replace(tzinfo=UTC) for moment in days.tolist()],
        "row": [0, 1],
        "AMOUNT": [1.5, None],
        "CHANNEL": ["chip", None],
        "decision": [True, False],
        "missing_features": [1, 0],
    }
    told = Told()
    for at_once in (True, False):
        target = log(tmp_path, told)
        for given in (arrays, lists, {**lists, "AMOUNT": [1.5, float("nan")]}):
            target.append({**rows([0, 1]), **given})
            if not at_once:
                target.flush()
        target.close()
    table = partitions.read(str(tmp_path / "log")).table
    assert (told, table.num_rows) == ([], 12)
    assert [table.slice(start, 2).to_pylist() for start in range(2, 12, 2)] == [table.slice(0, 2).to_pylist()] * 5


def test_several_columns_may_come_as_one_array(tmp_path: Path) -> None:
    target = log(tmp_path, told := Told())

    def block(*numbers: int, **changes: Any) -> Columns:
        values = np.array([[number, np.nan if number == 2 else -number] for number in numbers], float)
        own = {name: column for name, column in rows(numbers).items() if name not in ("AMOUNT", "missing_features")}
        return {**own, ("AMOUNT", "missing_features"): values, **changes}

    target.append(block(1, 2))
    target.append(block(3))
    target.flush()
    # A column of its own wins, and what is not alike is taken batch by batch.
    target.append(block(4, 5, AMOUNT=[0.5, None]))
    target.append(rows([6]))
    target.append(block(7, missing_features=[0.5]))
    target.append({**block(8, 9), ("AMOUNT", "missing_features"): np.ones((1, 2))})
    target.close()
    table = partitions.read(str(tmp_path / "log")).table.sort_by("row")
    assert table["row"].to_pylist() == [1, 2, 3, 4, 5, 6]
    assert table["AMOUNT"].to_pylist() == [1.0, 2.0, 3.0, 0.5, None, 6.0]
    assert table["missing_features"].to_pylist() == [-1, None, -3, -4, -5, 0]
    assert sorted(told) == [1, 2]


def test_flush_with_nothing_to_write_writes_nothing(tmp_path: Path) -> None:
    log(tmp_path, Told()).flush()
    assert list(tmp_path.iterdir()) == []


def test_rows_of_one_large_request_are_all_taken(tmp_path: Path) -> None:
    target = log(tmp_path, told := Told(), rows=5)
    target.append(rows(range(50_000)))
    target.close()
    assert (stored(tmp_path), told) == (list(range(50_000)), [])


def test_full_buffer_drops_counts_and_tells_new_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    block(tmp_path / "spool")
    target = log(tmp_path, told := Told(), rows=5)
    for numbers in ([0, 1, 2, 3], [4, 5], [6]):
        target.append(rows(numbers))
    with pytest.raises(UnavailableError, match=r"spool can't be written: File exists"):
        target.flush()
    target.append(rows([7, 8]))
    assert (told, target.rows_waiting()) == ([1, 2], 6)
    (tmp_path / "spool").unlink()
    target.flush()
    target.append(rows([9]))
    target.close()
    assert (stored(tmp_path), told) == ([0, 1, 2, 3, 4, 5, 9], [1, 2])
    # One line at once and one at the end of the minute, or of the process.
    lines = [record.getMessage() for record in caplog.records if "lost" in record.getMessage()]
    assert lines == [
        "1 rows of the prediction log are lost: 5 rows wait already: the local disk is too slow",
        f"2 rows of the prediction log are lost: 5 rows wait already: {tmp_path}/spool can't be written: File exists",
    ]


def test_spool_is_full_while_the_store_is_away_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    block(tmp_path / "log")
    target = log(tmp_path, told := Told(), rows=40, spool_bytes=30_000)
    target.start()
    sent = 0
    while not told:
        target.append(rows([sent]))
        sent += 1
        time.sleep(0.001)
    assert target.rows_waiting() == 40
    assert 20_000 < target.spool_bytes() <= 30_000
    assert target.oldest_seconds() > 0.02
    (tmp_path / "log").unlink()
    assert eventually(lambda: target.rows_waiting() == 0)
    assert eventually(lambda: target.spool_bytes() == 0)
    assert target.oldest_seconds() == 0
    target.append(rows([sent]))
    target.close()
    assert (stored(tmp_path), told) == ([*range(sent - 1), sent], [1])


def test_rows_wait_while_the_store_fails_and_are_written_once(tmp_path: Path) -> None:
    block(tmp_path / "log")
    failures: list[int] = []
    target = PredictionLog(
        str(tmp_path / "log"), tmp_path / "spool", CARDS, SCHEMA, Told().append, lambda: failures.append(1)
    )
    target.append(rows(range(2), day=1))
    target.append(rows([2], day=2))
    with pytest.raises(UnavailableError, match=r"log/date=2018-06-01/.* can't be written: .*; nothing was half-writt"):
        target.flush()
    (tmp_path / "log").unlink()
    target.append(rows([4], day=3))
    target.flush()
    target.flush()
    assert stored(tmp_path) == [0, 1, 2, 4]
    target.close()
    assert failures == []


def test_an_upload_that_stopped_half_way_is_repeated_onto_itself(tmp_path: Path) -> None:
    target = log(tmp_path, Told())
    target.append(rows([0], day=1))
    target.append(rows([1], day=2))
    (tmp_path / "log").mkdir()
    block(tmp_path / "log" / "date=2018-06-02")
    with pytest.raises(UnavailableError, match="date=2018-06-02"):
        target.flush()
    assert len(files(str(tmp_path / "log"))) == 1
    (tmp_path / "log" / "date=2018-06-02").unlink()
    # Another process takes over, as after a kill.
    target.close()
    other = log(tmp_path, Told())
    other.start()
    other.close()
    assert stored(tmp_path) == [0, 1]


@pytest.mark.parametrize(
    "bad",
    [
        {"request_id": ["a", "\ud800"]},
        {"AMOUNT": [1.0, "much"]},
        {"row": [1, 2**40]},
        {"row": [1, 2**70]},
        {"row": np.array([1.0, 1.5])},
        {"row": [1, 1.5]},
        {"row": ["1", "2"]},
        {"AMOUNT": [1.0]},
        {"AMOUNT": np.array([1.0])},
    ],
)
def test_batch_that_can_not_be_converted_is_dropped_alone_and_counted(tmp_path: Path, bad: dict[str, Any]) -> None:
    target = log(tmp_path, told := Told(), rows=4)
    target.append(rows([1]))
    target.append({**rows([2, 3]), **bad})
    target.append(rows([4]))
    target.flush()
    assert (stored(tmp_path), told) == ([1, 4], [2])
    assert (target.rows_waiting(), target.oldest_seconds()) == (0, 0)
    target.close()
    assert told == [2]


def test_a_batch_that_lacks_a_column_is_dropped_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = log(tmp_path, told := Told())
    target.append({name: values for name, values in rows([1]).items() if name != "CHANNEL"})
    target.close()
    assert (stored(tmp_path), told) == ([], [1])
    assert "1 rows of the prediction log are lost: 'CHANNEL'" in caplog.text


def test_threads_survive_a_batch_that_can_not_be_converted(tmp_path: Path) -> None:
    dropped = threading.Event()
    target = PredictionLog(
        str(tmp_path / "log"), tmp_path / "spool", CARDS, SCHEMA, lambda _: dropped.set(), limits=Limits(seconds=0.01)
    )
    target.start()
    target.append(rows([1], AMOUNT=["much"]))
    assert dropped.wait(30)
    target.append(rows([2]))
    target.close()
    assert stored(tmp_path) == [2]


def test_thread_survives_an_unexpected_failure_and_tells(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def broken(_: int) -> None:
        failed.set()
        raise RuntimeError("the counter is broken")

    target = PredictionLog(
        str(tmp_path / "log"), tmp_path / "spool", CARDS, SCHEMA, broken, limits=Limits(seconds=0.01, file_seconds=0.01)
    )
    target.start()
    target.append(rows([1], AMOUNT=["much"]))
    assert failed.wait(30)
    target.append(rows([2]))
    assert eventually(lambda: stored(tmp_path))
    target.close()
    assert stored(tmp_path) == [2]
    assert "the prediction log failed unexpectedly, trying again" in caplog.text
    assert "the counter is broken" in caplog.text


def test_rows_go_to_the_store_by_themselves_after_their_time(tmp_path: Path) -> None:
    target = log(tmp_path, Told())
    target.start()
    target.append(rows([1]))
    assert eventually(lambda: stored(tmp_path) == [1])
    assert eventually(lambda: target.spool_bytes() == 0)
    target.close()


def test_files_go_to_the_store_at_their_size_before_their_time(tmp_path: Path) -> None:
    target = log(tmp_path, Told(), file_seconds=600.0, file_bytes=5_000)
    target.start()
    target.append(rows([1]))
    target.append(rows([2] * 1000))
    assert eventually(lambda: len(stored(tmp_path)) == 1001)
    target.close()


def test_many_threads_append_and_close_stores_the_rest(tmp_path: Path) -> None:
    target = log(tmp_path, told := Told())
    target.start()

    def work(first: int) -> None:
        for number in range(first, first + 200):
            target.append(rows([number]))

    threads = [threading.Thread(target=work, args=(200 * place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    target.close()
    assert (stored(tmp_path), told) == (list(range(800)), [])


def test_what_can_not_be_stored_at_the_end_stays_in_the_spool_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    block(tmp_path / "log")
    target = log(tmp_path, told := Told(), close_seconds=0.2)
    target.start()
    target.append(rows(range(3)))
    target.close()
    (left,) = (tmp_path / "spool").glob("*.spool")
    size = left.stat().st_size
    assert (
        f"1 files ({size} bytes) of the prediction log are not in {tmp_path}/log and stay in {tmp_path}/spool"
        in caplog.text
    )
    (tmp_path / "log").unlink()
    other = log(tmp_path, told)
    other.start()
    other.close()
    assert (stored(tmp_path), told) == ([0, 1, 2], [])
    assert list((tmp_path / "spool").iterdir()) == []


def test_rows_that_can_not_even_be_spooled_at_the_end_are_counted(tmp_path: Path) -> None:
    block(tmp_path / "spool")
    target = log(tmp_path, told := Told())
    target.append(rows(range(2)))
    target.close()
    assert told == [2]


def test_start_refuses_a_spool_that_can_not_be_written(tmp_path: Path) -> None:
    block(tmp_path / "spool")
    with pytest.raises(UnavailableError, match=r"spool can't be written: File exists"):
        log(tmp_path, Told()).start()


def test_torn_rows_of_a_killed_process_are_counted_and_the_others_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    block(tmp_path / "log")
    killed = log(tmp_path, Told(), close_seconds=0.0)
    killed.append(rows([0, 1]))
    killed._to_spool(rotate=False)
    killed.append(rows([2, 3, 4]))
    killed.close()
    (left,) = (tmp_path / "spool").glob("*.spool")
    left.write_bytes(left.read_bytes()[:-30])
    (tmp_path / "log").unlink()
    target = log(tmp_path, told := Told())
    target.start()
    target.close()
    assert (stored(tmp_path), told) == ([0, 1], [3])
    assert f"bytes of {left.name} were not written whole" in caplog.text


# Logs numbers from the one given on, each as the answer to a request, and says which are in the spool.
_KILLED = """
import sys, time
from itertools import count
from pathlib import Path
from tests.unit.predictors.log.test_writer import Told, log, rows
target = log(Path(sys.argv[1]), Told(), seconds=0.002, file_seconds=0.01)
target.start()
for number in count(int(sys.argv[2])):
    target.append(rows([number]))
    while target.rows_waiting():
        time.sleep(0.0005)
    print(number, flush=True)
"""


def test_killed_again_and_again_it_stores_each_row_that_was_spooled_once(tmp_path: Path) -> None:
    spooled: list[int] = []
    for numbers in (40, 1, 120):
        first = 1000 * len(spooled)
        line = [sys.executable, "-c", _KILLED, str(tmp_path), str(first)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            spooled += [int(process.stdout.readline()) for _ in range(numbers)]
            process.kill()
            # What it said before it was killed.
            spooled += [int(number) for number in process.stdout.read().split()]
    target = log(tmp_path, told := Told())
    target.start()
    target.close()
    found = stored(tmp_path)
    assert set(spooled) <= set(found)
    assert len(found) == len(set(found)) <= len(spooled) + 3
    assert (told, list((tmp_path / "spool").iterdir())) == ([], [])


def test_a_spool_file_that_is_gone_or_no_spool_file_is_counted_as_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    block(tmp_path / "log")
    target = log(tmp_path, told := Told())
    for number in range(3):
        target.append(rows([number] * (number + 1)))
        with pytest.raises(UnavailableError):
            target.flush()
    first, second, _ = sorted((tmp_path / "spool").glob("*.spool"))
    first.unlink()
    second.write_bytes(b"nothing")
    (tmp_path / "log").unlink()
    target.flush()
    target.close()
    assert (stored(tmp_path), told) == ([2, 2, 2], [1, 2])
    assert f"{first} is gone" in caplog.text
    assert f"its bytes are kept as {second.with_suffix('.damaged')}" in caplog.text


def test_failing_store_is_said_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    block(tmp_path / "log")
    failures: list[int] = []
    target = PredictionLog(
        str(tmp_path / "log"),
        tmp_path / "spool",
        CARDS,
        SCHEMA,
        Told().append,
        lambda: failures.append(1),
        Limits(seconds=0.01, file_seconds=0.01, close_seconds=0.1),
    )
    target.start()
    for number in range(4):
        target.append(rows([number]))
        time.sleep(0.05)
    assert eventually(lambda: len(failures) > 2)
    target.close()
    assert caplog.text.count("the prediction log can't be stored") == 1


def test_readers_of_the_log_read_it(tmp_path: Path) -> None:
    target = log(tmp_path, Told())
    target.append(rows([1, 2, 3]))
    target.close()
    folder, start = str(tmp_path / "log"), datetime(2018, 6, 1, tzinfo=UTC)
    assert predictions.end(folder) == start + timedelta(microseconds=1)
    found = predictions.read(folder, version="12", start=start, end=NOW, columns=["AMOUNT", "missing_features"])
    assert found.table["AMOUNT"].to_pylist() == [1.0, 2.0, None]


def test_schema_has_fixed_columns_keys_and_inputs() -> None:
    inputs = InputSchema(columns=(InputColumn(name="AMOUNT"), InputColumn(name="CHANNEL", kind="category")))
    found = schema(logged_of(make_manifest(inputs=inputs)))
    assert found.names[:3] == ["logged_at", "event_timestamp", "request_id"]
    assert found.field("CUSTOMER").type == pa.int64()
    assert found.field("AMOUNT").type == pa.float64()
    assert found.field("CHANNEL").type == pa.string()
    # As in every file that there is.
    assert found.field("missing_features").type == pa.int32()


def test_input_with_the_name_of_a_fixed_column_is_refused() -> None:
    taken: Manifest = make_manifest(inputs=InputSchema(columns=(InputColumn(name="score"),)))
    with pytest.raises(ArtifactError, match="columns score have names that the prediction log keeps for itself"):
        logged_of(taken)


def test_another_kind_may_log_other_types_under_the_names_of_a_tabular_model() -> None:
    found = schema({"decision": "text", "missing_features": "text"})
    assert [found.field(name).type for name in ("decision", "missing_features")] == [pa.string(), pa.string()]


def test_columns_of_a_kind_with_the_name_of_a_fixed_one_are_refused() -> None:
    with pytest.raises(ArtifactError, match="columns request_id, row have names that the prediction log keeps"):
        schema({"row": "integer", "request_id": "text", "text": "text"})


def test_under_a_steady_load_a_file_has_all_rows_of_its_seconds(tmp_path: Path) -> None:
    """Rows that come while others are converted must not be taken for as old as the first ones ever were."""
    target = log(tmp_path, Told(), file_seconds=0.5, pause_seconds=0.001)
    target.start()
    sent, end = 0, time.monotonic() + 2
    while time.monotonic() < end:
        target.append(rows([sent]))
        sent += 1
        time.sleep(0.0002)
    target.close()
    assert stored(tmp_path) == list(range(sent))
    assert len(files(str(tmp_path / "log"))) <= 6
