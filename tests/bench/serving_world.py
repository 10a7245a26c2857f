"""What every server of the comparison serves: one model of 15 columns, its features in Redis, and requests for it.

A complete row has `amount` and 14 features; a row with keys has `amount`, `customer_id` and `terminal_id`, whose seven
features each are read from two views.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from serin.artifact import REFERENCE, Manifest, RequestColumn, seal
from serin.columns import TypeName
from serin.online.opening import open_store
from serin.online.plan import OnlinePlan, TablePlan
from serin.schema import InputColumn, InputSchema
from tests import feast_repo

NAME, VERSION = "card-fraud", "12"
ENTITIES = ("customer", "terminal")
FEATURES: Mapping[str, Sequence[str]] = {
    entity: tuple(f"{entity}_f{number}" for number in range(7)) for entity in ENTITIES
}
COLUMNS = ("amount", *FEATURES["customer"], *FEATURES["terminal"])
KNOWN = 1_000  # entities of each kind in the store
BODIES = 100  # different requests of one kind, which the clients send in turn
ROWS, TREES, DEPTH = 5_000, 200, 6
AS_OF = datetime(2026, 2, 10, tzinfo=UTC)

Row = dict[str, float]


@dataclass(frozen=True)
class World:
    """A workspace `root` whose online store is Redis, the artifact in `model`, and what the references read."""

    root: Path
    model: Path
    rows: tuple[Row, ...]
    keyed: tuple[Row, ...]

    @property
    def features(self) -> list[str]:
        """The features as Feast calls them."""
        return [f"{_view(entity)}:{name}" for entity in ENTITIES for name in FEATURES[entity]]


def make(root: Path, redis: str) -> World:
    """Train the model, write its artifact and fill the store at HOST:PORT."""
    (root / ".serin").mkdir(parents=True)
    repository = root / "feature_repo"
    repository.mkdir()
    yaml = feast_repo.write_yaml(repository, f'{{type: redis, connection_string: "{redis}", skip_dedup: true}}')
    _apply(repository)
    values = _fill(yaml)
    random = np.random.default_rng(2)
    keys = [[int(key) for key in random.choice(KNOWN, 2)] for _ in range(BODIES)]
    amounts = [round(float(amount), 2) for amount in random.gamma(2, 30, BODIES)]
    keyed = [
        {"amount": amount, "customer_id": c, "terminal_id": t} for amount, (c, t) in zip(amounts, keys, strict=True)
    ]
    rows = [
        {
            "amount": amount,
            **{name: float(values[name][c if name in FEATURES["customer"] else t]) for name in COLUMNS[1:]},
        }
        for amount, (c, t) in zip(amounts, keys, strict=True)
    ]
    model = root / "model"
    _artifact(model)
    (root / "reference").mkdir()
    (root / "reference" / "model.onnx").write_bytes((model / "model.onnx").read_bytes())
    (root / "reference" / "columns.json").write_text(json.dumps(COLUMNS))
    return World(root, model, tuple(rows), tuple(keyed))


def matrix(rows: int) -> NDArray[np.float32]:
    """Inputs of so many rows, shape (rows, 15)."""
    random = np.random.default_rng(3)
    return np.round(random.gamma(2, 1, (rows, len(COLUMNS))), 4).astype(np.float32)


def v1(rows: Sequence[Row]) -> bytes:
    """The body of a V1 request."""
    return json.dumps({"instances": list(rows)}).encode()


def v2(rows: Sequence[Row]) -> bytes:
    """The body of a V2 request in JSON: one input a column."""
    inputs = [_input(name, [row[name] for row in rows]) for name in rows[0]]
    return json.dumps({"inputs": inputs}).encode()


def grpc(rows: Sequence[Row]) -> bytes:
    """A ModelInferRequest with typed contents, one input a column."""
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages

    message = messages.ModelInferRequest(model_name=NAME)
    for name in rows[0]:
        item = message.inputs.add(name=name, datatype="FP64", shape=[len(rows)])
        item.contents.fp64_contents.extend(row[name] for row in rows)
    return bytes(message.SerializeToString())


def v2_binary(values: NDArray[np.float32]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a V2 request with the binary extension, one input a column; its answer is binary, too."""
    columns = values.astype("<f8")
    inputs = [
        {
            "name": name,
            "datatype": "FP64",
            "shape": [len(columns)],
            "parameters": {"binary_data_size": len(columns) * 8},
        }
        for name in COLUMNS
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    body = head + b"".join(columns[:, place].tobytes() for place in range(len(COLUMNS)))
    return body, {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}


def http(path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 request."""
    lines = {"Host": "127.0.0.1", "Content-Type": "application/json", **(headers or {}), "Content-Length": len(body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def _input(name: str, data: list[float]) -> dict[str, Any]:
    return {"name": name, "datatype": "FP64", "shape": [len(data)], "data": data}


def _view(entity: str) -> str:
    return f"{entity}_view"


def _plan(entity: str) -> TablePlan:
    features: dict[str, TypeName] = dict.fromkeys(FEATURES[entity], "number")
    return TablePlan(
        project=feast_repo.PROJECT, view=_view(entity), key=f"{entity}_id", key_type="integer", features=features
    )


def _fill(yaml: Path) -> dict[str, NDArray[np.float64]]:
    """Write a row an entity, and give the features' values by the entities' numbers."""
    random = np.random.default_rng(1)
    values: dict[str, NDArray[np.float64]] = {}
    store = open_store(yaml)
    try:
        times = pa.array([AS_OF] * KNOWN, pa.timestamp("us", tz="UTC"))
        for entity in ENTITIES:
            drawn = {name: np.round(random.gamma(2, 1, KNOWN), 4) for name in FEATURES[entity]}
            table = pa.table({f"{entity}_id": np.arange(KNOWN), **drawn, "event_timestamp": times})
            store.write_rows(_plan(entity), table)
            values |= drawn
    finally:
        store.close()
    return values


def _apply(repository: Path) -> None:
    """Tell Feast of the views."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource
    from feast.types import Float64, Int64
    from feast.value_type import ValueType

    store = FeatureStore(repo_path=str(repository))
    declared: list[Any] = []
    for name, features in FEATURES.items():
        entity = Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.INT64)
        schema = [Field(name=f"{name}_id", dtype=Int64), *(Field(name=feature, dtype=Float64) for feature in features)]
        source = FileSource(name=name, path=str(repository / f"{name}.parquet"), timestamp_field="event_timestamp")
        declared += [
            entity,
            FeatureView(name=_view(name), entities=[entity], ttl=timedelta(0), schema=schema, source=source),
        ]
    store.apply(declared)


def _artifact(folder: Path) -> None:
    from xgboost import XGBClassifier

    from components.train.graphs import of_xgboost
    from serin import engines

    folder.mkdir()
    inputs = matrix(ROWS)
    risk = inputs[:, 0] + inputs[:, 1] * inputs[:, 2] + np.random.default_rng(5).normal(0, 4, ROWS)
    labels = (risk > 6).astype(np.int8)
    model = XGBClassifier(n_estimators=TREES, max_depth=DEPTH, n_jobs=1, random_state=0).fit(inputs, labels)
    engine = engines.known()["xgboost"]
    engine.save(model, folder / engine.file)
    (folder / "model.onnx").write_bytes(of_xgboost(model, len(COLUMNS)).SerializeToString())
    scores = engine.load(folder / engine.file)(inputs[:512])
    table = {name: inputs[:512, place] for place, name in enumerate(COLUMNS)}
    pq.write_table(pa.table({**table, "label": labels[:512], "score": scores}), folder / REFERENCE)
    seal(folder, _manifest())


def _manifest() -> Manifest:
    return Manifest(
        use_case="card_fraud",
        model_name=NAME,
        estimator="xgboost",
        engine="xgboost",
        models={"xgboost": "model.ubj", "onnx": "model.onnx"},
        feature_service="card_fraud_v1",
        entities=tuple(RequestColumn(name=f"{entity}_id", type="integer", min=0) for entity in ENTITIES),
        request=(RequestColumn(name="amount", type="number", min=0),),
        online=OnlinePlan(tables=tuple(_plan(entity) for entity in ENTITIES)),
        timestamp="event_time",
        inputs=InputSchema(columns=tuple(InputColumn(name=name) for name in COLUMNS)),
        threshold=0.5,
        data_snapshot="0" * 12,
        as_of="2026-02-10T00:00:00+00:00",
    )
