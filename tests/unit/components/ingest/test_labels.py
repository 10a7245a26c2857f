"""Labels that come after their events."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from components.ingest.labels import Labelled, label_events
from components.ingest.store import ingest
from serin import partitions
from serin.errors import DataError
from serin.platform import Platform, build
from serin.use_case import UseCase
from serin.workspace import Workspace
from tests import services
from tests.factories import make_case

JUNE = datetime(2018, 6, 1, tzinfo=UTC)


def toy(*key: str, nullable: bool = True) -> UseCase:
    columns = {"id": "integer", "amount": "number", "at": "timestamp"}
    label = {"type": "integer", "nullable": nullable, "allowed": [0, 1]}
    return make_case(columns | {"y": label}, request=["amount"], data={"key": list(key)}, timestamp="at")


TOY = toy("id")


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return build(Workspace.from_variables({"SERIN_ROOT": str(services.workspace_copy(tmp_path / "root"))}))


def store(platform: Platform, case: UseCase = TOY, labels: tuple[float | None, ...] = (0, 1, None, None)) -> None:
    times = [datetime(2018, 5, 1 + number // 2, 12, tzinfo=UTC) for number in range(4)]
    frame = pd.DataFrame({"id": range(4), "amount": 1.5, "at": times, "y": labels})
    frame.to_csv(platform.workspace.root / "events.csv", index=False)
    ingest(platform.workspace, case, str(platform.workspace.root / "events.csv"), JUNE)


def label(platform: Platform, labels: dict[int, object], case: UseCase = TOY) -> Labelled:
    source = platform.workspace.root / "labels.csv"
    pd.DataFrame({"id": labels.keys(), "y": labels.values()}).to_csv(source, index=False)
    return label_events(platform, case, str(source))


def stored(platform: Platform, case: UseCase = TOY) -> dict[int, float | None]:
    table = partitions.read(platform.workspace.events(case.name)).table
    return dict(zip(table["id"].to_pylist(), table["y"].to_pylist(), strict=True))


@pytest.mark.parametrize("nullable", [True, False])
def test_stored_events_get_the_labels_and_the_same_again_changes_nothing(platform: Platform, nullable: bool) -> None:
    case = toy("id", nullable=nullable)
    store(platform, case, (0, 1, 0, 0))
    done = label(platform, {0: 1, 1: 1, 3: 1}, case)
    assert (done.rows, done.corrected, done.known, done.not_found) == (3, 2, 1, 0)
    assert sorted(done.events["id"].to_pylist()) == [0, 1, 3]
    assert set(done.events["y"].to_pylist()) == {1}
    assert stored(platform, case) == {0: 1, 1: 1, 2: 0, 3: 1}
    again = label(platform, {0: 1, 1: 1, 3: 1}, case)
    assert (again.corrected, again.known, again.events.sort_by("id")) == (0, 3, done.events.sort_by("id"))


def test_labels_of_events_that_are_not_stored_are_set_aside_and_told(platform: Platform) -> None:
    store(platform)
    done = label(platform, {2: 1, 77: 1, 78: 0})
    assert (done.rows, done.corrected, done.not_found, done.quarantined) == (1, 1, 2, 2)
    assert stored(platform)[2] == 1
    assert done.quarantine
    aside = pq.read_table(done.quarantine).to_pylist()
    assert [(row["id"], row["reason"]) for row in aside] == [
        ("77", "no event of this key is stored"),
        ("78", "no event of this key is stored"),
    ]


def test_only_the_days_of_the_events_are_written(platform: Platform) -> None:
    store(platform)
    where = [partitions.location(platform.workspace.events(TOY.name), f"2018-05-0{day}") for day in (1, 2)]
    before = [Path(each).stat().st_mtime_ns for each in where]
    label(platform, {3: 1, 1: 1})
    after = [Path(each).stat().st_mtime_ns for each in where]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_a_table_that_breaks_the_rules_changes_nothing(platform: Platform) -> None:
    store(platform)
    source = platform.workspace.root / "twice.csv"
    pd.DataFrame({"id": [1, 1], "y": [0, 1]}).to_csv(source, index=False)
    with pytest.raises(DataError, match=r"column id: the key must be unique; 2 rows share one"):
        label_events(platform, TOY, str(source))
    with pytest.raises(DataError, match="y: missing"):
        label(platform, {0: 1, 1: None})
    assert stored(platform) == {0: 0, 1: 1, 2: None, 3: None}


def test_without_a_key_or_without_events_there_is_nothing_to_label(platform: Platform) -> None:
    with pytest.raises(DataError, match="events without a key"):
        label(platform, {0: 1}, toy())
    with pytest.raises(DataError, match="no sound events of toy are stored"):
        label(platform, {0: 1})
