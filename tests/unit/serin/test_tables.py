import bz2
import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from serin.errors import DataError, UnavailableError
from serin.tables import Table, digest, read

CSV = "id,country,left\n1,Österreich,0\n2,Spain,1\n"


def write(path: Path, content: bytes | str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def table(tmp_path: Path, content: bytes | str, name: str = "t.csv") -> Table:
    return read(write(tmp_path / name, content))


def rows(found: Table) -> list[list[Any]]:
    frame = found.frame.astype(object)
    return frame.where(frame.notna(), None).to_numpy().tolist()


def test_csv_values_stay_text_and_empty_fields_are_null(tmp_path: Path) -> None:
    found = table(tmp_path, "id,country\n007,NA\n8,\n 9 ,x\n")
    assert rows(found) == [["007", "NA"], ["8", None], [" 9 ", "x"]]
    assert found.notes == ()


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (CSV.encode(), None),
        (CSV.encode("utf-8-sig"), None),
        (CSV.encode("utf-16"), "The file is UTF-16 text."),
        (b"\xfe\xff" + CSV.encode("utf-16-be"), "The file is UTF-16 text."),
        (CSV.encode("utf-16-le"), "The file is taken for UTF-16 text without a byte order mark."),
        (CSV.encode("utf-16-be"), "The file is taken for UTF-16 text without a byte order mark."),
        (CSV.encode("utf-32"), "The file is UTF-32 text."),
        (CSV.encode("cp1252"), "The file is no UTF-8 (byte 0xd6 in line 2) and read as Windows-1252; save it as UTF-8"),
    ],
)
def test_encoding_is_recognised_and_told(tmp_path: Path, content: bytes, note: str | None) -> None:
    found = table(tmp_path, content)
    assert list(found.frame.columns) == ["id", "country", "left"]
    assert rows(found) == [["1", "Österreich", "0"], ["2", "Spain", "1"]]
    assert [text.startswith(note) for text in found.notes if note] == ([True] if note else [])


@pytest.mark.parametrize("encoding", ["cp1251", "shift-jis", "euc-kr"])
def test_encoding_that_is_not_recognised_is_refused_with_the_way_out(tmp_path: Path, encoding: str) -> None:
    word = {"cp1251": "Германия", "shift-jis": "ドイツ連邦", "euc-kr": "독일연방"}[encoding]
    with pytest.raises(DataError, match=r"is no UTF-8, UTF-16 or Windows-1252 text: byte 0x.. in line 2; save it as"):
        table(tmp_path, f"id,country\n1,{word}\n2,{word}\n".encode(encoding))


def test_row_with_bytes_that_are_no_text_is_set_aside_not_guessed(tmp_path: Path) -> None:
    mixed = "id,name\n1,Jürgen\n".encode() + b"2,J\xfcrgen\n" + "3,Bärbel\n".encode()
    found = table(tmp_path, mixed)
    assert rows(found) == [["1", "Jürgen"], ["3", "Bärbel"]]
    assert found.bad_lines[["line", "reason"]].to_numpy().tolist() == [[3, "holds bytes that are no UTF-8 text"]]


def test_row_with_nul_bytes_is_set_aside(tmp_path: Path) -> None:
    found = table(tmp_path, b"id,name\n1,a\n2,\0\0\0\n3,c\n")
    assert rows(found) == [["1", "a"], ["3", "c"]]
    assert found.bad_lines[["line", "reason"]].to_numpy().tolist() == [[3, "holds NUL bytes"]]


