"""A replay: features as served, with scored requests as events, are those of the query over all events."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from components.features.plan import online_plan
from components.features.run import refresh
from components.ingest.run import run as ingest
from predictors.metrics import Metrics
from predictors.online.enrich import OnlineFeatures
from predictors.online.events import EventSink
from predictors.requests.schema import RequestSchema
from serin import partitions
from serin.artifact import EventColumns, Manifest, RequestColumn
from serin.columns import Column
from serin.online.store import OnlineStore
from serin.platform import Platform, build
from serin.schema import InputColumn, InputSchema
from serin.simulate import simulate
from serin.times import parse_time
from serin.use_case import UseCase
from serin.windows.query import Columns, window_features
from serin.workspace import Workspace
from tests import services

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
AS_OF, DAYS = parse_time("2026-02-20"), 10
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def transactions() -> pd.DataFrame:
    table = simulate(rows=2500, days=50 + DAYS, start=AS_OF.date() - 50 * DAY, seed=3)
    # Some happen in the same second.
    table["TX_DATETIME"] = table["TX_DATETIME"].where(table.index % 9 != 0, table["TX_DATETIME"].shift(1)).bfill()
    table["TX_DATETIME"] = table["TX_DATETIME"].dt.floor("s")
    return table.sort_values(["TX_DATETIME", "TRANSACTION_ID"], ignore_index=True)


@pytest.fixture(params=["sqlite", "redis"])
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Platform]:
    root = services.workspace_copy(tmp_path / "root")
    if request.param == "sqlite":
        yield build(Workspace.from_variables({"SERIN_ROOT": str(root)}))
        return
    with services.redis() as address:
        yaml = root / "feature_repo" / "feature_store.yaml"
        lines = [line for line in yaml.read_text().splitlines() if not line.startswith("online_store:")]
        yaml.write_text("\n".join([*lines, f'online_store: {{type: redis, connection_string: "{address}"}}', ""]))
        yield build(Workspace.from_variables({"SERIN_ROOT": str(root)}))


def manifest_of(case: UseCase, platform: Platform, as_of: datetime) -> Manifest:
    """What a model of the use case would be served with."""

    def columns(names: Any) -> tuple[RequestColumn, ...]:
        rules = set(Column.model_fields)
        return tuple(RequestColumn(name=name, **case.data.columns[name].model_dump(include=rules)) for name in names)

    refreshed = refresh(platform, case, as_of)
    return Manifest(
        use_case=case.name, model_name=case.model_name, estimator="xgboost", engine="xgboost",
        models={"xgboost": "model.ubj"}, feature_service=refreshed.service, entities=columns(case.entities.values()),
        request=columns(case.request_columns), calendar=case.features.calendar, derived=case.features.derived,
        online=online_plan(case, refreshed.served, platform.features.project), timestamp=case.timestamp,
        events=EventColumns(columns=columns(case.data.columns), key=case.data.key, label=case.label.column),
        inputs=InputSchema(columns=tuple(InputColumn(name=name) for name in case.feature_names)), threshold=0.5,
        data_snapshot="s", as_of=as_of.isoformat(),
    )  # fmt: skip


def replayed(store: OnlineStore, manifest: Manifest, rows: pd.DataFrame, now: datetime) -> dict[str, list[Any]]:
    """The features of each row, which is an event from then on; the labels of a day are pushed when it is over."""
    metrics = Metrics("card-fraud", "1", "card-fraud-v1", CollectorRegistry())
    features, sink, schema = (
        OnlineFeatures(store, manifest),
        EventSink.of(store, manifest, metrics),
        RequestSchema(manifest),
    )
    assert sink
    sent = rows.assign(TX_DATETIME=rows["TX_DATETIME"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_dict("records")
    requests = [{name: value for name, value in row.items() if name in schema_names(manifest)} for row in sent]
    found: dict[str, list[Any]] = {}

    async def play() -> None:
        place, size = 0, 1
        while place < len(rows):
            checked = schema.from_v1({"instances": requests[place : place + size]}, now)
            got = features.features(checked, await features.read(checked))
            assert not any(got.misses)
            for name, values in got.values.items():
                found.setdefault(name, []).extend(values)
            await asyncio.to_thread(sink.take_rows, checked, now)
            place, size = place + size, size % 7 + 1

    asyncio.run(play())
    labels = [{name: row[name] for name in ("TRANSACTION_ID", "TERMINAL_ID", "TX_FRAUD")} for row in sent]
    sink.take(orjson.dumps({"labels": labels}), now)
    return found


def schema_names(manifest: Manifest) -> set[str]:
    return {*(each.name for each in (*manifest.entities, *manifest.request)), "TX_DATETIME", "TRANSACTION_ID"}


def test_features_as_served_equal_features_as_trained_to_the_last_event(
    platform: Platform, transactions: pd.DataFrame
) -> None:
    case = platform.own_use_case("card_fraud")
    source = platform.workspace.root / "source.parquet"
    times = pd.to_datetime(transactions["TX_DATETIME"], utc=True)
    known = transactions[times < AS_OF]
    known.to_parquet(source, index=False)
    ingest(platform, case, str(source), AS_OF.isoformat())
    manifest = manifest_of(case, platform, AS_OF)
    served: dict[str, list[Any]] = {}
    for number in range(DAYS):
        start = AS_OF + number * DAY
        if number == 6:  # What was pushed is in the data by now, and is forgotten.
            transactions[times < start].to_parquet(source, index=False)
            ingest(platform, case, str(source), start.isoformat())
            refresh(platform, case, start)
            pushed = platform.features.online.pushed(manifest.online.logs["TERMINAL_ID"])
            assert not any(each.pushed or each.labels for each in pushed.values())
        rows = transactions[(times >= start) & (times < start + DAY)]
        for name, values in replayed(platform.features.online, manifest, rows, start + DAY).items():
            served.setdefault(name, []).extend(values)
    transactions.to_parquet(source, index=False)
    ingest(platform, case, str(source), (AS_OF + DAYS * DAY).isoformat())
    stored = partitions.read(platform.workspace.events(case.name)).table
    count = 0
    for plan in manifest.online.windows:
        offline = window_features(stored, plan.definition, Columns(plan.key, "TX_DATETIME", ("TRANSACTION_ID",)))
        table = pa.table(
            {"TRANSACTION_ID": stored["TRANSACTION_ID"], "at": stored["TX_DATETIME"]}
            | {name: offline[name] for name in offline.column_names}
        )
        replay = table.to_pandas().query("at >= @AS_OF").sort_values(["at", "TRANSACTION_ID"])
        for feature in plan.definition.features:
            online = np.array([np.nan if value is None else value for value in served[feature.name]])
            np.testing.assert_allclose(online, replay[feature.name].to_numpy(), rtol=1e-6, err_msg=feature.name)
            count += np.isfinite(online).sum()
    assert len(replay) > 300
    assert count > 10 * len(replay)
    # Delayed windows reach what was pushed.
    assert np.nansum(served["terminal_fraud_rate_30d"]) > 0
