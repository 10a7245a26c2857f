"""Parquet as other tools write it: each oddity is read, or refused with a message that names file and column."""

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serin.errors import DataError
from serin.tables import Table, read
from serin.values import convert

IDS = [uuid.UUID(int=2**127 + place) for place in range(3)]


def written(tmp_path: Path, columns: dict[str, Any], **options: Any) -> Table:
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", **options)
    return read(str(tmp_path / "t.parquet"))


def values(found: Table, name: str) -> list[Any]:
    column = found.frame[name].astype(object)
    return column.where(column.notna(), None).tolist()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([b"007", "Österreich".encode(), None]), ["007", "Österreich", None]),
        (pa.array([b"007", b"a", None], pa.large_binary()), ["007", "a", None]),
        (pa.array([b"a", b"a\0", None]), ["a", "a\0", None]),
        (pa.array([b"007", b"a", None], pa.binary_view()), ["007", "a", None]),
        (pa.array([b"ab", b"cd", None], pa.binary(2)), ["ab", "cd", None]),
        (pa.array([b"ab\0", b"c\0\0", None], pa.binary(3)), ["ab", "c", None]),
        (pa.array([i.bytes for i in IDS], pa.uuid()), [str(i) for i in IDS]),
        (pa.array([i.bytes for i in IDS], pa.binary(16)), [str(i) for i in IDS]),
        (pa.array([i.bytes for i in IDS]), [str(i) for i in IDS]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array([b"a", None, b"a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array(["a", None, "b"], pa.string_view()), ["a", None, "b"]),
        (pa.array([2**62 + 1, None, 1]), [2**62 + 1, None, 1]),
        (pa.array([2**64 - 1, None, 1], pa.uint64()), [2**64 - 1, None, 1]),
        (pa.array([Decimal(7), None, Decimal(-8)], pa.decimal128(20, 0)), [7, None, -8]),
        (pa.array([Decimal(10) ** 30, None, Decimal(1)], pa.decimal256(40, 0)), [Decimal(10) ** 30, None, Decimal(1)]),
        (pa.array([Decimal("1.50"), None], pa.decimal128(9, 2)), [Decimal("1.50"), None]),
        (pa.array([1.5, None, -2.0], pa.float16()), [1.5, None, -2.0]),
        (pa.array([True, None, False]), [True, None, False]),
        (pa.array([dt.time(1, 2), None, dt.time(3)]), ["01:02:00.000000", None, "03:00:00.000000"]),
        (pa.nulls(3), [None, None, None]),
    ],
)  # fmt: skip
def test_plain_types_keep_their_values(tmp_path: Path, column: pa.Array, expected: list[Any]) -> None:
    assert values(written(tmp_path, {"x": column}), "x") == expected


@pytest.mark.parametrize("year", [1900, 2018, 2199, 9999])
def test_int96_times_keep_their_year(tmp_path: Path, year: int) -> None:
    times = pa.array([dt.datetime(year, 12, 31)], pa.timestamp("us"))
    found = written(tmp_path, {"at": times}, use_deprecated_int96_timestamps=True)
    assert found.frame["at"].dt.year.tolist() == [year]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati", None])
@pytest.mark.parametrize(
    ("unit", "count"),
    [("us", -62_135_596_800_000_000), ("us", -(2**63) + 1), ("us", 2**63 - 1), ("ms", 2**62), ("ns", 2**63 - 1)],
)
def test_times_of_any_year_are_read_in_any_zone(tmp_path: Path, zone: str | None, unit: str, count: int) -> None:
    times = pa.array([0, None, count], pa.int64()).cast(pa.timestamp(unit, zone))
    frame = written(tmp_path, {"at": times}).frame
    assert [value is pd.NaT for value in frame["at"]] == [False, True, False]
    found, misfit = convert(frame["at"], "timestamp")
    assert found[0] == pd.Timestamp(0, tz="UTC")
    assert misfit.tolist() == [False, False, True]
    assert all(map(str, frame["at"]))


@pytest.mark.parametrize(
    ("encoding", "column"),
    [
        ("DELTA_BINARY_PACKED", pa.array([5, 3, 2**40])),
        ("DELTA_LENGTH_BYTE_ARRAY", pa.array(["a", "bc", "d"])),
        ("DELTA_BYTE_ARRAY", pa.array(["abc", "abd", "b"])),
        ("BYTE_STREAM_SPLIT", pa.array([1.5, 2.5, 3.5])),
    ],
)
def test_delta_encodings_are_read(tmp_path: Path, encoding: str, column: pa.Array) -> None:
    found = written(tmp_path, {"x": column}, use_dictionary=False, column_encoding={"x": encoding})
    assert values(found, "x") == column.to_pylist()


@pytest.mark.parametrize("codec", ["snappy", "gzip", "zstd", "lz4", "brotli"])
def test_codecs_are_read(tmp_path: Path, codec: str) -> None:
    assert values(written(tmp_path, {"x": [1, 2]}, compression=codec), "x") == [1, 2]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([[1], [2, 3]]), "holds list values, which are nested; write its parts as columns of their own"),
        (pa.array([{"a": 1}, {"a": 2}]), "holds struct values, which are nested; write its parts as columns"),
        (pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())), "holds map values, which are nested"),
        (pa.array([b"\xff\xfe", b"\0\1\2"]), "holds bytes that are no UTF-8 text; write them as text"),
        (pa.array([dt.timedelta(1), dt.timedelta(2)]), r"holds duration\[us\] values; write them as numbers"),
    ],
)
def test_column_that_is_not_read_is_left_out_and_refused_where_it_is_needed(
    tmp_path: Path, column: pa.Array, reason: str
) -> None:
    found = written(tmp_path, {"id": [1, 2], "odd": column})
    assert list(found.frame.columns) == ["id"]
    assert [note.startswith("odd left out: it holds") for note in found.notes] == [True]
    with pytest.raises(DataError, match=rf"t\.parquet, column odd: {reason}"):
        read(str(tmp_path / "t.parquet"), needed=["id", "odd"])