@pytest.mark.parametrize("ends", [["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]])
def test_lines_may_end_in_any_way(tmp_path: Path, ends: list[str]) -> None:
    lines = ["id,left", "1,0", "2,1", "3,0"]
    found = table(tmp_path, "".join(line + ends[place % len(ends)] for place, line in enumerate(lines)))
    assert rows(found) == [["1", "0"], ["2", "1"], ["3", "0"]]


def test_last_line_needs_no_end(tmp_path: Path) -> None:
    assert rows(table(tmp_path, 'id,left\n1,0\n2,"1"')) == [["1", "0"], ["2", "1"]]


@pytest.mark.parametrize(("separator", "plural"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_separator_is_detected_and_told(tmp_path: Path, separator: str, plural: str) -> None:
    lines = [["id", "amount", "left"], ["1", "3,5", "0"], ["2", "4,25", "1"]]
    found = table(tmp_path, "\n".join(separator.join(line) for line in lines))
    assert rows(found) == lines[1:]
    assert found.notes == (f"Values are separated by {plural}.",)


@pytest.mark.parametrize("line", ["sep=;\r\n", '"sep=;"\n', "SEP=;\n"])
def test_declared_separator_is_honoured(tmp_path: Path, line: str) -> None:
    found = table(tmp_path, line + "a;b,c\n1;2,3\nx;4\n")
    assert list(found.frame.columns) == ["a", "b,c"]
    assert rows(found) == [["1", "2,3"], ["x", "4"]]


def test_values_in_quotes_hold_separators_quotes_and_lines(tmp_path: Path) -> None:
    found = table(tmp_path, 'id,text\n1,"a, ""b""\nc"\n2,5" disc\n')
    assert rows(found) == [["1", 'a, "b"\nc'], ["2", '5" disc']]


def test_quotes_after_a_blank_are_quotes(tmp_path: Path) -> None:
    assert rows(table(tmp_path, '"id", "text"\n"1", "a, b"\n')) == [["1", "a, b"]]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('id,text\n1,a\n2,"b\n3,c\n4,d\n', 3),
        ('id,text\n1,"2', 2),
        ('id,a,b\n1,"x\ny",2\n3,"x\ny","z\n4,a,b\n', 5),
        ('id,text\n1,"a\n2,"b"\n', 2),
        ('id,text,left\n1,"abc,0\n2,"def",1\n', 2),
    ],
)
def test_quote_that_never_closes_is_named_with_the_line_where_it_opens(tmp_path: Path, content: str, line: int) -> None:
    with pytest.raises(DataError, match=rf"t\.csv, line {line}: a quote opens that .*; close it, or remove it"):
        table(tmp_path, content)


def test_endless_value_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv, line 2: field larger than field limit.*does a quote open there"):
        table(tmp_path, 'id,text\n1,"' + "x,1\n" * 50_000)


def test_short_and_long_rows_are_set_aside_with_their_lines_and_not_filled_with_nulls(tmp_path: Path) -> None:
    whole = "".join(f"{place},x,0\n" for place in range(10))
    found = table(tmp_path, f'id,text,left\n5,"two\nlines",1\n6,short\n{whole}7,too,long,1\n\n8')
    assert len(found.frame) == 11
    assert found.bad_lines.to_numpy().tolist() == [
        [4, "6,short", "2 fields where the column names are 3"],
        [15, "7,too,long,1", "4 fields where the column names are 3"],
        [17, "8", "1 field where the column names are 3"],
    ]
    assert found.notes == (
        "3 rows can't be read and set aside (line 4: 2 fields where the column names are 3; line 15: 4 fields where "
        "the column names are 3; line 17: 1 field where the column names are 3).",
    )


def test_empty_columns_at_the_end_are_left_out_and_told(tmp_path: Path) -> None:
    found = table(tmp_path, "id,left,,,\n1,0,,,\n2,1,, ,\n3,1\n")
    assert rows(found) == [["1", "0"], ["2", "1"], ["3", "1"]]
    assert found.notes == ("3 columns without a name and without values left out.",)


def test_separators_at_the_end_of_rows_alone_are_no_fields(tmp_path: Path) -> None:
    assert rows(table(tmp_path, "id,left\n1,0,\n2,1,\n")) == [["1", "0"], ["2", "1"]]


def test_column_without_a_name_but_with_values_gets_one(tmp_path: Path) -> None:
    found = table(tmp_path, ",id,left\n0,7,0\n1,8,1\n")
    assert list(found.frame.columns) == ["Unnamed: 0", "id", "left"]
    assert found.notes == ("1 column without a name called 'Unnamed: 0'.",)


def test_blanks_around_names_are_left_out_and_rows_without_values_too(tmp_path: Path) -> None:
    found = table(tmp_path, " id , left\n1,0\n,\n \n2,1\n,\n")
    assert list(found.frame.columns) == ["id", "left"]
    assert rows(found) == [["1", "0"], ["2", "1"]]
    assert found.notes == ("Blanks around 2 column names left out.", "2 rows without any value left out.")


@pytest.mark.parametrize(
    "title", ["Customers of 2025\n", "Customers of 2025,,,\n\n,,,\nAll regions,,,\n", "A, B and C\n"]
)
def test_title_lines_are_left_out_and_told(tmp_path: Path, title: str) -> None:
    body = "".join(f"{place},{place % 7},x,{place % 2}\n" for place in range(20))
    found = table(tmp_path, f"{title}id,age,kind,left\n{body}")
    assert list(found.frame.columns) == ["id", "age", "kind", "left"]
    assert len(found.frame) == 20
    (note,) = [text for text in found.notes if "title line" in text]
    assert f"before the column names in line {title.count(chr(10)) + 1} left out: '" in note


@pytest.mark.parametrize("total", ["Total,,20", "Grand total: 20 rows", "TOTAL;;;", "sum,,10"])
def test_total_line_at_the_end_is_left_out_and_told(tmp_path: Path, total: str) -> None:
    found = table(tmp_path, f"id,age,left\n1,30,0\n2,40,1\n3,50,1\n{total}\n")
    assert len(found.frame) == 3
    assert len(found.bad_lines) == 0
    assert found.notes[-1].startswith("The total in line 5 left out: ")


def test_name_that_only_starts_like_a_total_is_a_row(tmp_path: Path) -> None:
    assert len(table(tmp_path, "id,age,left\nTotalis,30,0\nTotal Energies,40,1\n").frame) == 2


def test_file_without_column_names_says_that_they_look_like_values(tmp_path: Path) -> None:
    assert table(tmp_path, "1,30,0\n2,40,1\n").notes == (
        "The column names in line 1 look like values: does the table lack a header line?",
    )


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("t.csv.gz", gzip.compress(CSV.encode())),
        ("t.csv.bz2", bz2.compress(CSV.encode())),
        ("t.csv.zst", pa.compress(CSV.encode(), "zstd", asbytes=True)),
        ("t.csv", gzip.compress(CSV.encode())),
        ("t.tsv.gz", gzip.compress(CSV.replace(",", "\t").encode())),
    ],
    ids=["gzip", "bzip2", "zstd", "gzip called csv", "gzip of tabs"],
)
def test_compressed_file_is_read(tmp_path: Path, name: str, packed: bytes) -> None:
    assert rows(table(tmp_path, packed, name)) == [["1", "Österreich", "0"], ["2", "Spain", "1"]]


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.bz2", "t.csv.zst"])
def test_truncated_compressed_file_is_refused(tmp_path: Path, name: str) -> None:
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "zst": lambda text: pa.compress(text, "zstd", asbytes=True)}
    packed = pack[name.rpartition(".")[2]](np.random.default_rng(0).bytes(50_000).hex().encode())
    with pytest.raises(DataError, match=rf"{name} can't be read: Truncated compressed stream"):
        table(tmp_path, packed[:-100], name)


