"""The point-in-time join, held against Feast's own on the same definitions and files. Imports Feast: seconds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from components.features.run import refresh
from components.features.training_set import point_in_time_join
from components.ingest.store import ingest
from serin.errors import UseCaseError
from serin.learning.split import EVENT_TIME
from serin.platform import build
from serin.simulate import simulate
from serin.storage import read_file
from serin.workspace import Workspace, served_project
from tests import services

pytestmark = [
    # Feast's file store is built on dask and pandas interfaces that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
AS_OF = datetime(2026, 2, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory):
    """A workspace with 45 days of transactions and its features refreshed as of the last midnight."""
    root = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SERIN_ROOT", raising=False)
        platform = build(Workspace.from_variables({"SERIN_ROOT": str(root)}))
        case = platform.own_use_case("card_fraud")
        table = root / "t.parquet"
        simulate(seed=3, start=datetime(2026, 1, 1, tzinfo=UTC).date(), days=45, rows=4000).to_parquet(table)
        ingest(platform.workspace, case, str(table), AS_OF)
        yield platform, case, refresh(platform, case, AS_OF)


def test_join_is_feasts_own(stored):
    platform, case, refreshed = stored
    workspace, events = platform.workspace, refreshed.events.to_pandas()
    from feast import FeatureStore as Feast

    # Feast drops events that precede the first row of a view; ours keeps them. Compare where Feast has rows.
    late = events[events["TX_DATETIME"] >= pd.Timestamp("2026-01-10", tz="UTC")]
    asked = late[["TRANSACTION_ID", "CUSTOMER_ID", "TERMINAL_ID"]].assign(event_timestamp=late["TX_DATETIME"])
    store = Feast(repo_path=str(workspace.feature_repo))
    theirs = store.get_historical_features(asked, store.get_feature_service(case.features.service)).to_df()
    views = [replace(view, table=read_file(workspace.feature_file(case.name, view.name))) for view in refreshed.views]
    ours = point_in_time_join(asked.rename(columns={"event_timestamp": EVENT_TIME}), views)
    names = [name for view in views for name in view.features]
    assert len(ours) == len(asked)
    both = theirs.set_index("TRANSACTION_ID")[names].astype(float).sort_index()
    pd.testing.assert_frame_equal(
        ours.set_index("TRANSACTION_ID")[names].loc[both.index].astype(float), both, check_exact=False, rtol=1e-9
    )
    assert len(both) > 1000


def test_online_store_has_the_latest_row_of_each_entity(stored):
    platform, case, refreshed = stored
    from feast import FeatureStore as Feast

    workspace = platform.workspace
    view = next(v for v in refreshed.views if v.name == "customer_activity")
    rows = read_file(workspace.feature_file(case.name, view.name)).to_pandas()
    latest = rows[rows["event_timestamp"] == rows["event_timestamp"].max()].set_index("CUSTOMER_ID")
    assert latest["event_timestamp"].iloc[0] == AS_OF
    keys = latest.index[:50].tolist()
    store = Feast(repo_path=str(workspace.feature_repo))
    store.config.project = served_project(store.config.project)
    online = store.get_online_features(
        store.get_feature_service(refreshed.service), [{"CUSTOMER_ID": key, "TERMINAL_ID": 0} for key in keys]
    ).to_df()
    for name in view.features:
        assert online[name].astype(float).tolist() == pytest.approx(latest.loc[keys, name].tolist(), nan_ok=True)


def test_replay_of_an_earlier_day_sees_nothing_of_later_ones_and_leaves_what_is_served(stored, capsys):
    platform, case, refreshed = stored
    earlier = AS_OF - timedelta(days=10)
    replayed = refresh(platform, case, earlier)
    assert replayed.events.to_pandas()["TX_DATETIME"].max() < pd.Timestamp(earlier)
    for view in replayed.views:
        assert view.table.to_pandas()["event_timestamp"].max() == pd.Timestamp(earlier)
        file = read_file(platform.workspace.feature_file(case.name, view.name))
        assert file.to_pandas()["event_timestamp"].max() == pd.Timestamp(AS_OF)
    for view in refreshed.served:
        assert platform.features.published(view) == AS_OF
    assert "the online store keeps customer_activity as of 2026-02-15 00:00, which is later" in capsys.readouterr().out


def test_feature_that_only_the_use_case_names_is_told(stored):
    platform, case, _ = stored
    view = case.features.windows["customer_activity"]
    extra = view.features[0].model_copy(update={"name": "customer_count_2d"})
    windows = case.features.windows | {
        "customer_activity": view.model_copy(update={"features": (*view.features, extra)})
    }
    changed = case.model_copy(update={"features": case.features.model_copy(update={"windows": windows})})
    with pytest.raises(UseCaseError, match="differ on features of view customer_activity: customer_count_2d"):
        platform.features.sources(changed)


def test_service_that_feast_does_not_have_is_told_with_those_it_has(stored):
    platform, case, _ = stored
    changed = case.model_copy(update={"features": case.features.model_copy(update={"service": "fraud_v9"})})
    with pytest.raises(UseCaseError, match=r"Feast has no feature service 'fraud_v9'; it has .*card_fraud_v1"):
        platform.features.sources(changed)
