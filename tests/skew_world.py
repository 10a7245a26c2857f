"""A small world with a prediction log: cards, their events, and a version that was served with window features."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serin import partitions
from serin.artifact import seal
from serin.atomic import write_text
from serin.derived import derived
from serin.errors import NotFoundError
from serin.online.plan import LogPlan, OnlinePlan, WindowPlan
from serin.platform import build
from serin.ports import RegisteredVersion
from serin.schema import InputColumn, InputSchema, calendar
from serin.storage import write_table
from serin.use_case import dumps
from serin.windows.events import EventSchema
from serin.windows.query import Columns, window_features
from serin.workspace import Workspace
from tests.factories import make_case, make_manifest

TIME = pa.timestamp("us", tz="UTC")
START = datetime(2026, 1, 20, tzinfo=UTC)
END = datetime(2026, 1, 27, tzinfo=UTC)
CASE = make_case(
    {"TX": "integer", "AT": "timestamp", "CARD": "integer", "AMOUNT": "number", "KIND": "text", "FRAUD": "integer"},
    name="cards",
    timestamp="AT",
    label={"column": "FRAUD", "delay": "7d"},
    entities={"card": "CARD"},
    data={"key": ["TX"]},
    features={
        "service": "cards_v1",
        "request": ["AMOUNT", "KIND"],
        "calendar": ["hour"],
        "windows": {
            "activity": {
                "entity": "card",
                "features": [
                    {"name": "count_7d", "aggregation": "count", "window": "7d"},
                    {"name": "mean_7d", "aggregation": "mean", "column": "AMOUNT", "window": "7d"},
                    {"name": "fraud_7d", "aggregation": "mean", "column": "FRAUD", "window": "7d", "delay": "7d"},
                ],
            }
        },
        "derived": [{"name": "to_mean", "ratio": ["AMOUNT", "mean_7d"]}],
    },
)
VIEW = CASE.features.windows["activity"]
COLUMNS = Columns(entity="CARD", timestamp="AT", key=("TX",))
INPUTS = ("AMOUNT", "KIND", "hour", "count_7d", "mean_7d", "fraud_7d", "to_mean")


def manifest_of(**changes):
    kinds = {"KIND": {"kind": "category", "categories": ("a", "b")}}
    events = EventSchema(timestamp="AT", key={"TX": "integer"}, numbers=("AMOUNT", "FRAUD"), since=15 * 86_400_000_000)
    log = LogPlan(project="serin_served", use_case="cards", key="CARD", key_type="integer", events=events)
    usual = {
        "use_case": "cards",
        "model_name": "cards",
        "entities": ({"name": "CARD", "type": "integer"},),
        "request": ({"name": "AMOUNT", "type": "number"}, {"name": "KIND", "type": "text"}),
        "calendar": ("hour",),
        "derived": CASE.features.derived,
        "timestamp": "AT",
        "inputs": InputSchema(columns=tuple(InputColumn(name=name, **kinds.get(name, {})) for name in INPUTS)),
        "online": OnlinePlan(windows=(WindowPlan(view="activity", key="CARD", definition=VIEW),), logs={"CARD": log}),
    }
    return make_manifest(**{**usual, **changes})


def events_of_cards():
    """600 events of 12 cards in 26 days."""
    random = np.random.default_rng(0)
    count = 600
    times = np.datetime64("2026-01-01", "us") + np.sort(random.integers(0, 26 * 86400, count)).astype("m8[s]")
    return pa.table(
        {
            "TX": pa.array(np.arange(count) + 1000),
            "AT": pa.array(times, TIME),
            "CARD": pa.array(random.integers(0, 12, count)),
            "AMOUNT": pa.array(np.round(random.gamma(2.0, 30.0, count), 2)),
            "KIND": pa.array(random.choice(["a", "b"], count)),
            "FRAUD": pa.array((random.random(count) < 0.2).astype(np.int64)),
        }
    )


def as_served(events, asked):
    """What a predictor without skew would log of the rows `asked`."""
    windows = window_features(events, VIEW, COLUMNS, asked)
    columns = {name: windows[name] for name in windows.column_names}
    amount, mean = asked["AMOUNT"].to_numpy(), windows["mean_7d"].to_numpy()
    columns["to_mean"] = pa.array(
        derived(CASE.features.derived[0], {"AMOUNT": amount, "mean_7d": mean}), from_pandas=True
    )
    times = asked["AT"].cast(pa.timestamp("us")).to_numpy()
    return pa.table(
        {
            **{name: asked[name] for name in ("TX", "CARD", "AMOUNT", "KIND")},
            "hour": calendar("hour", times),
            **columns,
            "event_timestamp": asked["AT"],
            "logged_at": asked["AT"],
            "model_version": pa.array(["3"] * len(asked)),
        }
    )


@dataclass(frozen=True)
class Registry:
    """A model registry with one version, the champion, whose artifact is a manifest."""

    manifest: object

    def by_alias(self, name, alias):
        return RegisteredVersion(name, 3, {}, (alias,)) if self.manifest else None

    def version(self, name, number):
        if number != 3:
            raise NotFoundError(f"{name} has no version {number}")
        return RegisteredVersion(name, 3, {}, ())

    def fetch(self, version, folder):
        folder.mkdir()
        seal(folder, self.manifest.model_copy(update={"models": {}}))
        return folder


def platform_of(root, events):
    """A workspace that has the events and the use case, and one version, the champion."""
    place = Workspace(root, "local", str(root / "state"), "sqlite:////nowhere", root / "feature_store.yaml")
    for date, rows in partitions.by_date(events, "AT"):
        partitions.write(place.events("cards"), date, rows, ["TX"])
    write_text(place.use_cases / "cards.yaml", dumps(CASE))
    return replace(build(place), registry=Registry(manifest_of()))


def log(platform, rows, name="v3-a.parquet", *, use_case="cards"):
    for date, part in partitions.by_date(rows, "event_timestamp"):
        write_table(part, partitions.location(platform.workspace.predictions(use_case), date, name))


def of_period(events, start=START, end=END):
    return events.filter(pc.and_(pc.greater_equal(events["AT"], start), pc.less(events["AT"], end)))


def changed(rows, name, values):
    return rows.set_column(rows.column_names.index(name), name, values)
