"""Small real things for tests: use cases, and artifacts with a model that was really trained, on seeded data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from serin import engines
from serin.artifact import BACKGROUND, REFERENCE, EventColumns, Manifest, RequestColumn, seal
from serin.online.plan import LogPlan, OnlinePlan, TablePlan, WindowPlan
from serin.schema import InputColumn, InputSchema, calendar
from serin.use_case import DerivedFeature, UseCase, WindowView, parse
from serin.windows.events import EventSchema

STORE_FEATURES = ("customer_count_1d", "terminal_fraud_rate_7d")
PROJECT = "serin_served"
# The store's features as columns of two tables.
TABLES = OnlinePlan(
    tables=tuple(
        TablePlan(project=PROJECT, view=view, key=key, key_type="integer", features={name: "number"})
        for view, key, name in (
            ("customer_view", "CUSTOMER_ID", "customer_count_1d"),
            ("terminal_view", "TERMINAL_ID", "terminal_fraud_rate_7d"),
        )
    )
)
# Events as the store's features are windows over them.
EVENTS = EventColumns(
    columns=(
        RequestColumn(name="TRANSACTION_ID", type="integer", min=0),
        RequestColumn(name="TX_DATETIME", type="timestamp"),
        RequestColumn(name="CUSTOMER_ID", type="integer", min=0),
        RequestColumn(name="TERMINAL_ID", type="integer", min=0),
        RequestColumn(name="TX_AMOUNT", type="number", min=0),
        RequestColumn(name="CHANNEL", type="text", nullable=True),
        RequestColumn(name="TX_FRAUD", type="integer", allowed=(0, 1)),
    ),
    key=("TRANSACTION_ID",),
    label="TX_FRAUD",
)
_VIEWS: Mapping[str, Mapping[str, Any]] = {
    "CUSTOMER_ID": {
        "entity": "customer",
        "features": [
            {"name": "customer_count_1d", "aggregation": "count", "window": "1d"},
            {"name": "customer_amount_7d", "aggregation": "sum", "column": "TX_AMOUNT", "window": "7d"},
        ],
    },
    "TERMINAL_ID": {
        "entity": "terminal",
        "features": [
            {
                "name": "terminal_fraud_rate_7d",
                "aggregation": "mean",
                "column": "TX_FRAUD",
                "window": "7d",
                "delay": "7d",
            }
        ],
    },
}
CHANNELS = ("chip", "online", "stripe")
START = np.datetime64("2018-04-01T00:00:00", "s")


def make_case(columns: Mapping[str, Any], *, request: Sequence[str] = (), **parts: Any) -> UseCase:
    """The use case `toy` with these columns, each a type or a whole declaration; label `y`, entity `thing` by `id`.

    Its model takes `request`; `parts` replace whole sections, but for `data`, to which it adds.
    """
    usual = {
        "name": "toy",
        "label": {"column": "y"},
        "entities": {"thing": "id"},
        "features": {"service": "toy_v1", "request": request},
        "training": {"estimators": {"xgboost": {}}},
    }
    declared = {name: {"type": of} if isinstance(of, str) else of for name, of in columns.items()}
    return parse({**usual, **parts, "data": {"columns": declared, **parts.get("data", {})}}, "test")


def windows_plan(**changes: Any) -> OnlinePlan:
    """The store's features as windows over EVENTS, with a ttl of two days: how many transactions the customer made and
    what they came to, and how often the terminal was used for fraud, a week ago; `changes` replace whole keys."""
    taken = {"CUSTOMER_ID": ("TX_AMOUNT",), "TERMINAL_ID": ("TX_FRAUD",)}
    usual: dict[str, Any] = {
        "windows": tuple(
            WindowPlan(view=f"{key}_view", key=key, definition=WindowView.model_validate(view), ttl=2 * 86400)
            for key, view in _VIEWS.items()
        ),
        "logs": {key: log_plan(key, numbers) for key, numbers in taken.items()},
    }
    return OnlinePlan(**{**usual, **changes})


def log_plan(key: str, numbers: tuple[str, ...]) -> LogPlan:
    """The log of an entity column of EVENTS, two weeks long."""
    events = EventSchema(
        timestamp="TX_DATETIME", key={"TRANSACTION_ID": "integer"}, numbers=numbers, since=14 * 86400 * 10**6
    )
    return LogPlan(project=PROJECT, use_case="card_fraud", key=key, key_type="integer", events=events)


def make_artifact(
    folder: Path,
    *,
    estimator: str = "xgboost",
    store: bool = False,
    online: OnlinePlan | None = None,
    use_case: str = "card_fraud",
    threshold: float = 0.5,
    rows: int = 400,
    seed: int = 0,
) -> Manifest:
    """Train a tiny model of card fraud and seal its artifact in `folder`.

    Inputs are TX_AMOUNT, CHANNEL (a category) and the calendar; with `store` also STORE_FEATURES, which the
    predictor has to fetch for CUSTOMER_ID and TERMINAL_ID, from TABLES or as `online` says (see `windows_plan`, with
    which also the amount beside what the customer spends is an input). `estimator` is one of _MODELS; all but xgboost
    are kept by the engine sklearn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    windows = online is not None and bool(online.windows)
    schema = _inputs(store or windows, windows)
    columns, label = _rows(rows, seed)
    matrix = schema.encode(columns)
    engine = engines.known()["xgboost" if estimator == "xgboost" else "sklearn"]
    engine.save(_MODELS[estimator]().fit(matrix, label), folder / engine.file)
    kept = {name: columns[name] for name in schema.names}
    score = engine.load(folder / engine.file)(matrix)
    pq.write_table(pa.table({**kept, "label": label, "score": score}), folder / REFERENCE)
    pq.write_table(pa.table(kept).slice(0, 50), folder / BACKGROUND)
    manifest = _manifest(use_case, estimator, engine, schema, threshold)
    if store or windows:
        manifest = manifest.model_copy(update={"online": online or TABLES})
    if windows:
        share = DerivedFeature(name="amount_share", ratio=("TX_AMOUNT", "customer_amount_7d"))
        manifest = manifest.model_copy(update={"events": EVENTS, "derived": (share,)})
    return seal(folder, manifest)


