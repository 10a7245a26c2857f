"""Values from a tail and what was pushed, against a count by hand over all events."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin.times import micros
from serin.use_case import WindowFeature, WindowView
from serin.windows.aggregations import AGGREGATIONS, MISSING, Events
from serin.windows.events import EventSchema, event_id, row_bytes
from serin.windows.hops import Merged, States, merged, unpack_hops
from serin.windows.packing import pack
from serin.windows.pushes import with_pushed
from serin.windows.query import Columns, window_features
from serin.windows.tail import Tail, unpack
from serin.windows.values import OwnEvent, WindowReader
from tests.examples import examples

START = datetime(2018, 5, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SCHEMA = EventSchema(
    timestamp="at", key={"id": "integer"}, numbers=("amount",), codes={"shop": "text", "amount": "number"}, since=10**12
)
TAKEN = {"distinct": "shop", "matches": "shop", "since_last": None, "count": None}
KINDS = ("count", "sum", "mean", "min", "max", "distinct", "since_last", "matches")

amounts = st.none() | st.sampled_from([-3.0, 0.0, 0.5, 8.25])
events_of_one = st.lists(
    st.tuples(st.integers(0, 12), amounts, st.sampled_from([None, "", "a", "b"])), min_size=1, max_size=14
)
features = st.builds(
    lambda kind, window, delay, empty: WindowFeature(
        name="f",
        aggregation=kind,
        column=TAKEN.get(kind, "amount"),
        window=window * MINUTE,
        delay=delay * MINUTE,
        empty=empty,
    ),
    st.sampled_from(KINDS), st.integers(1, 9), st.sampled_from([0, 0, 1, 4]), st.sampled_from([None, None, -1.0]),
)  # fmt: skip
views = st.builds(
    lambda found, current, hop: WindowView(entity="card", current=current, hop=hop and hop * MINUTE, features=found),
    st.lists(features, min_size=1, max_size=4).map(tuple), st.booleans(), st.sampled_from([None, None, 1, 5]),
)  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    types = [("id", pa.int64()), ("card", pa.int64()), ("at", pa.timestamp("us", tz="UTC")),
             ("amount", pa.float64()), ("shop", pa.string())]  # fmt: skip
    return pa.Table.from_pylist(list(rows), pa.schema(types))


def row(number: int, minute: int, amount: float | None, shop: str | None) -> dict[str, Any]:
    return {"id": number, "card": 1, "at": START + minute * MINUTE, "amount": amount, "shop": shop}


def window_values(view: WindowView, tail: Tail, schema: EventSchema, own: OwnEvent) -> list[float]:
    return WindowReader(view, schema).values(tail, own)


def is_known(feature: WindowFeature, hop: timedelta | None, time: int, schema: EventSchema, start: int) -> bool:
    (known,) = WindowReader(WindowView(entity="card", hop=hop, features=(feature,)), schema).known(time, start)
    return known


def by_hand(view: WindowView, feature: WindowFeature, rows: Sequence[dict[str, Any]], own: dict[str, Any]) -> float:
    """What the use case's words say, event by event."""
    t = own["at"]
    far = t - feature.delay - feature.window
    if view.hop:
        far = START.fromtimestamp(far.timestamp() // view.hop.total_seconds() * view.hop.total_seconds(), UTC)
    inside = []
    for event in sorted(rows, key=lambda each: (each["at"], each["id"])):
        is_own = event["id"] == own["id"]
        after_far = event["at"] >= far if view.hop else event["at"] > far
        before = event["at"] <= t - feature.delay
        if not feature.delay and event["at"] == t:
            before = event["id"] < own["id"]
        if is_own:
            before = view.current and not feature.delay and feature.aggregation != "since_last"
        if after_far and before:
            inside.append(event)
    found = aggregated(feature, inside, own)
    if found is None:
        zero = feature.aggregation in ("count", "sum", "distinct", "matches")
        found = feature.empty if feature.empty is not None else 0.0 if zero else math.nan
    return found


def aggregated(feature: WindowFeature, inside: Sequence[dict[str, Any]], own: dict[str, Any]) -> float | None:
    kind = feature.aggregation
    values = [event[feature.column] for event in inside if feature.column and event[feature.column] is not None]
    if kind == "since_last":
        return (own["at"] - max(event["at"] for event in inside)).total_seconds() if inside else None
    if kind == "matches":
        return float(values.count(own["shop"])) or None
    if kind == "count":
        return float(len(inside)) or None
    if kind == "distinct":
        return float(len(set(values))) or None
    if not values:
        return None
    found = {"sum": sum(values), "mean": sum(values) / len(values), "min": min(values), "max": max(values)}
    return float(found[kind])


def stored(rows: Sequence[dict[str, Any]]) -> Tail:
    packed = dict(pack(table(rows), "card", SCHEMA)) if rows else {}
    return unpack(packed.get(1), SCHEMA)


def of(own: dict[str, Any], *, keyed: bool = True) -> OwnEvent:
    return OwnEvent(micros(own["at"]), event_id(SCHEMA, own) if keyed else None, own)


@examples(200)
@given(events_of_one, views, st.data())
def test_values_of_a_tail_and_pushed_events_are_those_counted_by_hand(
    found: list[tuple[int, float | None, str | None]], view: WindowView, data: st.DataObject
) -> None:
    ids = data.draw(st.permutations(range(-3, len(found) - 3)))
    rows = [row(number, *event) for number, event in zip(ids, found, strict=True)]
    own = data.draw(st.sampled_from(rows))
    pushed = data.draw(st.lists(st.sampled_from(rows), unique_by=lambda each: each["id"]))
    changed = [{**each, "at": START, "amount": 99.0} for each in pushed if data.draw(st.booleans())]
    late = {each["id"] for each in pushed}
    tail = stored([each for each in rows if each["id"] not in late] + changed)
    tail = with_pushed(tail, pushed, SCHEMA)
    assert list(tail.ids) == [
        event_id(SCHEMA, each) for each in sorted(rows, key=lambda each: (each["at"], each["id"]))
    ]
    expected = [by_hand(view, feature, rows, own) for feature in view.features]
    np.testing.assert_allclose(window_values(view, tail, SCHEMA, of(own)), expected, rtol=1e-9)
    alone = with_pushed(tail, [own], SCHEMA)
    np.testing.assert_allclose(window_values(view, alone, SCHEMA, of(own)), expected, rtol=1e-9)


@examples(60)
@given(events_of_one, views, st.data())
def test_values_are_those_of_the_query_over_all_events(
    found: list[tuple[int, float | None, str | None]], view: WindowView, data: st.DataObject
) -> None:
    ids = data.draw(st.permutations(range(-3, len(found) - 3)))
    rows = [row(number, *event) for number, event in zip(ids, found, strict=True)]
    offline = window_features(table(rows), named(view), Columns("card", "at", ("id",)))
    late = {each["id"] for each in data.draw(st.lists(st.sampled_from(rows)))}
    tail = with_pushed(
        stored([each for each in rows if each["id"] not in late]),
        [each for each in rows if each["id"] in late],
        SCHEMA,
    )
    online = [window_values(view, tail, SCHEMA, of(own)) for own in rows]
    expected = np.array([column.to_numpy() for column in offline.columns])
    np.testing.assert_allclose(np.array(online), expected.T, rtol=1e-6)


WHOLE = st.sampled_from([2**63 - 1, -(2**63), -(2**63) + 1, 2**53, 2**53 + 1, 0, None])
LARGE = st.sampled_from([3.4e38, -3.4e38, 5e-324, -5e-324, 1e-45, 0.0, -0.0, None])


@examples(40)
@given(st.one_of(st.lists(WHOLE, min_size=1, max_size=7), st.lists(LARGE, min_size=1, max_size=7)))
def test_numbers_near_the_limits_of_a_column_are_the_same_online_and_offline(found: list[Any]) -> None:
    is_whole = any(isinstance(value, int) for value in found)
    schema = EventSchema(
        timestamp="at",
        key={"id": "integer"},
        numbers=("amount",),
        codes={"amount": "integer" if is_whole else "number"},
        since=10**12,
    )
    rows = [row(number, number, value, None) for number, value in enumerate(found)]
    events = pa.Table.from_pylist(
        rows, table([]).schema.set(3, pa.field("amount", pa.int64() if is_whole else pa.float64()))
    )  # fmt: skip
    view = WindowView(
        entity="card",
        features=tuple(
            WindowFeature(name=kind, aggregation=kind, column="amount", window=9 * MINUTE)
            for kind in ("sum", "mean", "min", "max", "distinct", "matches")
        ),
    )
    offline = window_features(events, view, Columns("card", "at", ("id",)))
    tail = with_pushed(unpack(dict(pack(events[::2], "card", schema))[1], schema), events[1::2].to_pylist(), schema)
    online = [
        window_values(view, tail, schema, OwnEvent(micros(own["at"]), event_id(schema, own), own)) for own in rows
    ]
    expected = np.array([column.to_numpy() for column in offline.columns])
    np.testing.assert_array_equal(np.array(online), expected.T)


HOP = 5 * MINUTE
STATES: States = (
    ("codes", "amount"), ("codes", "shop"), ("count", ""), ("latest", ""),
    ("max", "amount"), ("min", "amount"), ("sum", "amount"),
)  # fmt: skip
BEGIN = micros(START - 60 * MINUTE)
hop_features = st.builds(
    lambda kind, column, window, delay: WindowFeature(
        name="f",
        aggregation=kind,
        column=TAKEN.get(kind, column) if kind != "matches" else "shop",
        window=window * MINUTE,
        delay=delay * MINUTE,
    ),
    st.sampled_from(KINDS), st.just("amount"), st.integers(5, 60), st.sampled_from([0, 0, 5, 10]),
)  # fmt: skip
hop_views = st.builds(
    lambda found, current: WindowView(entity="card", current=current, hop=HOP, features=found),
    st.lists(hop_features, min_size=1, max_size=5).map(tuple), st.booleans(),
)  # fmt: skip
many_events = st.lists(
    st.tuples(st.integers(0, 60), amounts, st.sampled_from([None, "", "a", "b"])), min_size=1, max_size=40
)


def hopped(raw: int, first: int = 60) -> EventSchema:
    """A schema whose log begins `first` minutes before START and has events one by one from minute `raw` on."""
    return SCHEMA.model_copy(
        update={
            "since": (first + raw + 1) * 60_000_000,
            "raw": 60_000_000,
            "hops": {HOP // timedelta(microseconds=1): STATES},
        }
    )


def merged_tail(rows: Sequence[dict[str, Any]], schema: EventSchema) -> Tail:
    """The tail of the rows with all that can be merged merged, even where `pack` would not as it is longer."""
    since = schema.raw_since(BEGIN)
    before = stored([each for each in rows if micros(each["at"]) < since])
    tail = stored([each for each in rows if micros(each["at"]) >= since])
    if not len(before.times):
        return tail
    packed = merged(Merged(before.times, before.numbers, before.codes), schema.hops)
    return replace(tail, hops=unpack_hops(packed, schema.hops, since))


@examples(150)
@given(many_events, hop_views, st.integers(0, 60), st.data())
def test_values_of_merged_hops_and_pushed_events_are_those_of_the_query(
    found: list[tuple[int, float | None, str | None]], view: WindowView, raw: int, data: st.DataObject
) -> None:
    ids = data.draw(st.permutations(range(-3, len(found) - 3)))
    rows = [row(number, *event) for number, event in zip(ids, found, strict=True)]
    offline = window_features(table(rows), named(view), Columns("card", "at", ("id",)))
    schema = hopped(raw)
    since = schema.raw_since(BEGIN)
    assert since == micros(START + raw * MINUTE)
    recent = [each for each in rows if micros(each["at"]) >= since]
    late = {each["id"] for each in data.draw(st.lists(st.sampled_from(recent or rows)))} if recent else set()
    wrong = [{**each, "amount": 99.0} for each in recent if each["id"] in late and data.draw(st.booleans())]
    tail = merged_tail([each for each in rows if each["id"] not in late] + wrong, schema)
    tail = with_pushed(tail, [each for each in rows if each["id"] in late], schema)
    online = np.array([window_values(view, tail, schema, of(own)) for own in rows])
    expected = np.array([column.to_numpy() for column in offline.columns]).T
    known = np.array(
        [[is_known(feature, HOP, micros(own["at"]), schema, BEGIN) for feature in view.features] for own in rows]
    )
    np.testing.assert_allclose(online[known], expected[known], rtol=1e-6)
    # Whoever comes with the event's time or later, as far as the delay goes, knows it.
    after = np.array([[micros(own["at"] - feature.delay) >= since for feature in view.features] for own in rows])
    assert known[after].all()
    if tail.hops:
        assert np.isnan(online[~known]).all()


def test_window_that_needs_events_of_merged_hops_one_by_one_is_not_known() -> None:
    schema = hopped(30)
    feature = WindowFeature(name="n", aggregation="count", window=20 * MINUTE)
    rows = [row(number, number, 1.0, "a") for number in range(40)]
    tail = merged_tail(rows, schema)
    at = {minute: of(row(99, minute, 1.0, "a")) for minute in (29, 30, 35)}
    sawtooth = WindowView(entity="card", hop=HOP, features=(feature,))
    found = {minute: window_values(sawtooth, tail, schema, own)[0] for minute, own in at.items()}
    np.testing.assert_array_equal(list(found.values()), [np.nan, 22.0, 22.0])
    assert [is_known(feature, HOP, own.time, schema, BEGIN) for own in at.values()] == [False, True, True]
    for other in (None, 10 * MINUTE):  # without a hop, and with one that nothing was merged to
        view = sawtooth.model_copy(update={"hop": other})
        assert np.isnan(window_values(view, tail, schema, at[35])[0])
        assert not is_known(feature, other, at[35].time, schema, BEGIN)
    short = feature.model_copy(update={"window": 5 * MINUTE})
    assert window_values(WindowView(entity="card", features=(short,)), tail, schema, at[35]) == [6.0]
    assert is_known(short, None, at[35].time, schema, BEGIN)


def test_what_is_pushed_of_a_merged_hop_does_not_count_twice() -> None:
    schema = hopped(30)
    features = (
        WindowFeature(name="n", aggregation="count", window=60 * MINUTE),
        WindowFeature(name="s", aggregation="sum", column="amount", window=60 * MINUTE),
    )
    view = WindowView(entity="card", hop=HOP, current=False, features=features)
    tail = merged_tail([row(number, number, 1.0, "a") for number in range(40)], schema)
    pushed = [row(5, 5, 50.0, "a"), row(-1, 6, 7.0, "a"), row(38, 38, 3.0, "a")]
    own = of(row(99, 45, 1.0, "a"))
    assert window_values(view, with_pushed(tail, pushed, schema), schema, own) == [40.0, 42.0]


def named(view: WindowView) -> WindowView:
    """The view with a name of its own for each feature."""
    renamed = (each.model_copy(update={"name": f"f{place}"}) for place, each in enumerate(view.features))
    return view.model_copy(update={"features": tuple(renamed)})


def test_an_event_without_a_key_comes_after_all_of_its_time() -> None:
    view = WindowView(entity="card", features=(WindowFeature(name="n", aggregation="count", window=MINUTE),))
    rows = [row(1, 5, 1.0, "a"), row(9, 5, 1.0, "a"), row(3, 6, 1.0, "a")]
    own = row(4, 5, 1.0, "a")
    assert window_values(view, stored(rows), SCHEMA, of(own, keyed=False)) == [3.0]
    assert window_values(view, stored(rows), SCHEMA, of(own)) == [2.0]


def test_what_the_request_says_of_its_own_event_holds() -> None:
    feature = WindowFeature(name="s", aggregation="sum", column="amount", window=9 * MINUTE)
    view = WindowView(entity="card", features=(feature,))
    rows = [row(1, 1, 1.0, "a"), row(2, 2, 50.0, "a")]
    assert window_values(view, stored(rows), SCHEMA, of(row(2, 3, 4.0, "a"))) == [5.0]


def test_an_entity_never_seen_has_counts_of_its_own_event_alone() -> None:
    kinds = [
        WindowFeature(name=kind, aggregation=kind, column=TAKEN.get(kind, "amount"), window=MINUTE) for kind in KINDS
    ]
    own = of(row(2, 3, 4.0, "a"))
    with_own = window_values(WindowView(entity="card", features=tuple(kinds)), unpack(None, SCHEMA), SCHEMA, own)
    np.testing.assert_array_equal(with_own, [1, 4, 4, 4, 4, 1, np.nan, 1])
    view = WindowView(entity="card", current=False, features=tuple(kinds))
    np.testing.assert_array_equal(
        window_values(view, unpack(None, SCHEMA), SCHEMA, own), [0, 0, np.nan, np.nan, np.nan, 0, np.nan, 0]
    )


def test_an_early_label_changes_nothing_before_its_delay() -> None:
    feature = WindowFeature(name="risk", aggregation="mean", column="amount", window=5 * MINUTE, delay=7 * MINUTE)
    view = WindowView(entity="card", features=(feature,))
    rows = [row(1, 0, 0.0, "a"), row(2, 4, 0.0, "a")]
    pushed = [{"id": 2, "at": micros(rows[1]["at"]), "amount": 1.0, "shop": "a"}]
    tail = with_pushed(stored(rows), pushed, SCHEMA)
    risks = [window_values(view, tail, SCHEMA, of(row(50, minute, None, "b")))[0] for minute in (10, 11, 12, 16)]
    np.testing.assert_array_equal(risks, [0.0, 0.5, 1.0, np.nan])


def test_rows_read_from_json_are_those_that_were_written() -> None:
    import json

    own = row(4, 2, 0.1, "é")
    tail = with_pushed(unpack(None, SCHEMA), [json.loads(row_bytes(own))], SCHEMA)
    assert (tail.times.tolist(), tail.numbers["amount"].tolist()) == ([micros(own["at"])], [0.1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_of_one_event_is_that_of_events_with_no_other(kind: str) -> None:
    aggregation, times = AGGREGATIONS[kind], np.array([7], np.int64)
    given: dict[str, list[tuple[Any, Any]]] = {
        "nothing": [(times, 7)],
        "numbers": [(np.array([2.5]), 2.5), (np.array([np.nan]), None), (np.array([-0.0]), -0.0)],
        "codes": [(np.array([3], np.int64), 3), (np.array([MISSING], np.int64), None)],
    }
    for values, value in given[aggregation.takes]:
        assert aggregation.one(value) == aggregation.update(Events(times, values))


def test_numbers_that_are_not_known_are_left_out_of_what_is_not_one_number() -> None:
    known, unknown, infinite = [1.0, 2.0, np.nan, 8.0], [np.nan, np.nan], [np.inf, 1.0, 2.0]
    totals = {name: AGGREGATIONS[name].update for name in ("sum", "min", "max")}

    def of_each(values: list[float]) -> dict[str, Any]:
        return {
            name: total(Events(np.arange(len(values)), np.array(values, np.float64))) for name, total in totals.items()
        }

    assert of_each(known) == {"sum": (3, 11.0), "min": 1.0, "max": 8.0}
    assert of_each(unknown) == {"sum": (0, 0.0), "min": None, "max": None}
    assert of_each(infinite) == {"sum": (3, np.inf), "min": 1.0, "max": np.inf}


def test_reader_of_a_log_without_a_column_tells_the_others_and_knows_which() -> None:
    features = (
        WindowFeature(name="n", aggregation="count", window=9 * MINUTE),
        WindowFeature(name="s", aggregation="sum", column="gone", window=9 * MINUTE),
    )
    reader = WindowReader(WindowView(entity="card", features=features), SCHEMA)
    own = of(row(2, 3, 4.0, "a"))
    np.testing.assert_array_equal(reader.values(stored([row(1, 1, 1.0, "a")]), own), [2.0, np.nan])
    assert list(reader.known(own.time, 0)) == [True, False]


def test_own_event_that_is_stored_at_its_time_or_at_another_counts_once() -> None:
    view = WindowView(
        entity="card", features=(WindowFeature(name="s", aggregation="sum", column="amount", window=9 * MINUTE),)
    )
    tail = stored([row(1, 3, 1.0, "a"), row(2, 3, 10.0, "a"), row(3, 3, 100.0, "a"), row(4, 4, 1000.0, "a")])
    assert window_values(view, tail, SCHEMA, of(row(2, 3, 20.0, "b"))) == [21.0]
    assert window_values(view, tail, SCHEMA, of(row(2, 5, 20.0, "b"))) == [1121.0]
    assert window_values(view, tail, SCHEMA, of(row(2, 2, 20.0, "b"))) == [20.0]