def test_folder_of_hive_partitions_is_one_table_with_their_keys(tmp_path: Path) -> None:
    write(tmp_path / "t/region=north%2Feast/year=2025/part-0.csv", "id,left\n1,0\n2,1\n")
    write(tmp_path / "t/region=__HIVE_DEFAULT_PARTITION__/year=2026/part-0.csv", "id,left\n3,0\nbad\n4,1\n")
    write(tmp_path / "t/_SUCCESS", "")
    write(tmp_path / "t/.part-0.csv.crc", "x")
    found = read(str(tmp_path / "t"))
    assert rows(found) == [
        ["3", "0", None, "2026"],
        ["4", "1", None, "2026"],
        ["1", "0", "north/east", "2025"],
        ["2", "1", "north/east", "2025"],
    ]
    assert found.notes[0] == "The folder's 2 files read as one table."
    assert found.bad_lines["line"].tolist() == [3]
    assert "year=2026/part-0.csv: 1 field" in found.bad_lines["reason"][0]


def test_files_of_a_folder_may_lack_a_column(tmp_path: Path) -> None:
    write(tmp_path / "t/a.csv", "id,left\n1,0\n")
    write(tmp_path / "t/b.csv.gz", gzip.compress(b"id,age,left\n2,30,1\n"))
    found = read(str(tmp_path / "t"))
    assert found.frame["age"].isna().tolist() == [True, False]
    assert "Not every file of the folder has age; missing there." in found.notes


def test_folder_without_a_table_or_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnavailableError, match=r"empty is a folder without a table; allowed: \.csv"):
        read(str(tmp_path / "empty"))
    write(tmp_path / "t/id=1/a.csv", "id,left\n1,0\n")
    with pytest.raises(DataError, match=r"id=1/a\.csv has more than one column called id: its folder has one"):
        read(str(tmp_path / "t"))


def test_digest_is_the_sha256_of_the_bytes_and_of_a_folder_changes_with_a_file(tmp_path: Path) -> None:
    content = b"a,b\n1,2\n" * 200_000
    assert digest(write(tmp_path / "t/a.csv", content)) == hashlib.sha256(content).hexdigest()
    before = digest(str(tmp_path / "t"))
    write(tmp_path / "t/b.csv", "a,b\n3,4\n")
    assert digest(str(tmp_path / "t")) != before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "t.csv is empty: 0 bytes"),
        ("t.csv", b"a,b\n", "t.csv holds no row; its columns are a, b"),
        ("t.csv", b"\n\n\n", "t.csv has no column names in its first line"),
        ("t.csv", b"a,b,a\n1,2,3\n", "t.csv has more than one column called a; names must differ"),
        ("t.csv", b"a, a \n1,2\n", "t.csv has more than one column called a; names must differ"),
        ("t.csv", b"\1\0\0\1\2,\n", "t.csv is no text: it holds NUL bytes in line 1"),
        ("t.csv", b"a,b\n1,2,3\n1,2,3\n", "t.csv is no table: 2 of 2 rows .*such as line 2: 3 fields where"),
        ("t.csv", b"a,b,c\n1,2\n1,2\n1,2,3\n", "t.csv is no table: 2 of 3 rows don't fit its column names in line 1"),
        ("t.parquet", b"no parquet at all", "t.parquet is no readable Parquet file"),
        ("t.xlsx", b"PK", r"t.xlsx has an extension that Serin does not read; allowed: .csv, .tsv, .txt, .parquet"),
        ("t.csv", b"PK\3\4xx", "t.csv is a zip archive or an Excel workbook; unpack it, or save the sheet as CSV"),
    ],
)
def test_file_that_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, content, name)


def test_random_bytes_called_csv_are_refused(tmp_path: Path) -> None:
    for seed in range(20):
        with pytest.raises(DataError, match=r"t\.csv"):
            table(tmp_path, np.random.default_rng(seed).bytes(5000))


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"t\.csv is not there; name a \.csv, \.tsv, \.txt, \.parquet file or a"):
        read(str(tmp_path / "t.csv"))
