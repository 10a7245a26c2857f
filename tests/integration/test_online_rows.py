"""Rows of feature views in the online store, held against Feast's own reading and writing. Imports Feast: seconds."""

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import redis

from serin.columns import TypeName
from serin.errors import DataError, UnavailableError
from serin.online.opening import open_store
from serin.online.plan import TablePlan
from serin.online.store import OnlineStore, Row
from tests import feast_repo
from tests.feast_repo import FEATURES, KEYS, NOON, plan, rows
from tests.integration.online_stores import KINDS, Opened, online, opened

__all__ = ["online"]
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
NOBODY: dict[TypeName, Any] = {"integer": 999, "text": "nobody"}
TABLE = f"serin_served_{feast_repo.VIEW}"
BOTH: tuple[TypeName, ...] = ("integer", "text")


def read(store: OnlineStore, table: TablePlan, keys: Sequence[Any]) -> Sequence[Row | None]:
    return asyncio.run(store.read([(table, keys)], [])).rows[0]


def valued(table: TablePlan, row: Row | None) -> dict[str, Any]:
    """A row's values by feature."""
    return dict(zip(table.features, row.values, strict=True)) if row else {}


def assert_read_alike(store: OnlineStore, theirs: Any, key_type: TypeName) -> None:
    keys = [*KEYS[key_type], NOBODY[key_type]]
    feasts = feast_repo.read(theirs, keys)
    ours = read(store, plan(key_type), keys)
    for place, row in enumerate(ours):
        values = valued(plan(key_type), row)
        for name in FEATURES:
            # As texts: 0.0 is not -0.0, True not 1.
            assert repr(values.get(name)) == repr(feasts[name][place]), (keys[place], name)
            # A row of nulls is no row here; to Feast it is one, where Feast itself wrote it.
            assert row is None or row.time // 1_000_000 == feasts[f"{name}__ts"][place]
    assert [row is None for row in ours] == [key in (KEYS[key_type][5], NOBODY[key_type]) for key in keys]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_read_as_feast_reads_them(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path) as found:
        for key_type in BOTH:
            theirs = feast_repo.store(tmp_path, key_type)
            found.store.write_rows(plan(key_type), rows(key_type))
            assert_read_alike(found.store, theirs, key_type)


def test_rows_that_feast_wrote_are_read_as_feast_reads_them(online: Opened) -> None:
    for key_type in BOTH:
        theirs, table = feast_repo.store(online.folder, key_type), rows(key_type)
        # Beside a null, Feast takes integers for floats, which the largest ones are too large for.
        feast_repo.write(theirs, pa.concat_tables([table.slice(0, 5), table.slice(6)]))
        feast_repo.write(theirs, table.slice(5, 1))
        assert_read_alike(online.store, theirs, key_type)