def test_texts_that_are_no_utf8_are_named(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    assert written(tmp_path, {"id": [1], "name": broken}).unread == {
        "name": "holds texts that are no UTF-8; write them as UTF-8"
    }


def test_bytes_and_decimals_are_told(tmp_path: Path) -> None:
    assert written(tmp_path, {"id": [b"a"]}).notes == ("id: bytes without a declared type, read as UTF-8 text.",)


def test_damaged_page_is_named_with_its_column(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"id": list(range(1000)), "amount": [float(place) for place in range(1000)]})
    pq.write_table(table, path, write_page_checksum=True, use_dictionary=False, compression="none")
    content = bytearray(path.read_bytes())
    place = pq.read_metadata(path).row_group(0).column(1).data_page_offset
    content[place + 500] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.parquet, column amount: can't be read: .*CRC.*; the file is damaged"):
        read(str(path))


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
def test_truncated_file_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(DataError, match=r"t\.parquet is no readable Parquet file"):
        read(str(path))


def test_damage_anywhere_is_read_or_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": list(range(300)), "b": ["x"] * 300}), path, write_page_checksum=True)
    whole = path.read_bytes()
    messages = []
    for place in range(4, len(whole), 23):
        content = bytearray(whole)
        content[place] ^= 0xFF
        path.write_bytes(content)
        try:
            read(str(path))
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert all("t.parquet" in message for message in messages)


def test_file_without_rows_and_one_with_a_name_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no row; its columns are a"):
        written(tmp_path, {"a": pa.array([], pa.int64())})
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="more than one column called a; names must differ"):
        read(str(tmp_path / "t.parquet"))


def test_parquet_is_recognised_whatever_it_is_called(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.csv")
    assert values(read(str(tmp_path / "t.csv")), "a") == [1]


def test_spark_output_of_parts_is_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "day=2026-01-05"
    folder.mkdir()
    (tmp_path / "_SUCCESS").touch()
    pq.write_table(pa.table({"id": pa.array([2**62 + 1, None])}), folder / "part-00000.snappy.parquet")
    pq.write_table(pa.table({"id": ["007"]}), folder / "part-00001.snappy.parquet")
    found = read(str(tmp_path))
    assert values(found, "id") == [2**62 + 1, None, "007"]
    assert set(found.frame["day"]) == {"2026-01-05"}
