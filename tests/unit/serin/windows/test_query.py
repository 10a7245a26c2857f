"""Window features offline: DuckDB's values are held against the definition, written out event by event."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin.columns import TYPES, TypeName
from serin.errors import DataError
from serin.use_case import WindowFeature, WindowView
from serin.windows.query import Columns, window_features
from tests.examples import examples

COLUMNS = Columns("card", "at", ("id",))
DAY, HOUR, TICK = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KINDS: dict[str, TypeName] = {
    "card": "integer",
    "at": "timestamp",
    "id": "integer",
    "amount": "number",
    "points": "integer",
    "online": "boolean",
    "shop": "text",
}
Event = dict[str, Any]


def table(rows: Sequence[Event]) -> pa.Table:
    return pa.table(
        {name: pa.array([row.get(name) for row in rows], TYPES[kind].arrow) for name, kind in KINDS.items()}
    )


def feature(aggregation: str, column: str | None = None, window: str = "1d", **more: Any) -> WindowFeature:
    name = f"{aggregation}_{column}_{window}_{more.get('delay', 0)}"
    return WindowFeature(name=name, aggregation=aggregation, column=column, window=window, **more)


def every(window: str, delay: str) -> tuple[WindowFeature, ...]:
    """Each aggregation, and each type of column that it can take somewhere."""
    numbers = ("sum amount", "sum points", "mean amount", "mean online", "min amount", "min points", "max online")
    codes = ("distinct shop", "distinct amount", "matches shop", "matches points")
    taken = (what.split() for what in ("count", "since_last", *numbers, *codes))
    return tuple(feature(*what, window=window, delay=delay) for what in taken)


def computed(events: Sequence[Event], view: WindowView, asked: Sequence[Event] | None = None, **more: Any) -> list[Any]:
    rows = None if asked is None else table(asked)
    return window_features(table(events), view, COLUMNS, rows, **more).to_pylist()


def defined(events: Sequence[Event], view: WindowView, asked: Sequence[Event] | None = None) -> list[Any]:
    """What the declaration says, by a look at every event for every feature of every row."""
    return [
        {feature.name: value_of(feature, view, events, own) for feature in view.features}
        for own in (events if asked is None else asked)
    ]


def value_of(feature: WindowFeature, view: WindowView, events: Sequence[Event], own: Event) -> float | None:
    start = own["at"] - feature.delay - feature.window
    if view.hop:
        start = EPOCH + (start - EPOCH) // view.hop * view.hop
    else:
        start += TICK
    seen = [event for event in events if not is_same(event, own) and comes_before(event, own, feature.delay)]
    if view.current and feature.aggregation != "since_last" and not feature.delay:
        seen = [*seen, own]
    found = AGGREGATED[feature.aggregation]([event for event in seen if event["at"] >= start], feature.column, own)
    if found is None:
        return DEFAULTS.get(feature.aggregation) if feature.empty is None else feature.empty
    return float(found)


def is_same(event: Event, own: Event) -> bool:
    return event is own or (event["id"] is not None and event["id"] == own.get("id"))


def comes_before(event: Event, own: Event, delay: timedelta) -> bool:
    if event["card"] is None or event["card"] != own["card"]:
        return False
    if delay or own.get("id") is None:
        return bool(event["at"] <= own["at"] - delay)
    return bool((event["at"], event["id"]) < (own["at"], own["id"]))


def known(rows: Sequence[Event], column: str) -> list[Any]:
    return [row[column] for row in rows if row.get(column) is not None]


def of_known(combine: Callable[[list[Any]], float]) -> Callable[..., float | None]:
    return lambda rows, column, _: combine(values) if (values := known(rows, column)) else None


AGGREGATED: dict[str, Callable[..., float | None]] = {
    "count": lambda rows, *_: len(rows) or None,
    "sum": of_known(sum),
    "mean": of_known(lambda values: math.fsum(values) / len(values)),
    "min": of_known(min),
    "max": of_known(max),
    "distinct": of_known(lambda values: len(set(values))),
    "since_last": lambda rows, _, own: (own["at"] - max(row["at"] for row in rows)).total_seconds() if rows else None,
    "matches": lambda rows, column, own: known(rows, column).count(own.get(column)) or None,
}
DEFAULTS = {"count": 0.0, "sum": 0.0, "distinct": 0.0, "matches": 0.0}


def assert_equal(found: list[Any], wanted: list[Any]) -> None:
    assert len(found) == len(wanted)
    for place, (row, expected) in enumerate(zip(found, wanted, strict=True)):
        for name, value in expected.items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), (place, name)


# Half hours within three days, so that many events have the same time, and many lie on a window's end.
moments = st.integers(0, 144).map(lambda halves: START + halves * HOUR / 2)
rows = st.fixed_dictionaries(
    {
        "card": st.sampled_from([1, 1, 2, -3, None]),
        "at": moments,
        "amount": st.none() | st.integers(-8, 8).map(lambda eighths: eighths / 8),
        "points": st.none() | st.integers(-3, 3),
        "online": st.none() | st.booleans(),
        "shop": st.none() | st.sampled_from(["", "a", "é", "Straße"]),
    }
)
views = st.builds(
    lambda current, hop, windows: WindowView(
        entity="card", current=current, hop=hop, features=tuple(f for window in set(windows) for f in every(*window))
    ),
    st.booleans(),
    st.none() | st.sampled_from(["1h", "5h"]),
    st.lists(st.sampled_from([("5h", "0d"), ("1d", "0d"), ("1d", "5h"), ("2d", "10h")]), min_size=1, max_size=2),
)


def with_keys(found: list[Event], keys: Sequence[int]) -> list[Event]:
    return [row | {"id": key} for row, key in zip(found, keys, strict=False)]


@examples(25)
@given(st.lists(rows, min_size=1, max_size=25), st.permutations(range(-12, 13)), views)
def test_every_value_is_what_the_declaration_says(found, keys, view):
    events = with_keys(found, keys)
    assert_equal(computed(events, view), defined(events, view))


@examples(25)
@given(
    st.lists(rows, min_size=1, max_size=20),
    st.permutations(range(-12, 13)),
    views,
    st.lists(st.tuples(rows, st.none() | st.integers(-14, 14)), max_size=8),
    st.lists(st.integers(0, 19), max_size=4),
)
def test_what_is_asked_about_knows_the_events_and_itself_and_nothing_else(found, keys, view, others, stored):
    events = with_keys(found, keys)
    asked = [row | {"id": key} for row, key in others]
    asked += [events[place] for place in stored if place < len(events)]
    assert_equal(computed(events, view, asked), defined(events, view, asked))


def card_view(**more: Any) -> WindowView:
    amounts = [
        feature(aggregation, "amount", window)
        for aggregation, window in (("mean", "1d"), ("mean", "7d"), ("mean", "30d"), ("max", "30d"))
    ]
    counts = [feature("count", None, window) for window in ("1d", "7d", "30d")]
    risks = [feature("mean", "points", window, delay="7d") for window in ("1d", "7d", "30d")]
    return WindowView(entity="card", features=(*counts, *amounts, *risks), **more)


def many(count: int, cards: int, seed: int = 0) -> list[Event]:
    chance = np.random.default_rng(seed)
    return [
        {
            "card": int(chance.integers(cards)),
            "at": START + timedelta(seconds=int(chance.integers(60 * 86400))),
            "id": place,
            "amount": round(float(chance.exponential(50)), 2),
            "points": int(chance.random() < 0.02),
            "shop": f"shop {chance.integers(20)}",
        }
        for place in range(count)
    ]


def test_a_thousand_events_differ_from_the_definition_in_no_row():
    events = many(6000, 30)
    found, places = computed(events, card_view()), range(0, 6000, 6)
    own = [[event for event in events if event["card"] == card] for card in range(30)]
    wanted = [defined(own[events[place]["card"]], card_view(), [events[place]])[0] for place in places]
    assert len(wanted) == 1000
    assert_equal([found[place] for place in places], wanted)


@pytest.mark.parametrize("asked", [False, True])
def test_buckets_give_what_one_pass_gives(asked):
    events = many(4000, 50)
    view = card_view()
    others = [event | {"id": None, "amount": 7.5} for event in events[:200]] if asked else None
    assert_equal(computed(events, view, others, memory="16MB"), computed(events, view, others))


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    computed(many(3000, 20), card_view(), memory="16MB")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("memory", "found"), [("a lot", "a lot"), ("2", "2"), ("1.5GB", "1.5GB")])
def test_memory_that_is_no_size_is_told(memory, found):
    with pytest.raises(ValueError, match=rf"memory: '{found}' is no size; allowed: a whole number and one of KB, MB"):
        computed(many(10, 2), card_view(), memory=memory)


def at(*times: datetime, **more: Any) -> list[Event]:
    return [{"card": 1, "at": time, "id": place, **more} for place, time in enumerate(times)]


def counts(events: list[Event], asked: list[Event] | None = None, hop: str | None = None, **more: Any) -> list[float]:
    one = WindowFeature(name="n", aggregation="count", window="1d", delay=more.pop("delay", "0d"))
    return [row["n"] for row in computed(events, WindowView(entity="card", hop=hop, features=(one,), **more), asked)]


def test_window_is_open_where_it_begins_and_closed_where_it_ends():
    assert counts(at(START, START + DAY - TICK, START + DAY)) == [1, 2, 2]


def test_delayed_window_holds_what_happened_at_its_end_and_not_what_happened_at_its_beginning():
    times = [START, START + DAY, START + 2 * DAY - TICK, START + 2 * DAY, START + 2 * DAY + TICK]
    assert counts(at(*times), delay="1d") == [0, 1, 1, 1, 1]


def test_events_of_one_time_come_in_the_order_of_their_keys():
    events = [{"card": 1, "at": START, "id": key} for key in (7, -2, 30)]
    assert counts(events) == [2, 1, 3]
    assert counts(events, current=False) == [1, 0, 2]


def test_keys_of_texts_are_ordered_as_their_bytes_and_column_by_column():
    events = pa.table(
        {
            "card": [1] * 4,
            "at": pa.array([START] * 4, pa.timestamp("us", tz="UTC")),
            "branch": ["é", "z", "z", "Z"],
            "number": [1, 2, -2, 9],
        }
    )
    view = WindowView(entity="card", features=(WindowFeature(name="n", aggregation="count", window="1d"),))
    found = window_features(events, view, Columns("card", "at", ("branch", "number")))
    assert found["n"].to_pylist() == [4, 3, 2, 1]


def test_current_event_counts_where_the_view_says_so_and_never_for_the_time_since_the_last():
    events = at(START, START + HOUR, amount=3.0)
    features = (feature("sum", "amount"), feature("since_last"))
    with_it = computed(events, WindowView(entity="card", features=features))
    without = computed(events, WindowView(entity="card", current=False, features=features))
    assert [list(row.values()) for row in with_it] == [[3.0, None], [6.0, 3600.0]]
    assert [list(row.values()) for row in without] == [[0.0, None], [3.0, 3600.0]]


def test_sawtooth_window_begins_at_a_multiple_of_the_hop():
    last = START + DAY + HOUR / 2
    events = at(START - TICK, START, START + HOUR / 4, last)
    assert counts(events) == [1, 2, 3, 1]
    assert counts(events, hop="1h") == [1, 2, 3, 3]


def test_sawtooth_window_that_begins_before_1970_does_so_at_a_multiple_of_the_hop():
    early = EPOCH - DAY + HOUR / 4
    assert counts(at(early - HOUR / 2, early, EPOCH + HOUR / 2), hop="1h") == [1, 2, 2]


@pytest.mark.parametrize("aggregation", ["sum", "mean", "min", "max", "since_last"])
def test_empty_window_has_the_value_that_is_stated(aggregation):
    column = None if aggregation == "since_last" else "amount"
    features = (feature(aggregation, column), feature(aggregation, column, "2d", empty=-1.5))
    (row,) = computed(at(START), WindowView(entity="card", features=features))
    assert list(row.values()) == [0.0 if aggregation == "sum" else None, -1.5]


def test_entity_that_was_never_seen_has_empty_windows_and_its_own_event():
    view = WindowView(entity="card", features=(feature("count"), feature("sum", "amount"), feature("max", "amount")))
    asked = [{"card": 99, "at": START, "amount": 2.0}]
    assert [list(row.values()) for row in computed(at(START), view, asked)] == [[1.0, 2.0, 2.0]]
    past = view.model_copy(update={"current": False})
    assert [list(row.values()) for row in computed(at(START), past, asked)] == [[0.0, 0.0, None]]


def test_row_without_a_key_comes_after_all_events_of_its_time():
    asked = [{"card": 1, "at": START}, {"card": 1, "at": START, "id": 0}]
    assert counts(at(START, START), asked) == [3, 1]


def test_row_with_the_key_of_an_event_takes_its_place_whatever_it_says():
    events = at(START, START + HOUR, amount=1.0)
    view = WindowView(entity="card", features=(feature("sum", "amount"),))
    moved = {"card": 1, "at": START + 2 * HOUR, "id": 0, "amount": 10.0}
    corrected = {"card": 1, "at": START + HOUR, "id": 1, "amount": 20.0}
    found = computed(events, view, [moved, corrected, events[1]])
    assert [next(iter(row.values())) for row in found] == [11.0, 21.0, 2.0]


def test_rows_that_are_asked_about_need_no_columns_but_those_that_count():
    asked = pa.table({"card": [1], "at": pa.array([START + HOUR], pa.timestamp("us", tz="UTC"))})
    view = WindowView(entity="card", current=False, features=(feature("sum", "amount"), feature("matches", "shop")))
    found = window_features(table(at(START, amount=4.0, shop="a")), view, COLUMNS, asked)
    assert [list(row.values()) for row in found.to_pylist()] == [[4.0, 0.0]]


def test_no_events_and_nothing_asked_give_no_rows():
    assert computed([], card_view()) == []
    assert computed(many(3, 1), card_view(), []) == []
    assert counts([], [{"card": 1, "at": START}]) == [1]


def test_number_that_is_not_one_is_missing():
    view = WindowView(
        entity="card", features=tuple(feature(name, "amount") for name in ("sum", "mean", "max", "distinct"))
    )
    events = [{"card": 1, "at": START, "id": 1, "amount": math.nan}, {"card": 1, "at": START, "id": 2, "amount": 2.0}]
    assert [list(row.values()) for row in computed(events, view)] == [[0.0, None, None, 0.0], [2.0, 2.0, 2.0, 1.0]]


def test_one_entity_that_does_not_fit_is_an_error_not_a_full_machine():
    view = WindowView(
        entity="card", features=(feature("distinct", "shop", "60d"), feature("distinct", "points", "60d"))
    )
    with pytest.raises(DataError, match=r"windows of card: the events of one card don't fit into 1MB of memory"):
        computed(many(20_000, 1), view, memory="1MB")


# Each stands for something else in the SQL.
TAKEN = ("given", "entity", "t", "place", "out", "part", "alone", "r", "first_0", "c0", "k0", "f0", "same", "other")


@pytest.mark.parametrize("name", [*TAKEN, 'x"; drop table events; --', "{bucket}", "AT", "Card"])
def test_column_of_any_name_is_only_a_name(name):
    events = table(at(START, START + HOUR, amount=4.0))
    for role in ("card", "at", "id", "amount"):
        renamed = events.rename_columns([name if column == role else column for column in events.column_names])
        names = {column: name if column == role else column for column in KINDS}
        one = WindowFeature(name=name, aggregation="sum", column=names["amount"], window="1d")
        columns = Columns(names["card"], names["at"], (names["id"],))
        view = WindowView(entity="card", features=(one,))
        assert window_features(renamed, view, columns)[name].to_pylist() == [4.0, 8.0]
        assert window_features(renamed, view, columns, renamed.slice(1, 1))[name].to_pylist() == [8.0]
