"""Window features in Feast's eyes: its own point-in-time join finds those of the training set, its online read those as
of the refresh. Imports Feast: seconds."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.features.engine import entity_features
from components.features.run import Refreshed, TrainingSet, make_training_set, refresh, view_features
from components.features.training_set import EventFeatures, ViewTable
from components.ingest.store import ingest
from serin.errors import UseCaseError
from serin.platform import Platform, build
from serin.simulate import simulate
from serin.storage import read_file
from serin.use_case import UseCase
from serin.workspace import Workspace, served_project
from tests import services

pytestmark = [
    # Feast's file store is built on dask and pandas interfaces that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
AS_OF = datetime(2026, 2, 15, tzinfo=UTC)


@dataclass(frozen=True)
class Trained:
    """A workspace, the training set as of AS_OF, and a refresh as of the same time."""

    platform: Platform
    case: UseCase
    made: TrainingSet
    refreshed: Refreshed

    @cached_property
    def views(self) -> tuple[ViewTable | EventFeatures, ...]:
        return view_features(self.platform, self.case, self.refreshed, AS_OF)

    @property
    def events(self) -> pd.DataFrame:
        """The events, each with its features."""
        return pd.concat([self.refreshed.events.to_pandas(), *(view.table.to_pandas() for view in self.views)], axis=1)

    @property
    def names(self) -> list[str]:
        return [name for view in self.views for name in view.features]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """45 days of transactions, as of the last midnight."""
    root = services.workspace_copy(tmp_path_factory.mktemp("workspace"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SERIN_ROOT", raising=False)
        platform = build(Workspace.from_variables({"SERIN_ROOT": str(root)}))
        case = platform.own_use_case("card_fraud")
        table = root / "t.parquet"
        simulate(seed=3, start=datetime(2026, 1, 1, tzinfo=UTC).date(), days=45, rows=4000).to_parquet(table)
        ingest(platform.workspace, case, str(table), AS_OF)
        fewer = case.model_copy(update={"training": case.training.model_copy(update={"folds": 1})})
        made = make_training_set(platform, fewer, AS_OF)
        yield Trained(platform, case, made, refresh(platform, case, AS_OF))
        platform.features.online.close()


def test_feasts_own_join_finds_the_features_of_each_event(trained: Trained):
    platform, case, events = trained.platform, trained.case, trained.events
    from feast import FeatureStore as Feast

    # Of two events of one entity at one time Feast finds either.
    alone = ~(
        events.duplicated(["CUSTOMER_ID", "TX_DATETIME"], False)
        | events.duplicated(["TERMINAL_ID", "TX_DATETIME"], False)
    )
    ours = events[alone].set_index("TRANSACTION_ID").sort_index()
    asked = ours.reset_index()[["TRANSACTION_ID", "CUSTOMER_ID", "TERMINAL_ID"]]
    asked = asked.assign(event_timestamp=ours["TX_DATETIME"].array)
    store = Feast(repo_path=str(platform.workspace.feature_repo))
    found = store.get_historical_features(asked, store.get_feature_service(case.features.service)).to_df()
    theirs = found.set_index("TRANSACTION_ID").sort_index()
    assert len(theirs) > 3000
    pd.testing.assert_frame_equal(
        ours[trained.names], theirs[trained.names].astype(float), check_exact=False, rtol=1e-9
    )


def test_file_behind_a_view_has_a_row_an_event(trained: Trained):
    platform, case, refreshed = trained.platform, trained.case, trained.refreshed
    for view in refreshed.served:
        rows = read_file(platform.workspace.feature_file(case.name, view.view))
        assert len(rows) == len(refreshed.events)
        assert rows["event_timestamp"].equals(refreshed.events["TX_DATETIME"])


def test_feasts_online_read_finds_each_entity_as_of_the_refresh(trained: Trained):
    platform, case, refreshed = trained.platform, trained.case, trained.refreshed
    from feast import FeatureStore as Feast

    store = Feast(repo_path=str(platform.workspace.feature_repo))
    store.config.project = served_project(store.config.project)
    customers = refreshed.served[0]
    keys = pc.unique(refreshed.events["CUSTOMER_ID"]).to_pylist()[:50]
    online = store.get_online_features(
        store.get_feature_service(refreshed.service), [{"CUSTOMER_ID": key, "TERMINAL_ID": 0} for key in keys]
    ).to_df()
    latest = entity_features(case, refreshed.events, customers, AS_OF).to_pandas().set_index("CUSTOMER_ID")
    for name in customers.features:
        assert online[name].astype(float).tolist() == pytest.approx(latest.loc[keys, name].tolist(), nan_ok=True)


def test_training_set_has_each_feature_at_the_events_own_time_and_says_what_is_read_online(trained: Trained):
    platform, case, refreshed, made = trained.platform, trained.case, trained.refreshed, trained.made
    assert set(case.feature_names) <= set(made.frame.columns)
    rows = trained.events.set_index("TRANSACTION_ID").loc[made.frame["TRANSACTION_ID"]].reset_index()
    pd.testing.assert_frame_equal(made.frame[trained.names], rows[trained.names])
    ratio = rows["TX_AMOUNT"] / rows["customer_amount_mean_30d"]
    assert made.frame["amount_to_customer_mean_30d"].tolist() == pytest.approx(ratio.tolist(), nan_ok=True)
    assert [plan.view for plan in made.online.windows] == [view.name for view in refreshed.served]
    assert set(made.online.logs) == {"CUSTOMER_ID", "TERMINAL_ID"}
    assert platform.features.online.meta(made.online.logs["TERMINAL_ID"])


def test_replay_of_an_earlier_day_sees_nothing_of_later_ones_and_leaves_what_is_served(
    trained: Trained, capsys: pytest.CaptureFixture[str]
):
    platform, case, refreshed = trained.platform, trained.case, trained.refreshed
    earlier = AS_OF - timedelta(days=10)
    replayed = refresh(platform, case, earlier)
    times = replayed.events["TX_DATETIME"]
    assert pc.max(times).as_py() < earlier
    known = len(replayed.events)
    order = refreshed.events["TX_DATETIME"].to_numpy() < np.datetime64(earlier.replace(tzinfo=None))
    assert order.sum() == known
    replayed_views = view_features(platform, case, replayed, earlier)
    for before, after in zip(replayed_views, trained.views, strict=True):
        same = after.table.filter(pa.array(order)).to_pandas()
        pd.testing.assert_frame_equal(before.table.to_pandas(), same, check_exact=False, rtol=1e-12)
        file = read_file(platform.workspace.feature_file(case.name, before.name))
        assert len(file) == len(refreshed.events)
    for view in refreshed.served:
        assert platform.features.published(view) == AS_OF
    said = capsys.readouterr().out
    assert "the online store keeps customer_activity as of 2026-02-15 00:00, which is later" in said
    assert "the online store keeps the events of TERMINAL_ID as of 2026-02-15 00:00, which is later" in said


def test_feature_that_only_the_use_case_names_is_told(trained: Trained):
    platform, case = trained.platform, trained.case
    view = case.features.windows["customer_activity"]
    extra = view.features[0].model_copy(update={"name": "customer_count_2d"})
    windows = case.features.windows | {
        "customer_activity": view.model_copy(update={"features": (*view.features, extra)})
    }
    changed = case.model_copy(update={"features": case.features.model_copy(update={"windows": windows})})
    with pytest.raises(UseCaseError, match="differ on features of view customer_activity: customer_count_2d"):
        platform.features.sources(changed)


def test_service_that_feast_does_not_have_is_told_with_those_it_has(trained: Trained):
    platform, case = trained.platform, trained.case
    changed = case.model_copy(update={"features": case.features.model_copy(update={"service": "fraud_v9"})})
    with pytest.raises(UseCaseError, match=r"Feast has no feature service 'fraud_v9'; it has .*card_fraud_v1"):
        platform.features.sources(changed)
