"""Event logs as a refresh fills them, in a SQLite file and on Redis: what is read equals the offline values."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.features.engine import event_features
from components.features.log import publish_logs
from components.features.plan import log_plans
from components.features.served import served_view
from serin.online.opening import open_store
from serin.online.plan import LogPlan
from serin.online.store import LogMeta, OnlineStore, PushedEvent
from serin.ports import ServedView, ViewSource
from serin.times import micros
from serin.use_case import UseCase, WindowView
from serin.windows.events import EventSchema, event_id, row_bytes
from serin.windows.pushes import with_labels, with_pushed
from serin.windows.tail import unpack
from serin.windows.values import OwnEvent, WindowReader
from tests import services
from tests.factories import make_case

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
US = timedelta(microseconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
MONDAY = START + 40 * DAY
COLUMNS = {
    "id": "integer",
    "at": "timestamp",
    "card": "integer",
    "shop": "text",
    "amount": "number",
    "fraud": "integer",
}
FEATURES = [
    {"name": "n", "aggregation": "count", "window": "7d"},
    {"name": "mean", "aggregation": "mean", "column": "amount", "window": "2d"},
    {"name": "shops", "aggregation": "distinct", "column": "shop", "window": "7d"},
    {"name": "met", "aggregation": "matches", "column": "shop", "window": "10d"},
    {"name": "last", "aggregation": "since_last", "window": "10d"},
    {"name": "frauds", "aggregation": "sum", "column": "fraud", "window": "7d", "delay": "7d"},
]


SAWTOOTH = [{**one, "window": "25d"} for one in FEATURES]


def make(features: list[dict[str, Any]] = FEATURES, key: Sequence[str] = ("id",), **view: Any) -> UseCase:
    return make_case(
        COLUMNS,
        data={"key": list(key)},
        timestamp="at",
        label={"column": "fraud", "delay": "7d"},
        entities={"card": "card"},
        features={"service": "toy_v1", "windows": {"cards": {"entity": "card", "features": features, **view}}},
    )


def view_of(case: UseCase) -> ServedView:
    return served_view(case, ViewSource("cards", ("card",), "event_timestamp", None, ()))


def transactions(count: int = 2000, seed: int = 0) -> pa.Table:
    chance = np.random.default_rng(seed)
    times = [START + timedelta(minutes=int(minute)) for minute in sorted(chance.integers(0, 45 * 1440, count))]
    return pa.table(
        {
            "id": pa.array(range(count)),
            "at": pa.array(times, pa.timestamp("us", tz="UTC")),
            "card": chance.integers(0, 20, count),
            "shop": [f"shop {number}" for number in chance.integers(0, 9, count)],
            "amount": np.round(chance.exponential(50, count), 2),
            "fraud": (chance.random(count) < 0.1).astype(np.int64),
        }
    )


@pytest.fixture(params=["sqlite", "redis"])
def online(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnlineStore]:
    path = tmp_path / "feature_store.yaml"
    if request.param == "sqlite":
        (tmp_path / "online.db").touch()
        path.write_text(f"online_store: {{type: sqlite, path: {tmp_path}/online.db}}\nproject: toy\n")
        yield from opened(path)
    else:
        with services.redis() as address:
            path.write_text(f'online_store: {{type: redis, connection_string: "{address}"}}\nproject: toy\n')
            yield from opened(path)


def opened(path: Path) -> Iterator[OnlineStore]:
    store = open_store(path)
    yield store
    store.close()


def before(events: pa.Table, time: datetime) -> pa.Table:
    return events.filter(pc.less(events["at"], pa.scalar(time, events.schema.field("at").type)))


def publish(online: OnlineStore, case: UseCase, events: pa.Table, as_of: datetime = MONDAY) -> LogPlan:
    """Publish the events as `refresh` does; the log that it filled."""
    publish_logs(online, "p", case, [view_of(case)], as_of, lambda time: before(events, time))
    return log_of(case)


def log_of(case: UseCase) -> LogPlan:
    return log_plans(case, [view_of(case)], "p")["card"]


def known(meta: LogMeta | None) -> LogMeta:
    assert meta
    return meta


def served(online: OnlineStore, log: LogPlan, case: UseCase, rows: list[dict[str, Any]]) -> list[list[float]]:
    """The features of requests, from what the store has."""
    found = asyncio.run(online.read([], [(log, [row["card"] for row in rows])]))
    schema = EventSchema.model_validate_json(known(found.meta[0]).schema)
    values = []
    for row, events in zip(rows, found.events[0], strict=True):
        tail = with_pushed(unpack(events.tail, schema), [json.loads(one) for one in events.pushed.values()], schema)
        tail = with_labels(tail, {key: json.loads(said) for key, said in events.labels.items()}, "fraud", schema)
        own = OwnEvent(micros(row["at"]), event_id(schema, row), row)
        values.append(WindowReader(definition(case), schema).values(tail, own))
    return values


def definition(case: UseCase) -> WindowView:
    return case.features.windows["cards"]


def offline(case: UseCase, events: pa.Table, rows: list[dict[str, Any]]) -> list[list[float]]:
    found = event_features(case, events, view_of(case))
    places = [events["id"].index(row["id"]).as_py() for row in rows]
    return [
        [np.nan if value is None else value for value in found.slice(place, 1).to_pylist()[0].values()]
        for place in places
    ]


def assert_served_as_trained(
    online: OnlineStore, log: LogPlan, case: UseCase, events: pa.Table, rows: list[dict[str, Any]]
) -> None:
    assert rows
    np.testing.assert_allclose(served(online, log, case, rows), offline(case, events, rows), rtol=1e-9)


def following(events: pa.Table, as_of: datetime = MONDAY, span: timedelta = DAY) -> list[dict[str, Any]]:
    times = events["at"]
    after = pc.and_(pc.greater_equal(times, pa.scalar(as_of)), pc.less(times, pa.scalar(as_of + span)))
    found: list[dict[str, Any]] = events.filter(after).to_pylist()
    return found


def first_of_each(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({row["card"]: row for row in reversed(rows)}.values())


def push(online: OnlineStore, log: LogPlan, rows: list[Mapping[str, Any]]) -> None:
    events = [PushedEvent(event_id(log.events, row), row["card"], micros(row["at"]), row_bytes(row)) for row in rows]
    online.push(log, events)


def push_label(online: OnlineStore, log: LogPlan, row: Mapping[str, Any], said: int) -> None:
    online.push_labels(
        log, [PushedEvent(event_id(log.events, row), row["card"], micros(row["at"]), json.dumps(said).encode())]
    )


def pushed_ids(online: OnlineStore, log: LogPlan) -> set[bytes]:
    return {event for one in online.pushed(log).values() for event in one.pushed}


def labels(online: OnlineStore, log: LogPlan) -> set[bytes]:
    return {event for one in online.pushed(log).values() for event in one.labels}


def test_events_after_a_refresh_are_served_as_trained(online):
    case, events = make(), transactions()
    log = publish(online, case, events)
    for row in following(events)[:40]:
        assert_served_as_trained(online, log, case, events, [row])
        push(online, log, [row])


def test_refresh_forgets_what_the_data_have_by_now_and_keeps_what_they_do_not(online, capsys):
    case, events = make(), transactions()
    log = publish(online, case, events)
    today = following(events)
    unknown = today[-1] | {"id": 10**6, "at": MONDAY + 2 * HOUR}
    push(online, log, [*today, unknown])
    assert len(pushed_ids(online, log)) == len(today) + 1
    capsys.readouterr()
    publish(online, case, events, MONDAY + DAY)
    assert pushed_ids(online, log) == {event_id(log.events, unknown)}
    said = capsys.readouterr().out
    assert f"card: {len(today):,} pushed events and 0 pushed labels are in the data now" in said
    assert "1 pushed events are not" in said
    others = [row for row in following(events, MONDAY + DAY) if row["card"] != unknown["card"]]
    assert_served_as_trained(online, log, case, events, first_of_each(others))


def test_pushed_event_that_no_window_reaches_any_more_is_forgotten(online):
    case, events = make(), transactions()
    log = publish(online, case, events)
    push(online, log, [{"id": 10**6, "at": MONDAY, "card": 1, "shop": "a", "amount": 1.0}])
    publish(online, case, events, MONDAY + 40 * DAY)
    assert pushed_ids(online, log) == set()


def test_pushed_event_that_the_data_have_under_another_entity_and_time_is_forgotten(online):
    case, events = make(), transactions()
    log = publish(online, case, events)
    row = following(events)[0]
    push(online, log, [row | {"card": row["card"] + 1, "at": row["at"] + HOUR}])
    publish(online, case, events, MONDAY + DAY)
    assert pushed_ids(online, log) == set()


def test_label_is_forgotten_once_the_data_say_the_same_and_counts_until_then(online):
    case, events = make(), transactions()
    innocent = [row for row in before(events, MONDAY).to_pylist()[-200:] if not row["fraud"]]
    same, other = innocent[0], innocent[1]
    log = publish(online, case, events)
    push_label(online, log, same, 0)
    push_label(online, log, other, 1)
    publish(online, case, events, MONDAY + HOUR)
    assert labels(online, log) == {event_id(log.events, other)}
    guilty = pc.if_else(pc.equal(events["id"], other["id"]), 1, events["fraud"])
    corrected = events.set_column(5, "fraud", guilty)
    rows = [row for row in following(corrected, other["at"] + 7 * DAY, 2 * DAY) if row["card"] == other["card"]]
    publish(online, case, events, MONDAY + 2 * HOUR)
    near = [row for row in rows if row["at"] < MONDAY + 7 * DAY]
    push(online, log, following(corrected, MONDAY + 2 * HOUR, 5 * DAY))
    assert_served_as_trained(online, log, case, corrected, near)
    publish(online, case, corrected, MONDAY + 3 * HOUR)
    assert labels(online, log) == set()


def test_late_and_corrected_events_are_picked_up_by_the_next_refresh(online):
    case, events = make(), transactions()
    late, wrong = pc.equal(events["id"], 1500), pc.equal(events["id"], 1400)
    amounts = pc.if_else(wrong, 9999.0, events["amount"])
    first = events.set_column(4, "amount", amounts).filter(pc.invert(late))
    log = publish(online, case, first)
    publish(online, case, events)
    assert_served_as_trained(online, log, case, events, following(events)[:1])
    again = asyncio.run(online.read([], [(log, list(range(20)))]))
    publish(online, case, events)
    assert asyncio.run(online.read([], [(log, list(range(20)))])) == again


def test_entity_that_is_gone_from_the_data_has_no_events_any_more(online):
    case, events = make(), transactions()
    log = publish(online, case, events)
    publish(online, case, events.filter(pc.not_equal(events["card"], 3)))
    found = asyncio.run(online.read([], [(log, [3, 4])]))
    assert [one.tail is None for one in found.events[0]] == [True, False]


def test_replay_of_the_past_leaves_a_later_log_unless_it_lacks_what_is_new(online, capsys):
    case, events = make(FEATURES[:2]), transactions()
    log = publish(online, case, events)
    meta = online.meta(log)
    publish(online, case, events, MONDAY - 10 * DAY)
    assert online.meta(log) == meta
    assert "the online store keeps the events of card as of 2026-02-10 00:00, which is later" in capsys.readouterr().out
    more = make()
    publish(online, more, events, MONDAY - 10 * DAY)
    assert known(online.meta(log)).end == micros(MONDAY)
    assert_served_as_trained(online, log_of(more), more, events, first_of_each(following(events)))


def test_windows_with_a_hop_are_served_as_trained_from_states_of_hops(online):
    case, events = make(SAWTOOTH, hop="1d"), transactions(12_000)
    log = publish(online, case, events)
    meta = known(online.meta(log))
    assert (micros(MONDAY) - log.events.raw_since(meta.start)) == 8 * DAY // timedelta(microseconds=1)
    (found,) = asyncio.run(online.read([], [(log, list(range(20)))])).events
    tails = [unpack(one.tail, log.events) for one in found]
    assert all(tail.hops for tail in tails)
    late = next(row for row in before(events, MONDAY).to_pylist()[::-1] if not row["fraud"])
    corrected = events.set_column(5, "fraud", pc.if_else(pc.equal(events["id"], late["id"]), 1, events["fraud"]))
    push_label(online, log, late, 1)
    for row in first_of_each(following(events)):
        assert_served_as_trained(online, log, case, corrected, [row])
    push(online, log, following(events, span=8 * DAY))
    assert_served_as_trained(online, log, case, corrected, first_of_each(following(events, MONDAY + 4 * DAY)))
    # A request may be a day older than the refresh.
    assert_served_as_trained(online, log, case, events, before(events, MONDAY).to_pylist()[-200::20])


def test_pushed_event_of_a_merged_hop_counts_from_the_refresh_on_that_knows_it(online):
    case, events = make(SAWTOOTH, hop="1d"), transactions(12_000)
    old = before(events, MONDAY - 10 * DAY).to_pylist()[-3:]
    lacking = events.filter(pc.invert(pc.is_in(events["id"], pa.array([row["id"] for row in old]))))
    log = publish(online, case, lacking)
    asking = [next(row for row in following(events) if row["card"] == one["card"]) for one in old]
    push(online, log, [*old, before(lacking, MONDAY - 10 * DAY).to_pylist()[-1]])
    assert_served_as_trained(online, log, case, lacking, asking)
    publish(online, case, events)
    assert_served_as_trained(online, log, case, events, asking)


def test_log_of_hops_is_made_anew_for_windows_that_need_its_events_one_by_one(online):
    sawtooth, events = make(SAWTOOTH, hop="1d"), transactions(12_000)
    publish(online, sawtooth, events)
    other = make(SAWTOOTH, hop="12h")
    for case, kept in ((sawtooth, True), (other, False), (make(SAWTOOTH), False), (sawtooth, True)):
        there = known(online.meta(log_of(case)))
        log = publish(online, case, events, MONDAY - 2 * DAY)
        assert (online.meta(log) == there) is kept
        assert_served_as_trained(online, log, case, events, first_of_each(following(events)))


def test_log_without_hops_says_nothing_of_them(online):
    log = publish(online, make(), transactions())
    assert json.loads(known(online.meta(log)).schema).keys() == {"timestamp", "key", "numbers", "codes", "since"}


def test_log_holds_no_more_than_the_windows_reach(online):
    case, events = make(), transactions()
    log = publish(online, case, events)
    meta = known(online.meta(log))
    assert (meta.start, meta.end) == (micros(MONDAY - 15 * DAY), micros(MONDAY))
    (found,) = asyncio.run(online.read([], [(log, list(range(20)))])).events
    times = np.concatenate([unpack(one.tail, log.events).times for one in found])
    everything = np.asarray(events["at"].cast(pa.int64()))
    assert sorted(times) == [time for time in everything.tolist() if meta.start <= time < meta.end]


@pytest.mark.parametrize(
    ("first", "key"), [(["id"], ("shop", "id")), (["id", "shop"], ("shop", "id")), (["id"], ("at", "id"))]
)
def test_key_that_was_changed_leaves_pushed_events_and_their_labels_as_they_are(online, first, key, capsys):
    case, events = make(key=first), transactions()
    late = following(events, MONDAY, 4 * DAY)
    log = publish(online, case, events)
    push(online, log, late)
    guilty = next(row for row in late if not row["fraud"])
    push_label(online, log, guilty, 1)
    stored = next(row for row in reversed(before(events, MONDAY).to_pylist()) if not row["fraud"])
    push_label(online, log, stored, 1)
    changed = make(key=key)
    new = publish(online, changed, events)
    assert pushed_ids(online, new) == {event_id(new.events, row) for row in late}
    assert labels(online, new) == {event_id(new.events, guilty)}
    said = capsys.readouterr().out
    assert (
        f"by {', '.join(first)} and are by {', '.join(key)} now (data.key); {len(late)} pushed events are taken over"
        in said
    )
    assert "0 pushed events and 1 pushed labels can't be told by the new key and are forgotten" in said
    truth = pc.if_else(pc.equal(events["id"], guilty["id"]), 1, events["fraud"])
    corrected = events.set_column(5, "fraud", truth)
    assert_served_as_trained(online, new, changed, corrected, [row for row in late if row["card"] == guilty["card"]])
    publish(online, changed, corrected, MONDAY + 5 * DAY)
    assert pushed_ids(online, new) == labels(online, new) == set()


def test_id_of_another_key_is_no_stored_event_and_stops_no_refresh(online):
    case, events = make(key=("shop", "id")), transactions()
    log = publish(online, case, events)
    strange = [b"x", b"", b"\0" * 8, b"shop 1\0", b"\xff\xfe\0" + b"\0" * 8, b"a\0b\0" + b"\0" * 8]
    online.push_labels(log, [PushedEvent(name, 1, 0, b"1") for name in strange])
    publish(online, case, events, MONDAY + HOUR)
    assert labels(online, log) == set(strange)


def test_column_that_the_use_case_dropped_leaves_the_other_features_as_they_are(online):
    case, events = make(), transactions()
    old = view_of(case)
    plain = [feature for feature in FEATURES if feature.get("column") != "shop"]
    less = make_case(
        {name: kind for name, kind in COLUMNS.items() if name != "shop"},
        data={"key": ["id"]},
        timestamp="at",
        label={"column": "fraud", "delay": "7d"},
        entities={"card": "card"},
        features={"service": "toy_v2", "windows": {"cards": {"entity": "card", "features": plain}}},
    )
    kept = events.drop_columns(["shop"])
    publish_logs(online, "p", less, [old, view_of(less)], MONDAY, lambda time: before(kept, time))
    log = log_of(less)
    assert log.name == log_of(case).name
    schema = EventSchema.model_validate_json(known(online.meta(log)).schema)
    assert schema == log.events.model_copy(update={"since": 14 * DAY // US})
    assert_served_as_trained(online, log, less, kept, first_of_each(following(events)))


def test_entity_of_another_type_has_another_log():
    log = log_of(make())
    assert log.model_copy(update={"key_type": "text"}).name != log.name
