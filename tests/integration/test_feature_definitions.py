"""The shipped Feast definitions, and their agreement with the use case files. Imports Feast: seconds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import pytest

from serin.columns import TYPES
from serin.use_case import UseCase, load

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["card_fraud", "bank_churn"])
def case(request: pytest.FixtureRequest) -> UseCase:
    return load(request.param, ROOT / "pipelines" / "use_cases")


@pytest.fixture
def declared(case: UseCase, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    for name in ("SERIN_PROFILE", "SERIN_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SERIN_ROOT", str(ROOT))
    return list(run_path(str(ROOT / "feature_repo" / f"{case.name}.py")).values())


def test_use_case_and_definitions_agree_on_views(case: UseCase, declared: list[object]) -> None:
    from feast import FeatureView

    views = {view.name: view for view in declared if isinstance(view, FeatureView)}
    assert set(views) == set(case.views)
    for name in case.features.windows:
        features = {field.name: str(field.dtype) for field in views[name].features}
        assert features == {f.name: "Float64" for f in case.features.windows[name].features}
    for name, table in case.features.tables.items():
        features = {field.name: str(field.dtype) for field in views[name].features}
        assert features == {c: TYPES[case.data.columns[c].type].feast for c in table.columns}


def test_use_case_and_definitions_agree_on_entities(case: UseCase, declared: list[object]) -> None:
    from feast import Entity, FeatureView
    from feast.value_type import ValueType

    types = {"integer": ValueType.INT64, "text": ValueType.STRING}
    entities = {entity.name: entity for entity in declared if isinstance(entity, Entity)}
    assert {name: (e.join_key, e.value_type) for name, e in entities.items()} == {
        f"{case.name}_{name}": (column, types[case.data.columns[column].type]) for name, column in case.entities.items()
    }
    for view in (view for view in declared if isinstance(view, FeatureView)):
        assert view.entities == [f"{case.name}_{case.views[view.name].entity}"]


def test_service_holds_all_views_and_sources_lie_where_features_are_written(
    case: UseCase, declared: list[object]
) -> None:
    from feast import FeatureService, FeatureView

    (service,) = [service for service in declared if isinstance(service, FeatureService)]
    assert service.name == case.features.service
    assert {projection.name for projection in service.feature_view_projections} == set(case.views)
    for view in (view for view in declared if isinstance(view, FeatureView)):
        assert view.batch_source.path == f"../.serin/features/{case.name}/{view.name}.parquet"
        assert view.batch_source.timestamp_field == "event_timestamp"
        assert view.ttl is not None


def test_every_field_is_described(declared: list[object]) -> None:
    from feast import FeatureView

    for view in (view for view in declared if isinstance(view, FeatureView)):
        assert all(field.description for field in view.schema)


def test_feast_apply_works_where_there_are_no_data_yet(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "feature_repo", tmp_path / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SERIN_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("feast"), "-c", "feature_repo", "apply"],
        cwd=tmp_path,
        env=environment | {"SERIN_ROOT": str(tmp_path), "FEAST_USAGE": "False"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("customer_activity", "terminal_risk", "bank_churn_customer"):
        assert f"Deploying infrastructure for {name}" in done.stdout
    assert (tmp_path / ".serin" / "feast-registry.db").is_file()
