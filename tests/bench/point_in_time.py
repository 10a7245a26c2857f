"""The point-in-time join against Feast's `get_historical_features` on the same files (offline store `file`): events of
two entities, and of each a view with a row a day."""

import contextlib
import io
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROWS, DAYS, RUNS = 60_000, 40, 3
ENTITIES = {"customer": 2_000, "terminal": 1_000}
FEATURES = {"customer": 7, "terminal": 6}
START, TTL = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=2)


@dataclass(frozen=True)
class _View:
    """A view of an entity: a row an entity and day, on half of the days; some events find none that is not too old."""

    entity: str

    @property
    def features(self) -> list[str]:
        return [f"{self.entity}_f{number}" for number in range(FEATURES[self.entity])]

    def rows(self, random: np.random.Generator) -> pa.Table:
        keys, days = np.meshgrid(np.arange(ENTITIES[self.entity]), np.arange(DAYS))
        kept = random.random(keys.size) < 0.5
        times = np.datetime64(START.replace(tzinfo=None), "us") + days.ravel()[kept].astype("timedelta64[D]")
        columns = {name: random.random(kept.sum()) for name in self.features}
        stamps = pa.array(times.astype("datetime64[us]")).cast(pa.timestamp("us", tz="UTC"))
        return pa.table({f"{self.entity}_id": keys.ravel()[kept], **columns, "event_timestamp": stamps})


VIEWS = tuple(_View(entity) for entity in ENTITIES)


def run() -> None:
    """Measure both three times in turn and print the ratio of the medians."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = _prepare(Path(folder))
        seconds: dict[str, list[float]] = {"serin": [], "feast": []}
        found = {"serin": 0, "feast": 0}
        for _ in range(RUNS):
            for name, join in (("serin", ours), ("feast", theirs)):
                start = time.perf_counter()
                found[name] = join()
                seconds[name].append(time.perf_counter() - start)
    serin, feast = (median(seconds[name]) for name in ("serin", "feast"))
    print(
        f"point-in-time join of {ROWS:,} events to 13 features of two views: {feast / serin:.1f} x Feast's file store"
    )
    print(f"  serin {serin:.2f} s, {found['serin']:,} rows; feast {feast:.2f} s, {found['feast']:,} rows (median)")


def _prepare(folder: Path) -> tuple[Callable[[], int], Callable[[], int]]:
    from components.features.training_set import ViewTable, point_in_time_join
    from serin.learning.split import EVENT_TIME

    random = np.random.default_rng(1)
    tables = {view.entity: view.rows(random) for view in VIEWS}
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    store = _feast(folder)
    events = _events(random)
    views = [
        ViewTable(view.entity, tables[view.entity], f"{view.entity}_id", "event_timestamp", TTL, view.features)
        for view in VIEWS
    ]
    asked = events.rename(columns={"event_timestamp": EVENT_TIME})

    def ours() -> int:
        return len(point_in_time_join(asked, views))

    def theirs() -> int:
        features = [f"{view.entity}:{name}" for view in VIEWS for name in view.features]
        with contextlib.redirect_stdout(io.StringIO()):
            return len(store.get_historical_features(events, features).to_df())

    return ours, theirs


def _events(random: np.random.Generator) -> pd.DataFrame:
    seconds = np.sort(random.integers(0, DAYS * 86_400, ROWS))
    keys = {f"{entity}_id": random.integers(0, count, ROWS) for entity, count in ENTITIES.items()}
    return pd.DataFrame(keys | {"event_timestamp": pd.to_datetime(seconds, unit="s", origin=START.date(), utc=True)})


def _feast(folder: Path) -> Any:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource
    from feast.types import Float64, Int64
    from feast.value_type import ValueType

    from tests import feast_repo

    feast_repo.write_yaml(folder, feast_repo.SQLITE)
    store = FeatureStore(repo_path=str(folder))
    for view in VIEWS:
        key = f"{view.entity}_id"
        entity = Entity(name=view.entity, join_keys=[key], value_type=ValueType.INT64)
        path = str(folder / f"{view.entity}.parquet")
        declared = FeatureView(
            name=view.entity,
            entities=[entity],
            ttl=TTL,
            schema=[Field(name=key, dtype=Int64), *(Field(name=name, dtype=Float64) for name in view.features)],
            source=FileSource(name=view.entity, path=path, timestamp_field="event_timestamp"),
        )
        with contextlib.redirect_stdout(io.StringIO()):
            store.apply([entity, declared])
    return store
