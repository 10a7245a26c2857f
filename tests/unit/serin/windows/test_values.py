"""Values from a tail and what was pushed, against a count by hand over all events."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from serin.times import micros
from serin.use_case import WindowFeature, WindowView
from serin.windows.query import Columns, window_features
from serin.windows.tail import EventSchema, Tail, event_id, pack, row_bytes, unpack, with_pushed
from serin.windows.values import OwnEvent, window_values

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


@settings(max_examples=200, deadline=None)
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


@settings(max_examples=60, deadline=None)
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