def test_bytes_are_feasts(online: Opened) -> None:
    theirs, table = feast_repo.store(online.folder), rows()
    online.store.write_rows(plan(), table)
    ours = stored(online)
    assert ours
    emptied(online)
    feast_repo.write(theirs, pa.concat_tables([table.slice(0, 5), table.slice(6)]))
    assert stored(online) == ours


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
def test_times_are_feasts_in_any_time_zone(zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with opened("sqlite", tmp_path) as found:
            theirs = feast_repo.store(tmp_path)
            found.store.write_rows(plan(), rows())
            assert_read_alike(found.store, theirs, "integer")
            assert read(found.store, plan(), [0])[0].time == NOON.timestamp() * 1_000_000
    finally:
        monkeypatch.undo()
        time.tzset()


def test_row_of_nulls_deletes_what_feast_and_we_know_of_the_entity_in_the_view_alone(online: Opened) -> None:
    theirs, other = feast_repo.store(online.folder), plan().model_copy(update={"view": "other"})
    for table in (plan(), other):
        online.store.write_rows(table, rows())
    nothing = {name: pa.nulls(2, rows().schema.field(name).type) for name in FEATURES}
    taken_back = pa.table({"id": [0, 1], **nothing, "event_timestamp": [NOON] * 2})
    online.store.write_rows(plan(), taken_back)
    assert [row is None for row in read(online.store, plan(), [0, 1, -1])] == [True, True, False]
    assert None not in read(online.store, other, [0, 1, -1])
    feasts = feast_repo.read(theirs, [0, 1, -1])
    assert [value is None for value in feasts["whole"]] == [True, True, False]
    assert feasts["whole__ts"][0] == 0
    online.store.write_rows(other, taken_back)
    assert not [key for key in keys_stored(online) if key.endswith((b"\0" * 8, b"\1" + b"\0" * 7))]


def test_later_row_takes_the_place_of_the_earlier_one_and_others_stay(online: Opened) -> None:
    table = plan(features={"whole": "integer", "word": "text"})
    for time, ids, whole, word in ((NOON, [1, 2], [10, 20], ["a", "b"]), (NOON, [1], [11], [None])):
        online.store.write_rows(
            table,
            pa.table({"id": ids, "whole": whole, "word": pa.array(word, pa.string()), "event_timestamp": [time]}
                     if len(ids) == 1 else {"id": ids, "whole": whole, "word": word, "event_timestamp": [time] * 2}),
        )  # fmt: skip
    assert [row.values for row in read(online.store, table, [1, 2])] == [(11, None), (20, "b")]


def test_rows_come_in_the_order_of_the_keys_each_as_often_as_it_is_asked_for(online: Opened) -> None:
    online.store.write_rows(plan(), rows())
    found = read(online.store, plan(), [1, None, 0, 1, 999])
    assert [valued(plan(), row).get("whole") for row in found] == [1, None, 0, 1, None]


def test_plan_that_names_some_features_reads_those_alone(online: Opened) -> None:
    online.store.write_rows(plan(), rows())
    some = plan(features={"word": "text", "share": "number"})
    (row,) = read(online.store, some, [1])
    assert valued(some, row) == {"word": "x", "share": -0.0}


def test_time_of_an_expired_row_lets_the_caller_judge(online: Opened) -> None:
    early = NOON - timedelta(days=400)
    online.store.write_rows(plan(), rows(at=early))
    (row,) = read(online.store, plan(), [1])
    assert row.time == int(early.timestamp()) * 1_000_000


def test_many_rows_are_all_written_in_more_than_one_batch(online: Opened) -> None:
    count, table = 12_345, plan(features={"whole": "integer"})
    numbers = pa.array(range(count))
    online.store.write_rows(table, pa.table({"id": numbers, "whole": numbers, "event_timestamp": [NOON] * count}))
    found = read(online.store, table, range(count))
    assert [row and row.values for row in found] == [(number,) for number in range(count)]


def test_rows_that_lack_a_feature_are_refused_and_nothing_is_written(online: Opened) -> None:
    with pytest.raises(DataError, match=r"rows of account__1a2b3c4d lack word; they have id, whole"):
        online.store.write_rows(plan(), rows().drop_columns(["word"]))


def test_no_rows_are_no_error(online: Opened) -> None:
    online.store.write_rows(plan(), rows().slice(0, 0))
    assert read(online.store, plan(), [0]) == [None]


def test_view_without_a_table_is_told_on_sqlite(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as found:
        with pytest.raises(UnavailableError, match=r"feature_store\.yaml does not answer: .*no such table"):
            read(found.store, plan(), [1])
        found.store.write_rows(plan(), rows())
        other = plan().model_copy(update={"view": "other"})
        with pytest.raises(UnavailableError, match="no such table: serin_served_other"):
            read(found.store, other, [1])


def test_file_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as found:
        found.store.write_rows(plan(), rows())
        assert read(found.store, plan(), [1])[0]
        for each in tmp_path.glob("online.db*"):
            each.unlink()
        another = open_store(found.yaml)
        another.write_rows(plan(), rows(at=NOON + timedelta(days=1)))
        another.close()
        assert read(found.store, plan(), [1])[0].time == (NOON + timedelta(days=1)).timestamp() * 1_000_000


def client(found: Opened) -> "redis.Redis":
    from serin.online.config import read_config

    config = read_config(found.yaml)
    return redis.Redis(host=config.host, port=config.port)


def stored(found: Opened) -> Any:
    """All that the store holds of rows, but for a column that only Feast's search in documents has."""
    if found.kind == "sqlite":
        with sqlite3.connect(found.folder / "online.db") as connection:
            query = f"SELECT entity_key, feature_name, value, event_ts, created_ts FROM {TABLE}"  # noqa: S608
            lines = sorted(connection.execute(query).fetchall())
        connection.close()
        return lines
    with client(found) as server:
        return {key: server.hgetall(key) for key in server.scan_iter()}


def emptied(found: Opened) -> None:
    if found.kind == "sqlite":
        with sqlite3.connect(found.folder / "online.db") as connection:
            connection.execute(f"DELETE FROM {TABLE}")  # noqa: S608
        connection.close()
    else:
        with client(found) as server:
            server.flushdb()


def keys_stored(found: Opened) -> list[bytes]:
    """The entity keys of which anything is stored."""
    if found.kind == "redis":
        return [key.removesuffix(feast_repo.PROJECT.encode()) for key in stored(found)]
    return [line[0] for line in stored(found)]
