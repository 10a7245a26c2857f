import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serin.errors import DataError, UnavailableError
from serin.tables import digest, read


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_csv_values_stay_text_and_empty_fields_are_null(tmp_path: Path) -> None:
    frame = read(write(tmp_path / "t.csv", b"id,country\n007,NA\n8,\n"))
    assert frame["id"].tolist() == ["007", "8"]
    assert frame["country"].tolist()[0] == "NA"
    assert frame["country"].isna().tolist() == [False, True]


def test_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert list(read(write(tmp_path / "t.csv", "\ufeffid,ä\n1,2\n".encode())).columns) == ["id", "ä"]


def test_parquet_integers_next_to_nulls_keep_all_digits(tmp_path: Path) -> None:
    big = 2**62 + 1
    pq.write_table(pa.table({"id": pa.array([big, None], pa.int64())}), tmp_path / "t.parquet")
    assert read(str(tmp_path / "t.parquet"))["id"].tolist() == [big, None]


def test_digest_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    content = b"a,b\n1,2\n" * 200_000
    assert digest(write(tmp_path / "t.csv", content)) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "t.csv is empty: 0 bytes"),
        ("t.csv", b"a,b\n", "t.csv holds no row; its columns are a, b"),
        ("t.csv", b"\n\n\n", "t.csv has no column names in its first line"),
        ("t.csv", b"a,b,a\n1,2,3\n", "t.csv has more than one column called a"),
        ("t.csv", b"a;b\n1;2\n", "t.csv is separated by semicolons: its first line is 'a;b'; allowed: commas"),
        ("t.csv", b"a\tb\n1\t2\n", "t.csv is separated by tabs"),
        ("t.csv", b"PAR1\0\0\1\2", "t.csv is no text: it holds NUL bytes"),
        ("t.csv", b"a,b\n1,\xff\xfe\n", "t.csv is no UTF-8 text"),
        ("t.csv", b"a,b\n1,2\n1,2,3,4\n", "t.csv is no comma-separated table: .*line 3"),
        ("t.csv", b"a,b\n1,2,3\n1,2,3\n", "t.csv has more values in its rows than names in its first"),
        ("t.csv", b'a,b\n1,"2\n', "t.csv is no comma-separated table"),
        ("t.parquet", b"no parquet at all", "t.parquet is no readable Parquet file"),
        ("t.xlsx", b"PK", "t.xlsx has an extension that Serin does not read; allowed: .csv, .parquet"),
    ],
)
def test_file_that_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / name, content))


def test_random_bytes_called_csv_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv "):
        read(write(tmp_path / "t.csv", np.random.default_rng(0).bytes(5000)))


def test_parquet_without_rows_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a": []}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="holds no row; its columns are a"):
        read(str(tmp_path / "t.parquet"))


def test_truncated_parquet_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pd.DataFrame({"a": range(1000)}).to_parquet(whole)
    with pytest.raises(DataError, match="is no readable Parquet file"):
        read(write(tmp_path / "t.parquet", whole.read_bytes()[:-20]))


def test_missing_file_and_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UnavailableError, match=r"t\.csv is not there; name one \.csv or \.parquet file"):
        read(str(tmp_path / "t.csv"))
    with pytest.raises(UnavailableError, match=r"folder\.csv is a folder, not a file"):
        read(str(tmp_path / "folder.csv"))
