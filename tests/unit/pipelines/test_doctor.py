"""What `serin doctor` says of the store."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from components.ingest.store import ingest
from pipelines.commands.doctor import _workspace_checks, stored
from serin import partitions, storage
from serin.workspace import Workspace
from tests.factories import make_case

CASE = make_case(
    {"id": "integer", "at": "timestamp", "x": "number", "y": "integer"},
    request=["x"],
    timestamp="at",
    data={"key": ["id"]},
)
DATES = ("2020-01-01", "2020-01-03")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, "local", str(tmp_path / "state"), "", tmp_path / "feature_store.yaml")


@pytest.fixture
def source(workspace: Workspace) -> str:
    """A table that is ingested, and a day of its predictions."""
    where = workspace.root / "e.csv"
    where.write_text("id,x,y,at\n" + "".join(f"{i},1,{i},{date}T05:00\n" for i, date in enumerate(DATES)))
    ingest(workspace, CASE, str(where), datetime.now(UTC))
    storage.write_table(pa.table({"x": [1]}), partitions.location(workspace.predictions("toy"), DATES[0], "v1.parquet"))
    return str(where)


def cut(where: str) -> str:
    Path(where).write_bytes(Path(where).read_bytes()[:30])
    return where


def test_sound_files_are_counted(workspace, source):
    assert [(check.ok, check.what, check.found) for check in stored(workspace, CASE)] == [
        (True, "events of toy", "2 files"),
        (True, "predictions of toy", "1 files"),
    ]


def test_damaged_files_are_named_with_the_way_to_mend_each(workspace, source):
    event = cut(partitions.location(workspace.events("toy"), DATES[1]))
    logged = cut(partitions.location(workspace.predictions("toy"), DATES[0], "v1.parquet"))
    events, predictions = stored(workspace, CASE)
    assert not events.ok
    assert events.found.startswith(f"{event} is damaged: ")
    assert events.advice == (
        f"ingest the table that it came from again (serin train toy --data TABLE), or remove it: {event}"
    )
    assert not predictions.ok
    assert predictions.found.startswith(f"{logged} is damaged: ")
    assert predictions.advice == f"its rows are lost; remove it: {logged}"


def test_rows_that_a_predictor_left_in_its_spool_are_named(workspace, source):
    folder = workspace.spool / "toy"
    folder.mkdir(parents=True)
    (folder / "0123456789abcdef-000001.spool").write_bytes(b"rows")
    (folder / "0123456789abcdef-000000.damaged").write_bytes(b"what")
    left, damaged = (check for check in stored(workspace, CASE) if not check.ok)
    assert left.found == (
        f"a predictor that is gone left rows of the prediction log in {folder}/0123456789abcdef-000001.spool (4 bytes)"
    )
    assert left.advice == "`serin serve toy` stores them"
    assert damaged.found == f"a damaged file was set aside as {folder}/0123456789abcdef-000000.damaged (4 bytes)"


def test_file_that_was_set_aside_is_named_until_it_is_removed(workspace, source):
    cut(partitions.location(workspace.events("toy"), DATES[1]))
    (aside,) = ingest(workspace, CASE, source, datetime.now(UTC)).replaced
    checks = list(stored(workspace, CASE))
    assert [check.ok for check in checks] == [True, True, False]
    assert checks[2].found == f"a damaged file was set aside as {aside.location}"
    Path(aside.location).unlink()
    assert all(check.ok for check in stored(workspace, CASE))


def test_store_that_can_not_be_opened_is_named(workspace):
    (check,) = stored(replace(workspace, storage="ftp://there"), CASE)
    assert (check.ok, check.what) == (False, "stored rows of toy")
    assert check.found.startswith("ftp://there/events/toy can't be opened: ")


@pytest.mark.parametrize("is_file", [False, True])
def test_state_folder_that_is_a_file_is_not_in_order(workspace, is_file):
    if is_file:
        workspace.state.write_text("")
    (check,) = [check for check in _workspace_checks(workspace) if check.what == "state folder"]
    assert check.ok is not is_file
    assert check.advice.endswith(" must be a folder that can be written")
