"""Feast's bytes: what is encoded a column at a time, and read back a value at a time."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin.columns import TYPES, TypeName
from serin.errors import DataError
from serin.online import codec
from tests.examples import examples

INTEGERS = st.integers(-(2**63), 2**63 - 1)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))
OF_TYPE: dict[TypeName, st.SearchStrategy[object]] = {
    "integer": INTEGERS,
    "number": st.floats(allow_nan=False),
    "text": st.text(),
    "boolean": st.booleans(),
    "timestamp": TIMES.map(lambda time: time.replace(microsecond=0)),
}


@pytest.mark.parametrize("kind", OF_TYPE)
@examples(100)
@given(data=st.data())
def test_values_of_a_column_are_read_back_one_by_one(kind: TypeName, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | OF_TYPE[kind], min_size=1, max_size=20))
    stored = codec.values(pa.array(values, TYPES[kind].arrow), kind).tolist()
    assert [codec.value_of(each) for each in stored] == values


def test_time_keeps_whole_seconds() -> None:
    late = datetime(2026, 2, 2, 12, 0, 0, 999_999, tzinfo=UTC)
    (stored,) = codec.values(pa.array([late], TYPES["timestamp"].arrow), "timestamp").tolist()
    assert codec.value_of(stored) == late.replace(microsecond=0)


def test_nan_is_missing() -> None:
    assert codec.values(pa.array([float("nan"), 1.0]), "number").tolist()[0] == b""


def test_slice_of_a_column_is_encoded_as_it_stands() -> None:
    column = pa.array(["first", "second", None, "fourth", "fifth"]).slice(1, 3)
    assert [codec.value_of(each) for each in codec.values(column, "text").tolist()] == ["second", None, "fourth"]


def test_null_of_feasts_own_is_missing() -> None:
    assert codec.value_of(bytes([0x98, 0x01, 0x00])) is None
    assert codec.value_of(b"") is None
    assert codec.value_of(None) is None


def test_value_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match=r"a value of an unknown kind \(its first byte is 0x5a\)"):
        codec.value_of(b"\x5a\x00")


@examples(100)
@given(st.lists(st.integers(0, 2**43), min_size=1, max_size=20))
def test_times_of_rows_are_read_back_to_the_microsecond(microseconds: list[int]) -> None:
    stored = codec.times(np.array(microseconds, np.int64)).tolist()
    assert [codec.time_of(each) for each in stored] == microseconds


@pytest.mark.parametrize(("kind", "keys"), [("integer", INTEGERS), ("text", st.text())])
@examples(100)
@given(data=st.data())
def test_keys_of_a_column_are_those_of_its_entities(
    kind: TypeName, keys: st.SearchStrategy[object], data: st.DataObject
) -> None:
    some = data.draw(st.lists(keys, min_size=1, max_size=20))
    of_column = codec.entity_keys("id", kind, pa.array(some, TYPES[kind].arrow)).tolist()
    assert of_column == [codec.entity_key("id", kind, key) for key in some]
    assert [codec.entity_of(kind, codec.entity_value(kind, key)) for key in some] == some


def test_row_without_a_key_is_refused() -> None:
    with pytest.raises(DataError, match="1 of 3 rows have no id; each has one"):
        codec.entity_keys("id", "integer", pa.array([1, None, 3]))


def test_key_of_a_type_that_is_no_key_is_refused() -> None:
    with pytest.raises(DataError, match="id is of type number, which can't be an entity's key; allowed: integer, text"):
        codec.entity_key("id", "number", 1.0)


@examples(100)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_commands_carry_each_rows_own_bytes(texts: list[bytes]) -> None:
    width = max(len(text) for text in texts) or 1
    data = np.array([list(text.ljust(width, b"\0")) for text in texts], np.uint8)
    mask = np.array([[place < len(text) for place in range(width)] for text in texts])
    packed = codec.commands([b"SET", b"key", codec.Ragged(data, mask)], len(texts))
    assert packed == b"".join(codec.command(b"SET", b"key", text) for text in texts)


@examples(100)
@given(st.text(max_size=40))
def test_fields_are_feasts_hashes(name: str) -> None:
    import mmh3

    assert codec.field("view", name) == mmh3.hash(f"view:{name}", signed=False).to_bytes(4, "little")