def make_slow_artifact(folder: Path, seed: int = 0) -> None:
    """As `make_artifact`, with a random forest of so many trees that one row takes it longer than 5 ms anywhere."""
    from sklearn.ensemble import RandomForestClassifier
    from skops import io

    manifest = make_artifact(folder, estimator="random_forest", seed=seed)
    reference = pq.read_table(folder / REFERENCE)
    rows = manifest.inputs.encode({name: reference[name].to_pylist() for name in manifest.inputs.names})
    forest = RandomForestClassifier(n_estimators=400, max_depth=2, random_state=seed)
    score = forest.fit(rows, reference["label"].to_numpy()).predict_proba(rows)[:, 1]
    io.dump(forest, folder / "model.skops")
    place = reference.schema.get_field_index("score")
    pq.write_table(reference.set_column(place, "score", pa.array(score)), folder / REFERENCE)
    seal(folder, manifest)


def make_manifest(features: tuple[str, ...] = ("count_1d", "rate_7d"), **changes: Any) -> Manifest:
    """A manifest without an artifact: entity CUSTOMER, request columns AMOUNT (0 to 1000) and CHANNEL (nullable),
    event time TIME, calendar `hour`, and `features` from the store; `changes` replace whole keys."""
    names = ("AMOUNT", "CHANNEL", "hour", *features)
    usual: dict[str, Any] = {
        "use_case": "card_fraud",
        "model_name": "card-fraud",
        "estimator": "xgboost",
        "engine": "xgboost",
        "models": {"xgboost": "model.ubj"},
        "feature_service": "card_fraud_v1",
        "entities": (RequestColumn(name="CUSTOMER", type="integer", min=0),),
        "request": (
            RequestColumn(name="AMOUNT", type="number", min=0, max=1000),
            RequestColumn(name="CHANNEL", type="text", nullable=True),
        ),
        "calendar": ("hour",),
        "timestamp": "TIME",
        "inputs": InputSchema(columns=tuple(InputColumn(name=name) for name in names)),
        "threshold": 0.5,
        "data_snapshot": "0" * 12,
        "as_of": "2018-06-01T00:00:00+00:00",
    }
    return Manifest(**{**usual, **changes})


def _manifest(use_case: str, estimator: str, engine: engines.Engine, schema: InputSchema, threshold: float) -> Manifest:
    return Manifest(
        use_case=use_case,
        model_name=use_case.replace("_", "-"),
        estimator=estimator,
        engine=engine.name,
        models={engine.name: engine.file},
        feature_service=f"{use_case}_v1",
        entities=(
            RequestColumn(name="CUSTOMER_ID", type="integer", min=0),
            RequestColumn(name="TERMINAL_ID", type="integer", min=0),
        ),
        request=(
            RequestColumn(name="TX_AMOUNT", type="number", min=0),
            RequestColumn(name="CHANNEL", type="text", nullable=True),
        ),
        calendar=("hour", "weekday"),
        timestamp="TX_DATETIME",
        inputs=schema,
        threshold=threshold,
        metrics={"roc_auc": 0.9},
        data_snapshot="0" * 12,
        as_of="2018-06-01T00:00:00+00:00",
    )


def _inputs(store: bool, windows: bool = False) -> InputSchema:
    of_windows = ("customer_amount_7d", "amount_share") if windows else ()
    numbers = ("hour", "weekday", *(STORE_FEATURES if store else ()), *of_windows)
    return InputSchema(
        columns=(
            InputColumn(name="TX_AMOUNT"),
            InputColumn(name="CHANNEL", kind="category", categories=CHANNELS),
            *(InputColumn(name=name) for name in numbers),
        )
    )


def _rows(rows: int, seed: int) -> tuple[dict[str, Any], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    times = START + rng.integers(0, 60 * 86400, rows).astype("timedelta64[s]")
    columns = {
        "TX_AMOUNT": rng.gamma(2.0, 30.0, rows),
        "CHANNEL": rng.choice(CHANNELS, rows).astype(object),
        "hour": calendar("hour", times),
        "weekday": calendar("weekday", times),
        "customer_count_1d": rng.poisson(3.0, rows).astype(float),
        "terminal_fraud_rate_7d": rng.beta(1.0, 20.0, rows),
        "customer_amount_7d": rng.gamma(2.0, 90.0, rows),
    }
    columns["amount_share"] = columns["TX_AMOUNT"] / columns["customer_amount_7d"]
    risk = columns["TX_AMOUNT"] / 40 + 20 * columns["terminal_fraud_rate_7d"] + (columns["CHANNEL"] == "online")
    label = (risk + rng.normal(0, 0.5, rows) > np.quantile(risk, 0.8)).astype(np.int64)
    return columns, label


def _xgboost() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(max_depth=3, learning_rate=0.3, n_estimators=20, n_jobs=1, random_state=0)


def _logistic_regression() -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())


def _random_forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(), RandomForestClassifier(n_estimators=10, max_depth=4, random_state=0))


_MODELS = {"xgboost": _xgboost, "logistic_regression": _logistic_regression, "random_forest": _random_forest}
