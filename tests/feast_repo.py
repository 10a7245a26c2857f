"""A Feast repository with one feature view that has a feature of every type, to hold the online store against Feast's
own reading and writing."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from serin.columns import TYPES, TypeName
from serin.online.plan import LogPlan, TablePlan
from serin.windows.events import EventSchema

PROJECT, VIEW = "serin_served", "account__1a2b3c4d"
NOON = datetime(2026, 2, 2, 12, tzinfo=UTC)
FEATURES: Mapping[str, TypeName] = {
    "whole": "integer",
    "share": "number",
    "word": "text",
    "yes": "boolean",
    "since": "timestamp",
}
SQLITE = "{type: feast.infra.online_stores.sqlite.SqliteOnlineStore, path: online.db}"
# Everything that has an end somewhere: signs, ends of ranges, lengths of more than one byte, other alphabets, nothing.
ROWS: Mapping[str, Sequence[Any]] = {
    "whole": [0, 1, -1, 2**63 - 1, -(2**63), None, 127, 128],
    "share": [0.0, -0.0, 1.5, 1e-300, -3.4e38, None, 2.0, float("nan")],
    "word": ["", "x", "naïve Æsop 鳥", "w" * 1024, "a,b=c\r\n$5", None, "0" * 127, "1" * 128],
    "yes": [False, True, True, False, True, None, True, False],
    "since": [NOON, NOON.replace(year=1970), NOON.replace(year=2199), NOON, NOON, None, NOON, NOON],
}
KEYS: Mapping[TypeName, Sequence[Any]] = {
    "integer": [0, 1, -1, 2**63 - 1, -(2**63), 77, 417, 418],
    "text": ["", "0417", "417", "Æ鳥", "k" * 300, "gone", "a b", "x\r\n"],
}


def log(use_case: str = "fraud", key_type: TypeName = "integer") -> LogPlan:
    """An event log of entities `id`."""
    events = EventSchema(timestamp="at", key={"event": "integer"}, since=0)
    return LogPlan(project=PROJECT, use_case=use_case, key="id", key_type=key_type, events=events)


def plan(key_type: TypeName = "integer", features: Mapping[str, TypeName] = FEATURES) -> TablePlan:
    """What is read of the view."""
    return TablePlan(project=PROJECT, view=VIEW, key="id", key_type=key_type, features=dict(features))


def rows(key_type: TypeName = "integer", at: datetime = NOON) -> pa.Table:
    """A row an entity of KEYS; of the sixth nothing is known."""
    arrays = {name: pa.array(ROWS[name], TYPES[kind].arrow, from_pandas=False) for name, kind in FEATURES.items()}
    keys = pa.array(KEYS[key_type], TYPES[key_type].arrow)
    times = pa.array([at] * len(keys), pa.timestamp("us", tz="UTC"))
    return pa.table({"id": keys, **arrays, "event_timestamp": times})


def write_yaml(folder: Path, online_store: str) -> Path:
    """The repository's feature_store.yaml."""
    path = folder / "feature_store.yaml"
    path.write_text(
        f"project: {PROJECT}\nprovider: local\nregistry: registry.db\noffline_store: {{type: file}}\n"
        f"online_store: {online_store}\nentity_key_serialization_version: 3\n"
    )
    return path


def store(folder: Path, key_type: TypeName = "integer", features: Mapping[str, TypeName] = FEATURES) -> Any:
    """Feast's own store of the repository, with the view applied."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, types
    from feast.value_type import ValueType

    entity = Entity(name="account", join_keys=["id"], value_type=ValueType[str(TYPES[key_type].entity)])
    schema = {"id": key_type, **features}
    view = FeatureView(
        name=VIEW,
        entities=[entity],
        ttl=timedelta(0),
        schema=[Field(name=name, dtype=getattr(types, TYPES[kind].feast)) for name, kind in schema.items()],
        source=FileSource(name=VIEW, path=str(folder / "rows.parquet"), timestamp_field="event_timestamp"),
    )
    found = FeatureStore(repo_path=str(folder))
    found.apply([entity, view])
    return found


def write(found: Any, table: pa.Table) -> None:
    """Write rows as Feast writes them."""
    found.provider.ingest_df(found.get_feature_view(VIEW), table.to_pandas())


def read(found: Any, keys: Sequence[Any]) -> dict[str, list[Any]]:
    """What Feast reads of the view, with the times of the features."""
    response = found.get_online_features([f"{VIEW}:{name}" for name in FEATURES], [{"id": key} for key in keys])
    answer: dict[str, list[Any]] = response.to_dict(include_event_timestamps=True)
    return answer
