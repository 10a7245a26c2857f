import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from predictors.log.writer import PredictionLog, schema
from serin import partitions
from serin.artifact import Manifest
from serin.errors import ArtifactError, UnavailableError
from serin.schema import InputColumn, InputSchema
from serin.storage import files, read_file
from tests.factories import make_manifest

COLUMNS = pa.schema([("event_timestamp", pa.timestamp("us", tz="UTC")), ("row", pa.int32()), ("AMOUNT", pa.float64())])
WITH_TEXT = COLUMNS.append(pa.field("request_id", pa.string()))


class Drops(list[int]):
    """Where the log tells how many rows it dropped."""


def log(folder: Path, drops: Drops, **options: Any) -> PredictionLog:
    return PredictionLog(str(folder), "card-fraud-v12", COLUMNS, drops.append, **options)


def rows(numbers: Sequence[int], day: int = 1) -> dict[str, Sequence[Any]]:
    return {
        "event_timestamp": [datetime(2018, 6, day, tzinfo=UTC)] * len(numbers),
        "row": numbers,
        "AMOUNT": [None if number == 3 else float(number) for number in numbers],
    }


def stored(folder: Path) -> list[int]:
    return sorted(partitions.read(str(folder)).table["row"].to_pylist())


def eventually(condition: Callable[[], Any]) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


def test_rows_are_written_by_event_date(tmp_path: Path) -> None:
    target = log(tmp_path, Drops())
    target.append(rows(range(3), day=1))
    target.append(rows([3, 4], day=2))
    target.append(rows([5], day=1))
    target.flush()
    written = [Path(name) for name in files(str(tmp_path))]
    assert [path.parent.name for path in written] == ["date=2018-06-01", "date=2018-06-02"]
    assert all(path.name.startswith("card-fraud-v12-") for path in written)
    assert read_file(str(written[1])).schema.equals(COLUMNS)
    assert read_file(str(written[1]))["AMOUNT"].to_pylist() == [None, 4.0]
    assert stored(tmp_path) == [0, 1, 2, 3, 4, 5]


def test_flush_with_nothing_to_write_writes_nothing(tmp_path: Path) -> None:
    log(tmp_path / "log", Drops()).flush()
    assert not (tmp_path / "log").exists()


def test_full_buffer_drops_and_counts_new_rows(tmp_path: Path) -> None:
    drops = Drops()
    target = log(tmp_path, drops, capacity=5)
    target.append(rows(range(4)))
    target.append(rows([4, 5]))
    target.append(rows([6]))
    assert drops == [2]
    target.flush()
    target.append(rows([7]))
    target.close()
    assert stored(tmp_path) == [0, 1, 2, 3, 6, 7]
    assert drops == [2]


def test_rows_wait_while_the_storage_fails_and_are_written_once(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.write_text("a file where the folder should be")
    target = log(folder, Drops())
    target.append(rows(range(2), day=1))
    target.append(rows([2], day=2))
    with pytest.raises(UnavailableError, match=r"log/date=2018-06-01/.* can't be written: .*; nothing was half-writt"):
        target.flush()
    folder.unlink()
    target.append(rows([4], day=3))
    target.flush()
    target.flush()
    assert stored(folder) == [0, 1, 2, 4]


@pytest.mark.parametrize(
    "bad",
    [
        {"request_id": ["a", "\ud800"]},
        {"AMOUNT": [1.0, "much"]},
        {"row": [1, 2**40]},
        {"row": [1, 2**70]},
        {"AMOUNT": [1.0]},
    ],
)
def test_batch_that_can_not_be_converted_is_dropped_alone_and_counted(tmp_path: Path, bad: dict[str, Any]) -> None:
    drops = Drops()
    target = PredictionLog(str(tmp_path), "card-fraud-v12", WITH_TEXT, drops.append, capacity=4)
    target.append({**rows([1]), "request_id": ["first"]})
    target.append({**rows([2, 3]), "request_id": ["a", "b"], **bad})
    target.append({**rows([4]), "request_id": ["last"]})
    target.flush()
    assert stored(tmp_path) == [1, 4]
    assert drops == [2]
    # The dropped rows hold no place any more: four fit again, and the end finds nothing lost.
    target.append({**rows(range(5, 9)), "request_id": list("efgh")})
    target.close()
    assert stored(tmp_path) == [1, 4, 5, 6, 7, 8]
    assert drops == [2]


def test_batches_that_can_not_be_converted_write_no_file(tmp_path: Path) -> None:
    drops = Drops()
    target = log(tmp_path / "log", drops)
    target.append({**rows([1]), "AMOUNT": ["much"]})
    target.flush()
    assert not (tmp_path / "log").exists()
    assert drops == [1]


def test_thread_survives_a_batch_that_can_not_be_converted(tmp_path: Path) -> None:
    dropped = threading.Event()
    target = PredictionLog(str(tmp_path), "card-fraud-v12", WITH_TEXT, lambda _: dropped.set(), interval=0.01)
    target.start()
    target.append({**rows([1]), "request_id": ["\ud800"]})
    assert dropped.wait(30)
    target.append({**rows([2]), "request_id": ["next"]})
    assert eventually(lambda: files(str(tmp_path)))
    target.close()
    assert stored(tmp_path) == [2]


def test_thread_survives_an_unexpected_failure_and_tells(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def broken(_: int) -> None:
        failed.set()
        raise RuntimeError("the counter is broken")

    target = PredictionLog(str(tmp_path), "card-fraud-v12", WITH_TEXT, broken, interval=0.01)
    target.start()
    target.append({**rows([1]), "request_id": ["\ud800"]})
    assert failed.wait(30)
    target.append({**rows([2]), "request_id": ["next"]})
    assert eventually(lambda: files(str(tmp_path)))
    target.close()
    assert stored(tmp_path) == [2]
    assert "the prediction log failed unexpectedly, trying again" in caplog.text
    assert "the counter is broken" in caplog.text


def test_rows_that_can_not_be_written_at_the_end_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.write_text("a file where the folder should be")
    drops = Drops()
    target = log(folder, drops)
    target.append(rows(range(2)))
    target.close()
    assert drops == [2]


def test_thread_writes_by_itself_and_close_writes_the_rest(tmp_path: Path) -> None:
    target = log(tmp_path, Drops(), interval=0.01)
    target.start()
    for number in range(200):
        target.append(rows([number]))
    target.close()
    assert stored(tmp_path) == list(range(200))


def test_schema_has_fixed_columns_keys_and_inputs() -> None:
    inputs = InputSchema(columns=(InputColumn(name="AMOUNT"), InputColumn(name="CHANNEL", kind="category")))
    found = schema(make_manifest(inputs=inputs))
    assert found.names[:3] == ["logged_at", "event_timestamp", "request_id"]
    assert found.field("CUSTOMER").type == pa.int64()
    assert found.field("AMOUNT").type == pa.float64()
    assert found.field("CHANNEL").type == pa.string()


def test_input_with_the_name_of_a_fixed_column_is_refused() -> None:
    taken: Manifest = make_manifest(inputs=InputSchema(columns=(InputColumn(name="score"),)))
    with pytest.raises(ArtifactError, match="columns score have names that the prediction log keeps for itself"):
        schema(taken)
