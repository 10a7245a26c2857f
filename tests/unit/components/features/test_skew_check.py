"""The prediction log of a version, replayed against the stored events."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.features.skew_check import check_skew
from serin import partitions
from serin.artifact import seal
from serin.derived import derived
from serin.errors import DataError, NotFoundError, UnavailableError
from serin.online.plan import LogPlan, OnlinePlan, TablePlan, WindowPlan
from serin.platform import build
from serin.ports import RegisteredVersion
from serin.schema import InputColumn, InputSchema, calendar
from serin.storage import write_table
from serin.windows.query import Columns, window_features
from serin.windows.tail import EventSchema
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


@pytest.fixture(scope="module")
def events():
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


@pytest.fixture
def platform(tmp_path, events):
    place = Workspace(tmp_path, "local", str(tmp_path / "state"), "sqlite:////nowhere", tmp_path / "feature_store.yaml")
    for date, rows in partitions.by_date(events, "AT"):
        partitions.write(place.events("cards"), date, rows, ["TX"])
    return replace(build(place), registry=Registry(manifest_of()))


def log(platform, rows, name="v3-a.parquet", *, use_case="cards"):
    for date, part in partitions.by_date(rows, "event_timestamp"):
        write_table(part, partitions.location(platform.workspace.predictions(use_case), date, name))


def of_period(events, start=START, end=END):
    return events.filter(
        pa.compute.and_(pa.compute.greater_equal(events["AT"], start), pa.compute.less(events["AT"], end))
    )


def changed(rows, name, values):
    return rows.set_column(rows.column_names.index(name), name, values)


def test_what_was_served_from_the_same_events_is_equal_in_every_row(platform, events):
    rows = of_period(events)
    log(platform, as_served(events, rows))
    found = check_skew(platform, CASE)
    assert (found.version, found.verdict) == (3, "equal")
    assert (found.counts.logged, found.counts.by_key) == (len(rows), len(rows))
    assert (found.comparison.rows, found.comparison.equal) == (len(rows), len(rows))
    assert found.sentences()[0] == f"{len(rows)} of {len(rows)} rows are equal in all inputs, 0 differ"
    assert found.end - found.start == timedelta(days=7)


def test_value_that_was_served_otherwise_is_named_with_its_row(platform, events):
    served = as_served(events, of_period(events))
    values = served["count_7d"].to_numpy(zero_copy_only=False).copy()
    values[4] += 2
    log(platform, changed(served, "count_7d", pa.array(values)))
    found = check_skew(platform, CASE)
    assert found.verdict == "skewed"
    differing = {column.name: column for column in found.comparison.columns if column.differing}
    assert set(differing) == {"count_7d"}
    (first,) = differing["count_7d"].first
    assert first.keys == {"TX": served["TX"][4].as_py(), "CARD": served["CARD"][4].as_py()}
    assert first.served - first.offline == 2
    assert check_skew(platform, CASE, limit=0.01).verdict == "equal"


def test_label_that_came_after_the_answer_is_skew_of_its_windows_alone(platform, events):
    log(platform, as_served(changed(events, "FRAUD", pa.nulls(len(events), pa.int64())), of_period(events)))
    found = check_skew(platform, CASE)
    differing = {column.name: column for column in found.comparison.columns if column.differing}
    assert set(differing) == {"fraud_7d"}
    assert differing["fraud_7d"].only_offline == differing["fraud_7d"].differing > 0


def test_corrected_event_is_compared_as_it_is_now_and_counted_where_it_moved(platform, events):
    served = as_served(events, of_period(events))
    times = served["event_timestamp"].to_pylist()
    times[3] -= timedelta(seconds=1)
    log(platform, changed(served, "event_timestamp", pa.array(times, TIME)))
    found = check_skew(platform, CASE, start=START, end=END)
    assert found.counts.moved == 1
    assert found.counts.by_key == len(served)


def test_rows_without_a_key_are_matched_by_entity_and_time(platform, events):
    served = as_served(events, of_period(events)).drop_columns(["TX"])
    log(platform, served)
    found = check_skew(platform, CASE)
    assert found.counts.by_key == 0
    assert found.counts.by_entities + found.counts.ambiguous == len(served)
    assert found.verdict == "equal"


def test_row_that_became_no_event_is_compared_with_the_events_of_others(platform, events):
    asked = of_period(events).slice(0, 20)
    asked = changed(asked, "AT", pa.array([at + timedelta(minutes=7) for at in asked["AT"].to_pylist()], TIME))
    asked = changed(asked, "TX", pa.array([1, 2, *[None] * 18], pa.int64()))
    log(platform, as_served(events, asked))
    found = check_skew(platform, CASE)
    assert (found.counts.asked, found.verdict) == (20, "equal")


def test_row_that_became_no_event_is_left_out_where_the_log_lacks_what_its_windows_take(platform, events):
    asked = changed(of_period(events), "TX", pa.array([None] * len(of_period(events)), pa.int64()))
    asked = changed(asked, "CARD", pa.array([99] * len(asked)))
    log(platform, as_served(events, asked).drop_columns(["AMOUNT", "to_mean"]))
    names = tuple(name for name in INPUTS if name not in ("AMOUNT", "to_mean"))
    short = manifest_of(inputs=InputSchema(columns=tuple(InputColumn(name=name) for name in names)), derived=())
    found = check_skew(replace(platform, registry=Registry(short)), CASE)
    assert found.counts.unmatched == len(asked)
    assert found.verdict == "nothing_compared"
    assert found.sentences()[0] == "no logged row could be compared"


def test_rows_later_than_the_last_stored_event_wait_for_it(platform, events):
    rows = of_period(events)
    late = changed(rows, "AT", pa.array([at + timedelta(days=7) for at in rows["AT"].to_pylist()], TIME))
    late = changed(late, "TX", pa.array(np.arange(len(late)) + 50_000))
    log(platform, as_served(events, rows))
    log(platform, as_served(events, late), "v3-b.parquet")
    found = check_skew(platform, CASE, start=START, end=END + timedelta(days=8))
    assert (found.counts.ahead, found.counts.by_key, found.verdict) == (len(late), len(rows), "equal")


def test_other_versions_and_times_are_not_looked_at(platform, events):
    served = as_served(events, of_period(events))
    log(platform, served)
    log(platform, changed(served, "model_version", pa.array(["2"] * len(served))), "v2-a.parquet")
    half = START + timedelta(days=2)
    found = check_skew(platform, CASE, version=3, start=START, end=half)
    assert found.counts.logged == len(of_period(events, START, half))


def test_damaged_file_of_the_log_is_told(platform, events):
    log(platform, as_served(events, of_period(events)))
    folder = platform.workspace.predictions("cards")
    with Path(partitions.files(folder)[0]).open("r+b") as file:
        file.truncate(50)
    found = check_skew(platform, CASE)
    assert any(note.startswith("passed over: ") for note in found.notes)


def test_snapshot_without_times_is_compared_by_the_entity(platform, tmp_path):
    case = make_case(
        {"ID": "integer", "AGE": "integer", "LAND": "text", "y": "integer"},
        name="people",
        entities={"person": "ID"},
        data={"key": ["ID"]},
        label={"column": "y"},
        features={"service": "people_v1", "tables": {"facts": {"entity": "person", "columns": ["AGE", "LAND"]}}},
    )
    stored = pa.table({"ID": [1, 2, 3], "AGE": [30, 40, 50], "LAND": ["x", "y", "x"], "y": [0, 1, 0]})
    partitions.write(platform.workspace.events("people"), "2026-01-20", stored, ["ID"])
    served = pa.table(
        {
            "ID": [1, 2, 7, 3],
            "AGE": [30.0, 41.0, None, 50.0],
            "LAND": ["x", "y", None, "x"],
            "event_timestamp": pa.array([START, START, START, START - timedelta(days=2)], TIME),
            "logged_at": pa.array([START] * 4, TIME),
            "model_version": ["3"] * 4,
        }
    )
    log(platform, served, use_case="people")
    land = InputColumn(name="LAND", kind="category", categories=("x", "y"))
    plan = TablePlan(
        project="serin_served", view="facts__1", key="ID", key_type="integer",
        features={"AGE": "integer", "LAND": "text"},
    )  # fmt: skip
    manifest = make_manifest(
        use_case="people", model_name="people", entities=({"name": "ID", "type": "integer"},), request=(),
        calendar=(), timestamp=None, inputs=InputSchema(columns=(InputColumn(name="AGE"), land)),
        online=OnlinePlan(tables=(plan,)),
    )  # fmt: skip
    found = check_skew(replace(platform, registry=Registry(manifest)), case)
    assert (found.counts.by_key, found.counts.asked, found.counts.earlier) == (2, 1, 1)
    assert (found.comparison.rows, found.comparison.equal) == (3, 2)
    (age,) = (column for column in found.comparison.columns if column.differing)
    assert (age.name, age.first[0].served, age.first[0].offline) == ("AGE", 41.0, 40.0)


def test_empty_log_is_no_proof(platform):
    with pytest.raises(UnavailableError, match="no predictions of cards are logged"):
        check_skew(platform, CASE)


def test_version_of_an_earlier_serin_says_how_to_get_another(platform, events):
    log(platform, as_served(events, of_period(events)))
    old = replace(platform, registry=Registry(manifest_of(online=OnlinePlan())))
    with pytest.raises(UnavailableError, match="v3 does not say how count_7d, mean_7d, fraud_7d are made"):
        check_skew(old, CASE)


def test_without_a_champion_there_is_nothing_to_compare(platform):
    with pytest.raises(UnavailableError, match="has no champion yet"):
        check_skew(replace(platform, registry=Registry(None)), CASE)


def test_period_without_time_is_refused(platform):
    with pytest.raises(DataError, match="has no time in it"):
        check_skew(platform, CASE, start=END, end=START)


def test_no_row_of_the_version_is_no_proof(platform, events):
    served = as_served(events, of_period(events))
    log(platform, changed(served, "model_version", pa.array(["2"] * len(served))))
    assert check_skew(platform, CASE).verdict == "nothing_compared"
