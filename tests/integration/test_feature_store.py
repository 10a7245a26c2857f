"""The adapter of Feast: what versions are served with, and the online store that is filled for them. Imports Feast:
seconds."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from serin.adapters.feast import FeastStore
from serin.errors import UnavailableError
from serin.ports import ServedView
from serin.use_case import TableView
from serin.workspace import Workspace, served_project
from tests import services

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
MONDAY = datetime(2026, 2, 2, tzinfo=UTC)
VIEW = ServedView(
    use_case="churn",
    view="churn_customer",
    key="id",
    timestamp=None,
    definition=TableView(entity="customer", columns=("age", "town")),
    ttl=timedelta(days=2),
    types={"id": "integer", "age": "number", "town": "text"},
)


@pytest.fixture
def features(tmp_path: Path) -> Iterator[FeastStore]:
    root = services.workspace_copy(tmp_path)
    found = FeastStore(Workspace.from_variables({"SERIN_ROOT": str(root)}))
    yield found
    found.online.close()


def rows(ids: list[int], ages: list[float | None], towns: list[str | None]) -> pa.Table:
    times = pa.array([MONDAY] * len(ids), pa.timestamp("us", tz="UTC"))
    return pa.table(
        {"id": ids, "age": pa.array(ages, pa.float64()), "town": pa.array(towns, pa.string()), "event_timestamp": times}
    )


def test_materialised_rows_are_read_by_serin_and_by_feast(features: FeastStore, tmp_path: Path) -> None:
    from feast import FeatureStore

    features.keep("churn", "churn_v1__1", [VIEW])
    assert features.published(VIEW) is None
    features.materialise(VIEW, rows([1, 2], [30, None], ["Ulm", "Bonn"]), MONDAY)
    assert features.published(VIEW) == MONDAY
    plan = VIEW.plan(features.project)
    assert (plan.project, plan.ttl, plan.features) == ("serin_served", 172_800, {"age": "number", "town": "text"})
    (found,) = asyncio.run(features.online.read([(plan, [1, 2, 3])], [])).rows
    assert [row and row.values for row in found] == [(30, "Ulm"), (None, "Bonn"), None]
    feast = FeatureStore(repo_path=str(tmp_path / "feature_repo"))
    feast.config.project = served_project(feast.config.project)
    answer = feast.get_online_features(
        feast.get_feature_service("churn_v1__1"), [{"id": number} for number in (1, 2, 3)]
    ).to_dict()
    assert answer == {"id": [1, 2, 3], "age": [30, None, None], "town": ["Ulm", "Bonn", None]}


def test_view_that_an_earlier_serin_declared_is_left_out_and_told_once(
    features: FeastStore, capsys: pytest.CaptureFixture[str]
) -> None:
    other = VIEW.model_copy(update={"ttl": None})
    features.keep("churn", "churn_v1__1", [VIEW, other])
    store = features._served()
    declared = store.get_feature_view(other.name)
    declared.tags = declared.tags | {"serin.view": '{"definition": {"refresh": "1d"}}'}
    store.apply([declared])
    for _ in range(2):
        assert features.kept("churn") == {"churn_v1__1": (VIEW,)}
    assert capsys.readouterr().out == (
        f"serin: {other.name}, which a served version may need, stays as it is: an earlier Serin declared it\n"
    )


def test_online_table_that_was_lost_is_made_again(features: FeastStore, tmp_path: Path) -> None:
    features.keep("churn", "churn_v1__1", [VIEW])
    features.materialise(VIEW, rows([1], [30], ["Ulm"]), MONDAY)
    plan = VIEW.plan(features.project)
    for file in (tmp_path / ".serin").glob("feast-online.db*"):
        file.unlink()
    with pytest.raises(UnavailableError, match=r"feature_store\.yaml does not answer: .*there is no file"):
        asyncio.run(features.online.read([(plan, [1])], []))
    features.materialise(VIEW, rows([1], [31], ["Ulm"]), MONDAY)
    (found,) = asyncio.run(features.online.read([(plan, [1])], [])).rows
    assert [row and row.values[list(plan.features).index("age")] for row in found] == [31]
