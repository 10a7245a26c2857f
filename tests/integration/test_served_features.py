"""What a served version is answered with, whatever becomes of data, definitions, workspace. Imports Feast: seconds."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.features.plan import online_plan
from components.features.run import Refreshed, refresh, view_features
from components.ingest.store import ingest
from serin import partitions, storage, use_case
from serin.adapters.local.lease import FileLease
from serin.artifact import Manifest, RequestColumn, seal
from serin.errors import UnavailableError, UseCaseError
from serin.online.plan import OnlinePlan
from serin.platform import Platform, build
from serin.scaffold.render import render_definitions
from serin.schema import InputColumn, InputSchema
from serin.times import micros
from serin.use_case import UseCase
from serin.windows.events import EventSchema
from serin.windows.tail import Tail, unpack
from serin.workspace import Workspace
from tests import services

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
MONDAY = datetime(2026, 2, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def churn(*columns: str) -> UseCase:
    """A snapshot table with these columns, all numbers."""
    return use_case.parse(
        {
            "name": "churn",
            "data": {
                "columns": {"id": {"type": "integer"}, "left": {"type": "integer"}}
                | {name: {"type": "number", "nullable": True} for name in columns},
                "key": ["id"],
            },
            "label": {"column": "left"},
            "entities": {"customer": "id"},
            "features": {
                "service": "churn_v1",
                "tables": {"churn_customer": {"entity": "customer", "columns": list(columns)}},
            },
            "training": {"estimators": {"xgboost": {}}},
        },
        "test",
    )


def new_workspace(root: Path, case: UseCase) -> Platform:
    services.workspace_copy(root)
    for shipped in ("card_fraud.py", "bank_churn.py"):
        (root / "feature_repo" / shipped).unlink()
    declare(root, case)
    return at(root)


def declare(root: Path, case: UseCase) -> None:
    (root / "feature_repo" / f"{case.name}.py").write_text(render_definitions(case))


def at(root: Path) -> Platform:
    return build(Workspace.from_variables({"SERIN_ROOT": str(root)}))


def store(platform: Platform, case: UseCase, columns: dict[str, list[float | None]], ids: list[int]) -> None:
    """Put a snapshot in place of the one before, as ingest does."""
    arrays = {name: pa.array(values, pa.float64()) for name, values in columns.items()}
    keys = {"id": pa.array(ids, pa.int64()), "left": pa.array([0] * len(ids), pa.int64())}
    folder = platform.workspace.events(case.name)
    storage.write_table(pa.table(keys | arrays), partitions.location(folder, "2026-02-01"))


def plan(platform: Platform, case: UseCase, refreshed: Refreshed) -> OnlinePlan:
    """What a version that is trained on the views reads."""
    return online_plan(case, refreshed.served, platform.features.project)


def online(platform: Platform, served: OnlinePlan, ids: list[Any]) -> dict[str, list[Any]]:
    """The features of the entities, None where the store has no row or no value."""
    found = asyncio.run(platform.features.online.read([(table, ids) for table in served.tables], []))
    return {
        name: [row and row.values[place] for row in rows]
        for table, rows in zip(served.tables, found.rows, strict=True)
        for place, name in enumerate(table.features)
    }


def manifest(case: UseCase, refreshed: Refreshed) -> Manifest:
    """Of a version that is served with the views."""
    return Manifest(
        use_case=case.name,
        model_name=case.model_name,
        estimator="xgboost",
        engine="xgboost",
        models={"xgboost": "model.ubj"},
        feature_service=refreshed.service,
        entities=(RequestColumn(name="id", type="integer"),),
        inputs=InputSchema(columns=tuple(InputColumn(name=name) for name in case.feature_names)),
        threshold=0.5,
        data_snapshot="0" * 12,
        as_of=MONDAY.isoformat(),
    )


def promote(platform: Platform, served: Manifest, folder: Path, alias: str = "champion") -> None:
    folder.mkdir()
    (folder / "model.ubj").write_bytes(served.feature_service.encode())
    sealed = seal(folder, served)
    tags = {"serin.feature_service": sealed.feature_service}
    version = platform.registry.register(folder, sealed, {}, tags, {})
    platform.registry.set_alias(served.model_name, alias, version.version)


def feast_apply(root: Path) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SERIN_")}
    return subprocess.run(
        [Path(sys.executable).with_name("feast"), "-c", "feature_repo", "apply"],
        cwd=root,
        env=kept,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_customer_gone_from_a_newer_snapshot_is_unknown_and_told(tmp_path, capsys):
    case = churn("age", "balance")
    platform = new_workspace(tmp_path, case)
    store(platform, case, {"age": [30, 40, 50], "balance": [1, 2, None]}, [1, 2, 3])
    served = plan(platform, case, refresh(platform, case, MONDAY))
    assert online(platform, served, [1, 3]) == {"age": [30, 50], "balance": [1, None]}

    store(platform, case, {"age": [41], "balance": [3]}, [2])
    capsys.readouterr()
    refresh(platform, case, MONDAY)
    assert "churn_customer: 2 of id are gone from the data, and unknown from now on" in capsys.readouterr().out
    assert online(platform, served, [1, 2, 3]) == {"age": [None, 41, None], "balance": [None, 3, None]}

    store(platform, case, {"age": [31, 41], "balance": [1, 3]}, [1, 2])
    refresh(platform, case, MONDAY + DAY)
    assert online(platform, served, [1, 3])["age"] == [31, None]
    assert "gone" not in capsys.readouterr().out


def test_values_of_every_type_stay_what_they_are_when_an_entity_goes(tmp_path):
    types = {"whole": "integer", "word": "text", "yes": "boolean", "share": "number"}
    case = use_case.parse(
        {
            "name": "typed",
            "data": {
                "columns": {"id": {"type": "text"}, "left": {"type": "integer"}}
                | {name: {"type": kind} for name, kind in types.items()},
                "key": ["id"],
            },
            "label": {"column": "left"},
            "entities": {"account": "id"},
            "features": {"service": "t_v1", "tables": {"typed_account": {"entity": "account", "columns": [*types]}}},
            "training": {"estimators": {"xgboost": {}}},
        },
        "test",
    )
    platform = new_workspace(tmp_path, case)
    rows = {"id": ["0417", "417"], "left": [0, 1], "whole": [41, 7], "word": ["x", "y"], "yes": [True, False]}
    table = pa.table(rows | {"share": [0.5, 1.5]})
    where = partitions.location(platform.workspace.events(case.name), "2026-02-01")
    storage.write_table(table, where)
    served = plan(platform, case, refresh(platform, case, MONDAY))
    storage.write_table(table.slice(0, 1), where)
    refresh(platform, case, MONDAY)
    assert online(platform, served, ["0417", "417"]) == {
        "whole": [41, None],
        "word": ["x", None],
        "yes": [True, None],
        "share": [0.5, None],
    }


def test_champion_keeps_its_features_when_the_definitions_lose_them(tmp_path, capsys):
    before, after = churn("age", "balance"), churn("age", "tenure")
    platform = new_workspace(tmp_path / "w", before)
    store(platform, before, {"age": [30, 40], "balance": [1, 2]}, [1, 2])
    champion = refresh(platform, before, MONDAY)
    promote(platform, manifest(before, champion), tmp_path / "champion")

    declare(tmp_path / "w", after)
    feast_apply(tmp_path / "w")
    store(platform, after, {"age": [31, 41], "tenure": [7, 8]}, [1, 2])
    candidate = refresh(platform, after, MONDAY + DAY)
    assert candidate.service != champion.service
    assert online(platform, plan(platform, before, champion), [1, 2]) == {"age": [30, 40], "balance": [1, 2]}
    assert online(platform, plan(platform, after, candidate), [1, 2]) == {"age": [31, 41], "tenure": [7, 8]}
    assert "which a served version needs, stays as it is: the data lack balance" in capsys.readouterr().out


@pytest.mark.parametrize(("alias", "expected"), [("champion", [32]), ("challenger", [32]), ("candidate", [30])])
def test_features_of_another_definition_are_refreshed_while_an_alias_for_serving_needs_them(tmp_path, alias, expected):
    before, after = churn("age", "balance"), churn("age")
    platform = new_workspace(tmp_path / "w", before)
    store(platform, before, {"age": [30], "balance": [1]}, [1])
    older = refresh(platform, before, MONDAY)
    promote(platform, manifest(before, older), tmp_path / "older", alias)
    declare(tmp_path / "w", after)
    store(platform, after, {"age": [32], "balance": [5]}, [1])
    refresh(platform, after, MONDAY + DAY)
    assert online(platform, plan(platform, before, older), [1])["age"] == expected


def test_another_time_to_live_is_another_served_view(tmp_path):
    case = churn("age")
    platform = new_workspace(tmp_path, case)
    store(platform, case, {"age": [30]}, [1])
    patient = plan(platform, case, refresh(platform, case, MONDAY))
    path = tmp_path / "feature_repo" / "churn.py"
    path.write_text(path.read_text().replace("ttl=timedelta(0)", "ttl=timedelta(days=2)"))
    strict = plan(platform, case, refresh(platform, case, MONDAY))
    assert [table.ttl for table in (*patient.tables, *strict.tables)] == [None, 2 * 86_400.0]
    assert online(platform, strict, [1]) == online(platform, patient, [1]) == {"age": [30]}


def cards(window: str, column: str) -> UseCase:
    """Payments, with the mean of a column over a window."""
    mean = {"name": "mean", "aggregation": "mean", "column": column, "window": window}
    return use_case.parse(
        {
            "name": "cards",
            "data": {
                "columns": {
                    "id": {"type": "integer"},
                    "at": {"type": "timestamp"},
                    "card": {"type": "integer"},
                    "amount": {"type": "number"},
                    "tip": {"type": "number"},
                    "fraud": {"type": "integer"},
                },
                "key": ["id"],
            },
            "timestamp": "at",
            "label": {"column": "fraud"},
            "entities": {"card": "card"},
            "features": {"service": "cards_v1", "windows": {"paid": {"entity": "card", "features": [mean]}}},
            "training": {"estimators": {"xgboost": {}}},
        },
        "test",
    )


def pay(platform: Platform, case: UseCase, times: list[datetime]) -> None:
    """Put payments of card 1, all of one date, in place of those before."""
    numbers = [float(place) for place in range(len(times))]
    columns = {
        "id": pa.array(range(len(times)), pa.int64()),
        "at": pa.array(times, pa.timestamp("us", tz="UTC")),
        "card": pa.array([1] * len(times), pa.int64()),
        "amount": pa.array(numbers),
        "tip": pa.array(numbers),
        "fraud": pa.array([0] * len(times), pa.int64()),
    }
    where = partitions.location(platform.workspace.events(case.name), f"{times[0]:%Y-%m-%d}")
    storage.write_table(pa.table(columns), where)


def known_events(platform: Platform, case: UseCase, refreshed: Refreshed) -> Tail:
    """What the event log has of card 1."""
    log = plan(platform, case, refreshed).logs["card"]
    found = asyncio.run(platform.features.online.read([], [(log, [1])]))
    assert found.meta[0]
    return unpack(found.events[0][0].tail, EventSchema.model_validate_json(found.meta[0].schema))


def test_event_log_has_what_the_champion_reads_and_what_the_candidate_reads(tmp_path):
    before, after = cards("9d", "amount"), cards("1d", "tip")
    platform = new_workspace(tmp_path / "w", before)
    pay(platform, before, [MONDAY - 8 * DAY])
    champion = refresh(platform, before, MONDAY - DAY)
    promote(platform, manifest(before, champion), tmp_path / "champion")
    candidate = refresh(platform, after, MONDAY)
    assert candidate.service != champion.service
    for case, refreshed in ((before, champion), (after, candidate)):
        tail = known_events(platform, case, refreshed)
        assert len(tail.times) == 1
        assert set(tail.numbers) == {"amount", "tip"}


def test_payment_that_came_late_or_was_corrected_is_in_the_next_refresh_of_the_same_time(tmp_path):
    case = cards("9d", "amount")
    platform = new_workspace(tmp_path, case)
    pay(platform, case, [MONDAY - DAY])
    refresh(platform, case, MONDAY)
    pay(platform, case, [MONDAY - DAY + timedelta(hours=1), MONDAY - DAY + timedelta(hours=2)])
    again = refresh(platform, case, MONDAY)
    tail = known_events(platform, case, again)
    assert [int(time) for time in tail.times] == [micros(MONDAY - DAY + timedelta(hours=hour)) for hour in (1, 2)]
    (view,) = view_features(platform, case, again, MONDAY)
    assert view.table["mean"].to_pylist() == [0.0, 0.5]


def test_refresh_leaves_the_files_behind_the_views_to_training(tmp_path):
    case = cards("9d", "amount")
    platform = new_workspace(tmp_path, case)
    pay(platform, case, [MONDAY - DAY])
    (view,) = refresh(platform, case, MONDAY).served
    assert platform.features.published(view) == MONDAY
    assert not storage.exists(platform.workspace.feature_file(case.name, view.view))


def test_key_that_may_be_missing_is_the_whole_number_that_it_was(tmp_path):
    case = cards("9d", "amount")
    columns = case.data.columns | {"card": case.data.columns["card"].model_copy(update={"nullable": True})}
    case = case.model_copy(update={"data": case.data.model_copy(update={"columns": columns})})
    platform = new_workspace(tmp_path, case)
    table = tmp_path / "t.csv"
    table.write_text(
        "id,at,card,amount,tip,fraud\n"
        "0,2026-02-01T10:00,1,4.0,1.0,0\n1,2026-02-01T11:00,,8.0,1.0,0\n2,2026-02-01T12:00,1,6.0,1.0,1\n"
    )
    ingest(platform.workspace, case, str(table), MONDAY)
    found = refresh(platform, case, MONDAY)
    (view,) = view_features(platform, case, found, MONDAY)
    assert view.table["mean"].to_pylist() == [4.0, 8.0, 5.0]
    assert len(known_events(platform, case, found).times) == 2
    assert found.served[0].types["card"] == "integer"
    assert platform.features.published(found.served[0]) == MONDAY


@pytest.mark.parametrize("apply", [feast_apply, lambda root: at(root).features.apply()], ids=["feast", "serin"])
def test_copy_of_a_workspace_leaves_the_original_alone(tmp_path, apply: Callable[[Path], object]):
    case = churn("age")
    original = new_workspace(tmp_path / "original", case)
    store(original, case, {"age": [30]}, [1])
    served = plan(original, case, refresh(original, case, MONDAY))
    shutil.copytree(tmp_path / "original", tmp_path / "the copy")
    apply(tmp_path / "the copy")
    copy = at(tmp_path / "the copy")
    store(copy, case, {"age": [99]}, [1])
    refresh(copy, case, MONDAY + DAY)
    assert online(copy, served, [1])["age"] == [99]
    assert online(original, served, [1])["age"] == [30]
    refresh(original, case, MONDAY + DAY)
    assert online(original, served, [1])["age"] == [30]


def test_workspace_can_be_renamed_in_use_and_names_no_path_of_its_own(tmp_path):
    case = churn("age")
    platform = new_workspace(tmp_path / "before", case)
    store(platform, case, {"age": [30]}, [1])
    served = plan(platform, case, refresh(platform, case, MONDAY))
    registry = tmp_path / "before" / ".serin" / "feast-registry.db"
    assert str(tmp_path).encode() not in registry.read_bytes()
    (tmp_path / "before").rename(tmp_path / "after")
    moved = at(tmp_path / "after")
    assert online(moved, served, [1])["age"] == [30]
    store(moved, case, {"age": [31]}, [1])
    refresh(moved, case, MONDAY + DAY)
    assert online(moved, served, [1])["age"] == [31]
    assert not (tmp_path / "before").exists()


def test_lost_online_table_is_made_again(tmp_path):
    case = churn("age")
    platform = new_workspace(tmp_path, case)
    store(platform, case, {"age": [30]}, [1])
    served = plan(platform, case, refresh(platform, case, MONDAY))
    database = tmp_path / ".serin" / "feast-online.db"
    database.unlink()
    sqlite3.connect(database).close()
    with pytest.raises(UnavailableError, match=r"feature_store\.yaml does not answer: OperationalError: no such table"):
        online(platform, served, [1])
    refresh(platform, case, MONDAY)
    assert online(platform, served, [1])["age"] == [30]


def test_unreadable_feature_registry_is_named(tmp_path):
    case = churn("age")
    platform = new_workspace(tmp_path, case)
    (tmp_path / ".serin").mkdir()
    (tmp_path / ".serin" / "feast-registry.db").write_bytes(b"\xff" * 64)
    with pytest.raises(UnavailableError, match=r"feature_store\.yaml can't be used: DecodeError"):
        platform.features.apply()


def test_definitions_that_fail_are_named_with_their_file(tmp_path):
    platform = new_workspace(tmp_path, churn("age"))
    (tmp_path / "feature_repo" / "broken.py").write_text("open('nowhere.csv')\n")
    with pytest.raises(UseCaseError, match=r"can't be applied: broken\.py: FileNotFoundError"):
        platform.features.apply()


def test_store_under_the_short_name_of_sqlite_is_refused(tmp_path):
    platform = new_workspace(tmp_path, churn("age"))
    path = tmp_path / "feature_repo" / "feature_store.yaml"
    path.write_text(path.read_text().replace("feast.infra.online_stores.sqlite.SqliteOnlineStore", "sqlite"))
    with pytest.raises(UnavailableError, match=r"online_store\.type is sqlite, with which Feast drops the tables"):
        platform.features.apply()


def on_redis(root: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setenv("SERIN_REDIS", address)
    monkeypatch.setenv("SERIN_STORAGE", str(root / "storage"))
    variables = {"SERIN_ROOT": str(root), "SERIN_PROFILE": "cluster", "SERIN_STORAGE": str(root / "storage")}
    platform = build(Workspace.from_variables(variables | {"MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db"}))
    return replace(platform, lease=FileLease(root / "locks"))


def test_corrected_snapshot_of_the_same_day_reaches_redis(tmp_path, monkeypatch):
    case = churn("age")
    new_workspace(tmp_path, case)
    with services.redis() as address:
        platform = on_redis(tmp_path, address, monkeypatch)
        store(platform, case, {"age": [30, 40]}, [1, 2])
        served = plan(platform, case, refresh(platform, case, MONDAY))
        store(platform, case, {"age": [31]}, [1])
        refresh(platform, case, MONDAY)
        assert online(platform, served, [1, 2])["age"] == [31, None]


def test_redis_that_is_away_is_named(tmp_path, monkeypatch):
    case = churn("age")
    new_workspace(tmp_path, case)
    platform = on_redis(tmp_path, f"127.0.0.1:{services.free_port()}", monkeypatch)
    store(platform, case, {"age": [30]}, [1])
    with pytest.raises(
        UnavailableError, match=r"feature_store\.cluster\.yaml at 127\.0\S+ does not answer: ConnectionE"
    ):
        refresh(platform, case, MONDAY)
