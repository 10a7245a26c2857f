"""The time from which a run looks at the data."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.ingest.run import run
from serin import partitions
from serin.errors import DataError
from serin.platform import Platform, build
from serin.use_case import UseCase
from serin.workspace import Workspace
from tests.factories import make_case


def toy(timestamp: bool) -> UseCase:
    columns = {"id": "integer", "x": "number", "y": "integer"} | ({"at": "timestamp"} if timestamp else {})
    return make_case(columns, request=["x"], data={"key": ["id"]}, timestamp="at" if timestamp else None)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return build(
        Workspace(tmp_path, "local", str(tmp_path / "state"), "sqlite:////nowhere", tmp_path / "feature_store.yaml")
    )


@pytest.fixture
def events(tmp_path: Path) -> str:
    (tmp_path / "e.csv").write_text("id,x,y,at\n1,1,0,2020-01-01T05:00\n2,2,1,2020-01-03T07:00\n")
    return str(tmp_path / "e.csv")


@pytest.fixture
def snapshot(tmp_path: Path) -> str:
    (tmp_path / "s.csv").write_text("id,x,y\n1,1,0\n2,2,1\n")
    return str(tmp_path / "s.csv")


def test_default_is_the_midnight_after_the_last_event(platform, events):
    assert run(platform, toy(True), events, "").known_at == datetime(2020, 1, 4, tzinfo=UTC)


def test_rows_after_the_time_make_no_difference_to_the_snapshots_name(platform, events):
    whole = run(platform, toy(True), events, "2020-01-02").snapshot
    other = Path(events).with_name("other.csv")
    other.write_text("id,x,y,at\n2,9,1,2020-01-03T07:00\n3,1,0,2020-01-03T08:00\n")
    assert run(platform, toy(True), str(other), "2020-01-02").snapshot == whole
    assert run(platform, toy(True), "", "2020-01-04").snapshot != whole


def test_time_in_the_future_is_refused(platform, events):
    far = (datetime.now(UTC) + timedelta(days=400)).date().isoformat()
    with pytest.raises(DataError, match=rf"--as-of {far} 00:00 lies in the future; the latest allowed is"):
        run(platform, toy(True), events, far)


def test_time_before_the_only_snapshot_is_refused(platform, snapshot):
    case = toy(False)
    run(platform, case, snapshot, "2026-02-01")
    with pytest.raises(
        DataError, match="no snapshot of toy is known as of 2020-01-01; the one that is stored is of 2026-02-01"
    ):
        run(platform, case, "", "2020-01-01")


def test_nothing_stored_and_no_table_says_what_to_give(platform):
    with pytest.raises(DataError, match="no events of toy are stored; give a table: --data TABLE"):
        run(platform, toy(True), "", "")


def corrected(events: str) -> str:
    other = Path(events).with_name("corrected.csv")
    other.write_text("id,x,y,at\n1,1,0,2020-01-02T05:00\n2,2,1,2020-01-03T07:00\n3,1,0,2020-01-03T08:00\n")
    return str(other)


def test_what_an_increment_did_is_told(platform, events, capsys):
    run(platform, toy(True), events, "")
    run(platform, toy(True), corrected(events), "")
    assert capsys.readouterr().out.splitlines() == [
        "serin: 2 good rows, 2 new",
        "serin: 3 good rows, 1 new, 1 corrected, 1 known",
    ]


def test_rows_that_replaced_days_lose_are_told(platform, events, capsys):
    run(platform, toy(True), events, "")
    one = Path(events).with_name("one.csv")
    one.write_text("id,x,y,at\n4,1,0,2020-01-01T05:00\n")
    run(platform, toy(True), str(one), "", replace_days=True)
    assert "serin: 1 stored rows of the replaced days are deleted" in capsys.readouterr().out.splitlines()


def test_entities_that_are_gone_from_the_snapshot_are_told(platform, tmp_path, capsys):
    for number, ids in enumerate((range(20), range(12, 22))):
        table = tmp_path / f"{number}.csv"
        table.write_text("id,x,y\n" + "".join(f"{i},1,{i % 2}\n" for i in ids))
        run(platform, toy(False), str(table), "")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["serin: 10 good rows, 2 new, 8 known", "serin: 12 entities are gone from the snapshot"]


def test_damaged_date_is_named_and_passed_over_and_the_rest_is_used(platform, events, capsys):
    case, folder = toy(True), platform.workspace.events("toy")
    run(platform, case, events, "")
    broken = Path(partitions.location(folder, "2020-01-03"))
    broken.write_bytes(broken.read_bytes()[:50])
    found = run(platform, case, "", "")
    assert found.known_at == datetime(2020, 1, 2, tzinfo=UTC)
    assert [one.location for one in found.damaged] == [str(broken)]
    assert f"serin: passed over: {broken} is damaged: " in capsys.readouterr().out
    broken.unlink()
    assert run(platform, case, "", "").snapshot == found.snapshot


def test_partition_of_the_year_9999_is_named_and_passed_over(platform, events):
    case, folder = toy(True), platform.workspace.events("toy")
    whole = run(platform, case, events, "")
    poisoned = Path(partitions.location(folder, "9999-12-31"))
    poisoned.parent.mkdir()
    poisoned.write_bytes(Path(partitions.location(folder, "2020-01-03")).read_bytes())
    found = run(platform, case, "", "")
    assert (found.known_at, found.snapshot) == (whole.known_at, whole.snapshot)
    assert [one.cause for one in found.damaged] == [f"{poisoned} is of 9999-12-31; allowed: the years 1970 to 2199"]


def test_nothing_but_damaged_dates_says_what_to_give(platform, snapshot):
    run(platform, toy(False), snapshot, "2026-02-01")
    Path(partitions.location(platform.workspace.events("toy"), "2026-02-01")).write_bytes(b"PAR1")
    with pytest.raises(DataError, match="no sound events of toy are stored; ingest their table again: --data TABLE"):
        run(platform, toy(False), "", "")
