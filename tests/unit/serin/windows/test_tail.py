from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from serin.errors import DataError
from serin.windows.aggregations import MISSING
from serin.windows.events import EventSchema, code, event_id, event_key, row_bytes
from serin.windows.hops import States
from serin.windows.packing import pack
from serin.windows.pushes import with_labels, with_pushed
from serin.windows.tail import Tail, unpack

START = datetime(2018, 5, 1, tzinfo=UTC)
SECOND = 1_000_000
FIRST = int(START.timestamp()) * SECOND
SCHEMA = EventSchema(
    timestamp="at", key={"id": "integer"}, numbers=("amount", "label"), codes={"shop": "text"}, since=10**12
)


def events(*rows: tuple[object, ...]) -> pa.Table:
    names = ("id", "card", "at", "amount", "label", "shop")
    columns = [list(column) for column in zip(*rows, strict=True)]
    types = [pa.int64(), pa.int64(), pa.timestamp("us", tz="UTC"), pa.float64(), pa.int64(), pa.string()]
    return pa.table({name: pa.array(c, t) for name, c, t in zip(names, columns, types, strict=True)})


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


EVENTS = events(
    (3, 1, at(5), 2.5, None, "b"),
    (-4, 1, at(5), None, 1, "a"),
    (1, 2, at(0), 7.0, 0, None),
    (9, 1, at(1), 1e9 + 0.1, 0, "a"),
    (5, None, at(1), 1.0, 0, "a"),
    (6, 1, None, 1.0, 0, "a"),
)


def tails(table: pa.Table = EVENTS, schema: EventSchema = SCHEMA, entity: str = "card") -> dict[object, Tail]:
    return {key: unpack(packed, schema) for key, packed in pack(table, entity, schema)}


def test_a_tail_holds_the_events_of_its_entity_in_order_of_time_and_ties_in_that_of_the_key() -> None:
    found = tails()
    assert list(found) == [1, 2]
    tail = found[1]
    assert (tail.times - FIRST).tolist() == [1 * SECOND, 5 * SECOND, 5 * SECOND]
    assert list(tail.ids) == [event_id(SCHEMA, {"id": number}) for number in (9, -4, 3)]
    np.testing.assert_array_equal(tail.numbers["amount"], [1e9 + 0.1, np.nan, 2.5])
    np.testing.assert_array_equal(tail.numbers["label"], [0, 1, np.nan])
    assert tail.codes["shop"].tolist() == [code("a", "text"), code("a", "text"), code("b", "text")]
    assert found[2].codes["shop"].tolist() == [MISSING]


def test_times_below_a_second_are_kept() -> None:
    table = events((1, 1, at(0.000001), 0.1, 0, "a"), (2, 1, at(2), 0.2, 0, "a"))
    assert (tails(table)[1].times - FIRST).tolist() == [1, 2 * SECOND]


def test_no_event_is_no_tail() -> None:
    assert tails(EVENTS.slice(0, 0)) == {}
    tail = unpack(None, SCHEMA)
    assert (len(tail.times), len(tail.ids), set(tail.numbers), set(tail.codes)) == (0, 0, {"amount", "label"}, {"shop"})


def test_a_tail_of_another_schema_is_refused() -> None:
    _, packed = next(pack(EVENTS, "card", SCHEMA))
    with pytest.raises(DataError, match="packed in layout 1 with 4 columns; expected: layout 1 with 3"):
        unpack(packed, SCHEMA.model_copy(update={"codes": {}}))


@pytest.mark.parametrize(
    "key",
    [
        {"id": "integer"},
        {"shop": "text", "id": "integer"},
        {"id": "integer", "at": "timestamp"},
        {"amount": "number", "id": "integer"},
    ],
)
def test_ids_are_ordered_as_keys_are(key: dict[str, str]) -> None:
    schema = EventSchema.model_validate(SCHEMA.model_dump() | {"key": key})
    rows = [
        (number, 1, START, number / 3, 0, shop)
        for number in (-(2**62), -3, 0, 7, 2**62)
        for shop in ("", "a", "ab", "é")
    ]
    table = events(*rows)
    by_key = table.sort_by([(name, "ascending") for name in key]).select(list(key)).to_pylist()
    ids = list(tails(table, schema)[1].ids)
    assert ids == sorted(ids)
    assert ids == [event_id(schema, row) for row in by_key]
    assert [event_key(schema, name) for name in ids] == by_key


def test_an_id_is_found_and_none_that_only_looks_like_one() -> None:
    schema = SCHEMA.model_copy(update={"key": {"shop": "text"}})
    three = events((1, 1, at(0), 1.0, 0, "abc"), (2, 1, at(1), 1.0, 0, "bc"), (3, 1, at(2), 1.0, 0, "c"))
    tail = tails(three, schema)[1]
    places = [tail.place(event_id(schema, {"shop": shop})) for shop in ("abc", "bc", "c", "b", "")]
    assert places == [0, 1, 2, None, None]
    numbers = tails()[1]
    assert [numbers.place(event_id(SCHEMA, {"id": number})) for number in (9, -4, 3, 4)] == [0, 1, 2, None]


def test_values_that_are_equal_have_one_code() -> None:
    assert code(-0.0, "number") == code(0.0, "number") == code(0, "number") != MISSING
    assert code(True, "boolean") == 1
    assert code(None, "text") == code(float("nan"), "number") == MISSING
    assert code(at(0), "timestamp") == FIRST


