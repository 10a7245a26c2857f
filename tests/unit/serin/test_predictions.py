"""Which rows of the prediction log a reader gets."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from serin import predictions
from serin.errors import DataError
from serin.storage import write_table

AS_OF = datetime(2018, 6, 10, 12, tzinfo=UTC)
WINDOW = timedelta(days=7)
TYPE = pa.timestamp("us", tz="UTC")


def log(folder, rows, name="part", kind=TYPE):
    """Write (event time, version, amount) rows into the log's date folders."""
    days = sorted({time.date() for time, _, _ in rows})
    for day in days:
        todays = [row for row in rows if row[0].date() == day]
        table = pa.table(
            {
                "event_timestamp": pa.array([time for time, _, _ in todays], kind),
                "model_version": [version for _, version, _ in todays],
                "AMOUNT": [amount for _, _, amount in todays],
                "score": [0.5] * len(todays),
                "request_id": ["r"] * len(todays),
            }
        )
        write_table(table, f"{folder}/date={day.isoformat()}/{name}.parquet")


def read(folder):
    return read_rows(folder, "AMOUNT").table.to_pandas()


def read_rows(folder, *inputs):
    return predictions.read(str(folder), version="3", start=AS_OF - WINDOW, end=AS_OF, columns=(*inputs, "score"))


def test_read_takes_the_window_with_its_start_and_without_its_end(tmp_path):
    start, second = AS_OF - WINDOW, timedelta(seconds=1)
    times = [start - second, start, AS_OF - second, AS_OF]
    log(tmp_path, [(time, "3", float(number)) for number, time in enumerate(times)])
    assert list(read(tmp_path)["AMOUNT"]) == [1.0, 2.0]


def test_read_takes_the_named_version_only(tmp_path):
    log(tmp_path, [(AS_OF - timedelta(days=1), version, 1.0) for version in ("2", "3", "33")])
    assert len(read(tmp_path)) == 1


def test_read_takes_all_files_of_all_days(tmp_path):
    for name in ("a", "b"):
        log(tmp_path, [(AS_OF - timedelta(days=days), "3", 1.0) for days in (1, 2, 3)], name)
    rows = read(tmp_path)
    assert len(rows) == 6
    assert list(rows.columns) == ["event_timestamp", "AMOUNT", "score"]


def test_read_reads_no_file_of_another_day(tmp_path):
    log(tmp_path, [(AS_OF - timedelta(days=1), "3", 1.0)])
    other = tmp_path / "date=2018-01-01" / "part.parquet"
    other.parent.mkdir()
    other.write_text("no Parquet")
    assert len(read(tmp_path)) == 1


def test_read_takes_times_without_a_zone_as_utc(tmp_path):
    naive = AS_OF.replace(tzinfo=None)
    log(tmp_path, [(naive - timedelta(hours=1), "3", 1.0), (naive, "3", 2.0)], kind=pa.timestamp("ms"))
    assert list(read(tmp_path)["AMOUNT"]) == [1.0]


def test_read_of_a_log_that_is_not_there(tmp_path):
    rows = read(tmp_path / "none")
    assert rows.empty
    assert list(rows.columns) == ["event_timestamp", "AMOUNT", "score"]


def test_read_where_a_version_has_no_rows(tmp_path):
    log(tmp_path, [(AS_OF - timedelta(days=1), "2", 1.0)])
    assert read(tmp_path).empty


def test_read_where_rows_lack_an_input(tmp_path):
    log(tmp_path, [(AS_OF - timedelta(days=1), "3", 1.0)])
    with pytest.raises(DataError, match=r"part\.parquet: rows of model version 3 lack OTHER$"):
        read_rows(tmp_path, "OTHER")


def test_read_passes_files_of_a_version_with_other_inputs(tmp_path):
    log(tmp_path, [(AS_OF - timedelta(days=1), "2", 1.0)])
    assert read_rows(tmp_path, "OTHER").table.num_rows == 0


def test_read_passes_over_a_damaged_file_and_names_it(tmp_path):
    for name in ("a", "b"):
        log(tmp_path, [(AS_OF - timedelta(days=1), "3", 1.0)], name)
    broken = tmp_path / "date=2018-06-09" / "a.parquet"
    broken.write_bytes(broken.read_bytes()[:-9])
    rows = read_rows(tmp_path, "AMOUNT")
    assert rows.table["AMOUNT"].to_pylist() == [1.0]
    assert [one.location for one in rows.damaged] == [str(broken)]


def test_read_passes_over_a_file_that_is_none_of_the_log(tmp_path):
    log(tmp_path, [(AS_OF - timedelta(days=1), "3", 1.0)])
    write_table(pa.table({"x": [1]}), f"{tmp_path}/date=2018-06-09/other.parquet")
    (one,) = read_rows(tmp_path, "AMOUNT").damaged
    assert one.cause.endswith("other.parquet is no file of the prediction log: it lacks event_timestamp, model_version")


def logged(folder, *times):
    """Write rows by event time and time of logging."""
    for number, (event, at) in enumerate(times):
        row = pa.table({"event_timestamp": pa.array([event], TYPE), "logged_at": pa.array([at], TYPE)})
        write_table(row, f"{folder}/date={event.date()}/{number}.parquet")


def test_end_is_just_after_the_latest_event_that_had_happened(tmp_path):
    future = AS_OF + timedelta(days=90)
    logged(tmp_path, (AS_OF, AS_OF), (AS_OF - timedelta(days=1), AS_OF), (future, AS_OF))
    assert predictions.end(str(tmp_path)) == AS_OF + timedelta(microseconds=1)


def test_end_of_a_simulation_is_after_its_latest_event(tmp_path):
    future = AS_OF + timedelta(days=90)
    logged(tmp_path, (future, AS_OF), (future - timedelta(days=1), AS_OF))
    assert predictions.end(str(tmp_path)) == future + timedelta(microseconds=1)


def test_end_passes_over_a_damaged_day(tmp_path):
    logged(tmp_path, (AS_OF, AS_OF), (AS_OF + timedelta(days=1), AS_OF + timedelta(days=1)))
    (tmp_path / "date=2018-06-11" / "1.parquet").write_bytes(b"PAR1")
    assert predictions.end(str(tmp_path)) == AS_OF + timedelta(microseconds=1)


def test_end_of_a_log_that_is_not_there(tmp_path):
    assert predictions.end(str(tmp_path / "none")) is None
