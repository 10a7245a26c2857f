"""The spool's files: who holds them, who takes them over, and what the disk and the limit refuse."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from predictors.log import frames
from predictors.log.spool import Spool, left_over
from serin.errors import UnavailableError

COLUMNS = pa.schema([("row", pa.int64())], metadata={"deployment": "v12"})
MANY = 1024**2
NOW = 1_000_000.0

# Writes a row, says so, and waits to be killed.
_WRITER = """
import sys, time
from pathlib import Path
from tests.unit.predictors.log.test_spool import COLUMNS, MANY, NOW, put
from predictors.log.spool import Spool
spool = Spool(Path(sys.argv[1]), COLUMNS, MANY)
put(spool, 7)
print("written", flush=True)
time.sleep(600)
"""


def put(spool: Spool, *numbers: int, now: float = NOW) -> None:
    batch = pa.record_batch([pa.array(numbers, pa.int64())], schema=COLUMNS)
    spool.append(frames.frame(batch.serialize(), len(numbers)), len(numbers), now)


def numbers(spool: Spool) -> list[int]:
    return [
        number for file in spool.waiting() for number in frames.content(file.path.read_bytes()).rows["row"].to_pylist()
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    made = Spool(folder, COLUMNS, MANY)
    yield made
    made.close()


def test_rows_are_in_a_file_at_once_and_go_when_they_are_done(spool: Spool, folder: Path) -> None:
    put(spool, 1, 2)
    put(spool, 3, now=NOW + 5)
    (path,) = folder.glob("*.spool")
    assert frames.content(path.read_bytes()).rows["row"].to_pylist() == [1, 2, 3]
    assert spool.waiting() == []
    assert (spool.size, spool.since) == (path.stat().st_size, NOW)
    spool.rotate()
    (file,) = spool.waiting()
    assert (file.path, file.rows, file.since) == (path, 3, NOW)
    spool.done(file)
    assert (spool.size, spool.since, list(folder.glob("*.spool"))) == (0, None, [])


def test_a_file_is_closed_at_its_size_or_age(spool: Spool) -> None:
    assert not spool.rotate()
    put(spool, 1)
    assert not spool.rotate(size=MANY, before=NOW - 1)
    assert spool.rotate(size=MANY, before=NOW)
    put(spool, 2, now=NOW + 1)
    assert spool.rotate(size=1)
    put(spool, 3, now=NOW + 2)
    assert spool.rotate()
    assert numbers(spool) == [1, 2, 3]
    assert len({file.path for file in spool.waiting()}) == 3


def test_beyond_the_limit_nothing_is_written_until_there_is_room(folder: Path) -> None:
    spool = Spool(folder, COLUMNS, 1200)
    put(spool, 1)
    put(spool, 2)
    with pytest.raises(UnavailableError, match=r"spool holds \d+ bytes; allowed: 1200"):
        put(spool, *range(100))
    spool.rotate()
    assert numbers(spool) == [1, 2]
    spool.done(spool.waiting()[0])
    put(spool, *range(50))
    spool.close()
    assert numbers(spool) == list(range(50))


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file can be longer than `size` bytes: the system writes what fits, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_the_disk_refuses_half_way_is_taken_back(spool: Spool) -> None:
    put(spool, 1)
    with room(spool.size + 20), pytest.raises(UnavailableError, match=r"spool can't be written: File too large"):
        put(spool, 2)
    put(spool, 3)
    spool.rotate()
    (file,) = spool.waiting()
    assert frames.content(file.path.read_bytes()).lost_bytes == 0
    assert (numbers(spool), file.size) == ([1, 3], file.path.stat().st_size)


def test_a_file_that_can_not_be_begun_is_not_there(spool: Spool, folder: Path) -> None:
    spool.hold()
    with room(20), pytest.raises(UnavailableError, match="File too large"):
        put(spool, 1)
    assert list(folder.glob("*.spool")) == []
    put(spool, 2)
    spool.rotate()
    assert numbers(spool) == [2]


def test_a_folder_that_can_not_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"file/spool can't be written: Not a directory"):
        Spool(tmp_path / "file" / "spool", COLUMNS, MANY).hold()


def test_a_folder_that_was_removed_is_made_again(spool: Spool, folder: Path) -> None:
    put(spool, 1)
    spool.rotate()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    put(spool, 2)
    # Still held: another one must not take it over.
    assert Spool(folder, COLUMNS, MANY).adopt() == []


def test_files_of_a_process_that_was_killed_are_taken_over_once(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "written\n"
        first, second = Spool(folder, COLUMNS, MANY), Spool(folder, COLUMNS, MANY)
        # It lives, so its files are its own.
        assert first.adopt() == left_over(folder) == []
        writer.kill()
        writer.wait()
    assert len(left_over(folder)) == 1
    (file,) = first.adopt()
    assert left_over(folder) == []
    assert (file.rows, numbers(first)) == (None, [7])
    assert first.adopt() == second.adopt() == []
    # Who took them over may be killed, too, or end before they are done.
    first.close()
    (again,) = second.adopt()
    assert again.path == file.path
    second.done(again)
    second.close()
    assert list(folder.iterdir()) == []


def test_locks_without_files_are_removed_and_those_of_the_living_stay(folder: Path) -> None:
    idle, other = Spool(folder, COLUMNS, MANY), Spool(folder, COLUMNS, MANY)
    idle.hold()
    (folder / "0123456789abcdef.lock").touch()
    (folder / "notes.txt").touch()
    assert other.adopt() == []
    assert len(list(folder.glob("*.lock"))) == 1
    put(idle, 1)
    idle.close()
    assert len(other.adopt()) == 1
    other.close()


def test_a_file_that_can_not_be_read_is_set_aside_and_looked_at_no_more(folder: Path) -> None:
    folder.mkdir()
    (folder / "0123456789abcdef-000000.spool").write_bytes(b"nothing")
    spool = Spool(folder, COLUMNS, MANY)
    (file,) = spool.adopt()
    aside = spool.set_aside(file)
    assert (aside.read_bytes(), spool.waiting()) == (b"nothing", [])
    assert [path.name for path in folder.iterdir()] == ["0123456789abcdef-000000.damaged"]
    assert Spool(folder, COLUMNS, MANY).adopt() == []