def test_a_pushed_event_stands_where_its_time_and_its_key_place_it() -> None:
    pushed = [
        {"id": 4, "at": FIRST + 5 * SECOND, "amount": 4.0, "label": None, "shop": "c"},
        {"id": -9, "at": at(5), "amount": 5.0, "label": None, "shop": "c"},
        {"id": 0, "at": FIRST, "amount": 6.0, "label": None, "shop": "c"},
    ]
    tail = with_pushed(tails()[1], pushed, SCHEMA)
    assert list(tail.ids) == [event_id(SCHEMA, {"id": number}) for number in (0, 9, -9, -4, 3, 4)]
    np.testing.assert_array_equal(tail.numbers["amount"], [6.0, 1e9 + 0.1, 5.0, np.nan, 2.5, 4.0])
    assert [tail.place(event) for event in tail.ids] == list(range(6))


def test_a_pushed_event_takes_the_place_of_one_with_its_key() -> None:
    corrected = {"id": -4, "at": FIRST + 9 * SECOND, "amount": 3.0, "shop": None}
    tail = with_pushed(tails()[1], [{**corrected, "amount": 1.0}, corrected], SCHEMA)
    assert list(tail.ids) == [event_id(SCHEMA, {"id": number}) for number in (9, 3, -4)]
    np.testing.assert_array_equal(tail.numbers["amount"], [1e9 + 0.1, 2.5, 3.0])
    assert tail.numbers["label"].tolist()[2] == 1  # it says nothing of the label
    assert tail.codes["shop"].tolist()[2] == MISSING
    assert [tail.place(event) for event in tail.ids] == [0, 1, 2]
    again = with_pushed(tail, [{"id": 3, "at": FIRST, "amount": 0.5}], SCHEMA)
    assert [again.place(event_id(SCHEMA, {"id": number})) for number in (3, 9, -4)] == [0, 1, 2]
    assert again.numbers["amount"].tolist() == [0.5, 1e9 + 0.1, 3.0]


def test_a_label_that_came_later_counts_in_place_of_the_events_own() -> None:
    tail = with_pushed(tails()[1], [{"id": 30, "at": at(9), "amount": 1.0, "shop": "a"}], SCHEMA)
    labels = {event_id(SCHEMA, {"id": number}): value for number, value in ((3, 1), (30, 1), (-4, 0), (77, 1))}
    np.testing.assert_array_equal(with_labels(tail, labels, "label", SCHEMA).numbers["label"], [0, 0, 1, 1])
    assert with_labels(tail, labels, "fraud", SCHEMA) is tail


def test_equal_rows_are_equal_bytes() -> None:
    row = {"id": 1, "at": at(1), "amount": 0.1, "shop": None}
    assert row_bytes(row) == row_bytes(dict(reversed(row.items()))) == row_bytes({**row, "at": FIRST + SECOND})


def test_without_a_key_there_are_no_ids() -> None:
    schema = SCHEMA.model_copy(update={"key": {}})
    tail = tails(EVENTS, schema)[1]
    assert list(tail.ids) == [b"", b"", b""]
    assert tail.place(event_id(schema, {})) is None


HOUR = timedelta(hours=1)
STATES: States = (("codes", "shop"), ("count", ""), ("latest", ""), ("max", "amount"), ("min", "amount"),
                  ("sum", "amount"), ("sum", "label"))  # fmt: skip
HOPPED = SCHEMA.model_copy(update={"numbers": ("amount", "label"), "raw": 0, "hops": {3600 * SECOND: STATES}})
MONTH = 30


def month(count: int, card: int = 1) -> pa.Table:
    chance = np.random.default_rng(0)
    times = np.sort(chance.integers(0, MONTH * 86400, count))
    amounts = np.round(chance.exponential(50, count), 2)
    labels, shops = chance.random(count) < 0.01, chance.integers(0, 4, count)
    return events(
        *(
            (number, card, at(int(times[number])), amounts[number], int(labels[number]), f"shop {shops[number]}")
            for number in range(count)
        )
    )


def test_a_busy_entity_is_at_least_five_times_smaller_by_the_hop() -> None:
    table, since = month(10_000), FIRST + (MONTH - 1) * 86400 * SECOND
    ((_, whole),) = pack(table, "card", SCHEMA)
    ((_, packed),) = pack(table, "card", HOPPED, since)
    assert len(packed) * 5 < len(whole)
    tail, recent = unpack(packed, HOPPED), unpack(whole, SCHEMA)
    assert tail.hops
    assert tail.hops.raw_since == since
    assert tail.times.tolist() == [time for time in recent.times.tolist() if time >= since]
    (counts,) = tail.hops.since(3600 * SECOND, FIRST, "count", "")
    assert int(counts.sum()) + len(tail.times) == 10_000


def test_an_entity_of_few_events_is_packed_as_without_hops() -> None:
    table, since = month(50), FIRST + MONTH * 86400 * SECOND
    assert list(pack(table, "card", HOPPED, since)) == list(pack(table, "card", SCHEMA))
    both = pa.concat_tables([table, month(10_000, card=2)])
    (_, few), (_, many) = pack(both, "card", HOPPED, since)
    assert (unpack(few, HOPPED).hops, unpack(many, HOPPED).hops is None) == (None, False)


def test_a_tail_with_hops_is_refused_by_whom_knows_others() -> None:
    ((_, packed),) = pack(month(10_000), "card", HOPPED, FIRST + MONTH * 86400 * SECOND)
    for states in (STATES[1:], (*STATES, ("max", "label"))):
        other = HOPPED.model_copy(update={"hops": {3600 * SECOND: states}})
        with pytest.raises(DataError, match="an entity's hops"):
            unpack(packed, other)


def test_a_schema_that_merges_begins_its_events_later() -> None:
    assert SCHEMA.raw_since(7) == 7
    assert HOPPED.model_copy(update={"raw": 10**11}).raw_since(7) == 7 + 9 * 10**11
    assert EventSchema.model_validate_json(HOPPED.model_dump_json(exclude_defaults=True)) == HOPPED
