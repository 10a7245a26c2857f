"""The time from which a run looks at the data."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.ingest.run import run
from serin.errors import DataError
from serin.use_case import UseCase, parse
from serin.workspace import Workspace


def make_case(timestamp: bool) -> UseCase:
    columns = {"id": {"type": "integer"}, "x": {"type": "number"}, "y": {"type": "integer"}}
    return parse(
        {
            "name": "toy",
            "data": {"columns": columns | ({"at": {"type": "timestamp"}} if timestamp else {}), "key": ["id"]},
            "label": {"column": "y"},
            "entities": {"thing": "id"},
            "features": {"service": "toy_v1", "request": ["x"]},
            "training": {"estimators": {"xgboost": {}}},
        }
        | ({"timestamp": "at"} if timestamp else {}),
        "toy",
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, "local", str(tmp_path / "state"), "", tmp_path / "feature_store.yaml")


@pytest.fixture
def events(tmp_path: Path) -> str:
    (tmp_path / "e.csv").write_text("id,x,y,at\n1,1,0,2020-01-01T05:00\n2,2,1,2020-01-03T07:00\n")
    return str(tmp_path / "e.csv")


@pytest.fixture
def snapshot(tmp_path: Path) -> str:
    (tmp_path / "s.csv").write_text("id,x,y\n1,1,0\n2,2,1\n")
    return str(tmp_path / "s.csv")


def test_default_is_the_midnight_after_the_last_event(workspace, events):
    assert run(workspace, make_case(True), events, "").known_at == datetime(2020, 1, 4, tzinfo=UTC)


def test_rows_after_the_time_make_no_difference_to_the_snapshots_name(workspace, events):
    whole = run(workspace, make_case(True), events, "2020-01-02").snapshot
    other = Path(events).with_name("other.csv")
    other.write_text("id,x,y,at\n2,9,1,2020-01-03T07:00\n3,1,0,2020-01-03T08:00\n")
    assert run(workspace, make_case(True), str(other), "2020-01-02").snapshot == whole
    assert run(workspace, make_case(True), "", "2020-01-04").snapshot != whole


def test_time_in_the_future_is_refused(workspace, events):
    far = (datetime.now(UTC) + timedelta(days=400)).date().isoformat()
    with pytest.raises(DataError, match=rf"--as-of {far} 00:00 lies in the future; the latest allowed is"):
        run(workspace, make_case(True), events, far)


def test_time_before_the_only_snapshot_is_refused(workspace, snapshot):
    case = make_case(False)
    run(workspace, case, snapshot, "2026-02-01")
    with pytest.raises(
        DataError, match="no snapshot of toy is known as of 2020-01-01; the one that is stored is of 2026-02-01"
    ):
        run(workspace, case, "", "2020-01-01")


def test_nothing_stored_and_no_table_says_what_to_give(workspace):
    with pytest.raises(DataError, match="no events of toy are stored; give a table: --data TABLE"):
        run(workspace, make_case(True), "", "")
