"""What a served version is answered with, whatever becomes of data, definitions, workspace. Imports Feast: seconds."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from components.features.run import refresh
from predictors.enrich import Fetched, OnlineFeatures
from serin import partitions, storage, use_case
from serin.adapters.local.lease import FileLease
from serin.artifact import Manifest, RequestColumn, seal
from serin.errors import UnavailableError, UseCaseError
from serin.platform import Platform, build
from serin.scaffold.render import render_definitions
from serin.schema import InputColumn, InputSchema
from serin.use_case import UseCase
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


def manifest(case: UseCase, service: str, features: tuple[str, ...]) -> Manifest:
    return Manifest(
        use_case=case.name,
        model_name=case.model_name,
        estimator="xgboost",
        engine="xgboost",
        models={"xgboost": "model.ubj"},
        feature_service=service,
        entities=(RequestColumn(name="id", type="integer"),),
        inputs=InputSchema(columns=tuple(InputColumn(name=name) for name in features)),
        threshold=0.5,
        data_snapshot="0" * 12,
        as_of=MONDAY.isoformat(),
    )


def online(platform: Platform, served: Manifest, ids: list[int], at: datetime = MONDAY) -> Fetched:
    features = OnlineFeatures(platform.workspace.feature_store_yaml, served)
    return features.fetch({"id": ids}, [at] * len(ids))


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
    served = manifest(case, refresh(platform, case, MONDAY).service, ("age", "balance"))
    assert online(platform, served, [1, 3]).values == {"age": [30, 50], "balance": [1, None]}

    store(platform, case, {"age": [41], "balance": [3]}, [2])
    capsys.readouterr()
    refresh(platform, case, MONDAY)
    assert "churn_customer: 2 of id are gone from the data, and unknown from now on" in capsys.readouterr().out
    found = online(platform, served, [1, 2, 3])
    assert found.values == {"age": [None, 41, None], "balance": [None, 3, None]}
    assert found.misses.tolist() == [2, 0, 2]

    store(platform, case, {"age": [31, 41], "balance": [1, 3]}, [1, 2])
    refresh(platform, case, MONDAY + DAY)
    assert online(platform, served, [1, 3]).values["age"] == [31, None]
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
    service = refresh(platform, case, MONDAY).service
    storage.write_table(table.slice(0, 1), where)
    refresh(platform, case, MONDAY)
    served = manifest(case, service, tuple(types)).model_copy(
        update={"entities": (RequestColumn(name="id", type="text"),)}
    )
    found = OnlineFeatures(platform.workspace.feature_store_yaml, served).fetch({"id": ["0417", "417"]}, [MONDAY] * 2)
    assert found.values == {
        "whole": [41, None],
        "word": ["x", None],
        "yes": [True, None],
        "share": [0.5, None],
    }
    assert found.misses.tolist() == [0, 4]


def test_champion_keeps_its_features_when_the_definitions_lose_them(tmp_path, capsys):
    before, after = churn("age", "balance"), churn("age", "tenure")
    platform = new_workspace(tmp_path / "w", before)
    store(platform, before, {"age": [30, 40], "balance": [1, 2]}, [1, 2])
    champion = manifest(before, refresh(platform, before, MONDAY).service, ("age", "balance"))
    promote(platform, champion, tmp_path / "champion")

    declare(tmp_path / "w", after)
    feast_apply(tmp_path / "w")
    store(platform, after, {"age": [31, 41], "tenure": [7, 8]}, [1, 2])
    candidate = manifest(after, refresh(platform, after, MONDAY + DAY).service, ("age", "tenure"))
    assert candidate.feature_service != champion.feature_service
    assert online(platform, champion, [1, 2]).values == {"age": [30, 40], "balance": [1, 2]}
    assert online(platform, candidate, [1, 2]).values == {"age": [31, 41], "tenure": [7, 8]}
    assert "which a served version needs, stays as it is: the data lack balance" in capsys.readouterr().out


@pytest.mark.parametrize(("alias", "expected"), [("champion", [32]), ("challenger", [32]), ("candidate", [30])])
def test_features_of_another_definition_are_refreshed_while_an_alias_for_serving_needs_them(tmp_path, alias, expected):
    before, after = churn("age", "balance"), churn("age")
    platform = new_workspace(tmp_path / "w", before)
    store(platform, before, {"age": [30], "balance": [1]}, [1])
    older = manifest(before, refresh(platform, before, MONDAY).service, ("age", "balance"))
    promote(platform, older, tmp_path / "older", alias)
    declare(tmp_path / "w", after)
    store(platform, after, {"age": [32], "balance": [5]}, [1])
    refresh(platform, after, MONDAY + DAY)
    assert online(platform, older, [1]).values["age"] == expected


def test_another_time_to_live_is_another_served_view(tmp_path):
    case = churn("age")
    platform = new_workspace(tmp_path, case)
    store(platform, case, {"age": [30]}, [1])
    patient = manifest(case, refresh(platform, case, MONDAY).service, ("age",))
    path = tmp_path / "feature_repo" / "churn.py"
    path.write_text(path.read_text().replace("ttl=timedelta(0)", "ttl=timedelta(days=2)"))
    strict = manifest(case, refresh(platform, case, MONDAY).service, ("age",))

    just, later = MONDAY + 2 * DAY, MONDAY + 2 * DAY + timedelta(seconds=1)
    assert online(platform, strict, [1], just).values["age"] == [30]
    stale = online(platform, strict, [1], later)
    assert stale.values["age"] == [None]
    assert stale.misses.tolist() == [1]
    assert not stale.age_seconds > 0
    assert online(platform, strict, [1], MONDAY - DAY).values["age"] == [30]
    assert online(platform, patient, [1], later).values["age"] == [30]


@pytest.mark.parametrize("apply", [feast_apply, lambda root: at(root).features.apply()], ids=["feast", "serin"])
def test_copy_of_a_workspace_leaves_the_original_alone(tmp_path, apply: Callable[[Path], object]):
    case = churn("age")
    original = new_workspace(tmp_path / "original", case)
    store(original, case, {"age": [30]}, [1])
    served = manifest(case, refresh(original, case, MONDAY).service, ("age",))
    shutil.copytree(tmp_path / "original", tmp_path / "the copy")
    apply(tmp_path / "the copy")
    copy = at(tmp_path / "the copy")
    store(copy, case, {"age": [99]}, [1])
    refresh(copy, case, MONDAY + DAY)
    assert online(copy, served, [1]).values["age"] == [99]
    assert online(original, served, [1]).values["age"] == [30]
    refresh(original, case, MONDAY + DAY)
    assert online(original, served, [1]).values["age"] == [30]


def test_workspace_can_be_renamed_in_use_and_names_no_path_of_its_own(tmp_path):
    case = churn("age")
    platform = new_workspace(tmp_path / "before", case)
    store(platform, case, {"age": [30]}, [1])
    served = manifest(case, refresh(platform, case, MONDAY).service, ("age",))
    registry = tmp_path / "before" / ".serin" / "feast-registry.db"
    assert str(tmp_path).encode() not in registry.read_bytes()
    (tmp_path / "before").rename(tmp_path / "after")
    moved = at(tmp_path / "after")
    assert online(moved, served, [1]).values["age"] == [30]
    store(moved, case, {"age": [31]}, [1])
    refresh(moved, case, MONDAY + DAY)
    assert online(moved, served, [1]).values["age"] == [31]
    assert not (tmp_path / "before").exists()


def test_lost_online_table_is_made_again(tmp_path):
    case = churn("age")
    platform = new_workspace(tmp_path, case)
    store(platform, case, {"age": [30]}, [1])
    served = manifest(case, refresh(platform, case, MONDAY).service, ("age",))
    database = tmp_path / ".serin" / "feast-online.db"
    database.unlink()
    sqlite3.connect(database).close()
    with pytest.raises(UnavailableError, match=r"feature_store\.yaml does not answer: OperationalError: no such table"):
        online(platform, served, [1])
    refresh(platform, case, MONDAY)
    assert online(platform, served, [1]).values["age"] == [30]


def test_unreadable_feature_registry_is_named(tmp_path):
    case = churn("age")
    platform = new_workspace(tmp_path, case)
    (tmp_path / ".serin").mkdir()
    (tmp_path / ".serin" / "feast-registry.db").write_bytes(b"\xff" * 64)
    with pytest.raises(UnavailableError, match=r"feature_store\.yaml can't be used: DecodeError"):
        platform.features.apply()
    with pytest.raises(UnavailableError, match=r"feature_store\.yaml can't serve churn_v1: Error parsing"):
        online(platform, manifest(case, "churn_v1", ("age",)), [1])


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
        served = manifest(case, refresh(platform, case, MONDAY).service, ("age",))
        store(platform, case, {"age": [31]}, [1])
        refresh(platform, case, MONDAY)
        assert online(platform, served, [1, 2]).values["age"] == [31, None]


def test_redis_that_is_away_is_named(tmp_path, monkeypatch):
    case = churn("age")
    new_workspace(tmp_path, case)
    platform = on_redis(tmp_path, f"127.0.0.1:{services.free_port()}", monkeypatch)
    store(platform, case, {"age": [30]}, [1])
    with pytest.raises(UnavailableError, match=r"feature_store\.cluster\.yaml can't be used: ConnectionError.*127\.0"):
        refresh(platform, case, MONDAY)
