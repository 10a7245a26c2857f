from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from predictors.requests import MAX_ROWS, RequestSchema, Tensor, check_id
from serin.artifact import RequestColumn
from serin.errors import RequestError
from tests.factories import make_manifest

NOW = datetime(2018, 6, 1, 12, tzinfo=UTC)
SCHEMA = RequestSchema(make_manifest())
ROW = {"CUSTOMER": 1, "AMOUNT": 5, "CHANNEL": "chip", "TIME": "2018-05-01T10:00:00+02:00"}
RAW = {"AMOUNT": 5, "CHANNEL": "chip", "count_1d": 2, "rate_7d": None}


def v1(*rows: Any, schema: RequestSchema = SCHEMA) -> Any:
    return schema.from_v1({"instances": list(rows)}, NOW)


def refusal(*rows: Any, schema: RequestSchema = SCHEMA) -> str:
    with pytest.raises(RequestError) as caught:
        v1(*rows, schema=schema)
    return str(caught.value)


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def column(name: str, datatype: str, data: Any, shape: Any = None) -> Tensor:
    return Tensor(name, datatype, [len(data)] if shape is None else shape, data)


def tensor_refusal(*tensors: Tensor) -> str:
    with pytest.raises(RequestError) as caught:
        SCHEMA.from_v2(tensors, NOW)
    return str(caught.value)


def test_keyed_rows_become_columns_with_times_in_utc() -> None:
    rows = v1(ROW, {**ROW, "CUSTOMER": 2.0, "CHANNEL": None})
    assert (rows.count, rows.raw) == (2, False)
    assert rows.columns == {"CUSTOMER": [1, 2], "AMOUNT": [5.0, 5.0], "CHANNEL": ["chip", None]}
    assert rows.times == [datetime(2018, 5, 1, 8, tzinfo=UTC)] * 2


def test_missing_event_time_is_the_time_of_arrival() -> None:
    assert v1(without(ROW, "TIME"), ROW).times == [NOW, datetime(2018, 5, 1, 8, tzinfo=UTC)]


def test_missing_nullable_column_is_null() -> None:
    assert v1(without(ROW, "CHANNEL")).columns["CHANNEL"] == [None]


def test_row_with_features_is_raw_and_needs_no_key() -> None:
    rows = v1(RAW)
    assert rows.raw
    assert rows.columns == {
        "CUSTOMER": [None],
        "AMOUNT": [5.0],
        "CHANNEL": ["chip"],
        "hour": [None],
        "count_1d": [2.0],
        "rate_7d": [None],
    }


def test_raw_row_may_carry_key_and_calendar() -> None:
    columns = v1({**RAW, "CUSTOMER": 7, "hour": 23}).columns
    assert (columns["CUSTOMER"], columns["hour"]) == ([7], [23.0])


def test_raw_row_that_lacks_a_feature_is_refused() -> None:
    assert refusal(without(RAW, "rate_7d")) == "row 0, column rate_7d: found nothing, allowed: a finite number or null"


def test_model_without_store_features_needs_no_key() -> None:
    schema = RequestSchema(make_manifest(features=()))
    assert v1({"AMOUNT": 1}, schema=schema).raw


def test_calendar_in_a_keyed_row_is_unknown() -> None:
    assert refusal({**ROW, "hour": 3}) == "row 0, column 'hour' is unknown; allowed: CUSTOMER, AMOUNT, CHANNEL, TIME"


@pytest.mark.parametrize(
    ("name", "value", "found", "allowed"),
    [
        ("AMOUNT", -0.01, "-0.01", "a finite number of at least 0 and at most 1000"),
        ("AMOUNT", 1000.5, "1000.5", "a finite number of at least 0 and at most 1000"),
        ("AMOUNT", "5", "'5'", "a finite number of at least 0 and at most 1000"),
        ("AMOUNT", True, "True", "a finite number of at least 0 and at most 1000"),
        ("AMOUNT", None, "None", "a finite number of at least 0 and at most 1000"),
        ("AMOUNT", float("nan"), "nan", "a finite number of at least 0 and at most 1000"),
        ("AMOUNT", float("inf"), "inf", "a finite number of at least 0 and at most 1000"),
        ("AMOUNT", [1], "[1]", "a finite number of at least 0 and at most 1000"),
        ("CUSTOMER", 1.5, "1.5", "an integer of 64 bits of at least 0"),
        ("CUSTOMER", 2**63, "9223372036854775808", "an integer of 64 bits of at least 0"),
        ("CUSTOMER", None, "None", "an integer of 64 bits of at least 0"),
        ("CHANNEL", 5, "5", "a text of at most 1024 characters or null"),
        ("CHANNEL", {}, "{}", "a text of at most 1024 characters or null"),
        ("TIME", "soon", "'soon'", "an ISO 8601 time from 1970 to 2199, as in 2018-06-01T12:00:00Z or null"),
        ("TIME", 5, "5", "an ISO 8601 time from 1970 to 2199, as in 2018-06-01T12:00:00Z or null"),
        (
            "TIME",
            "0001-01-01T00:00:00+23:00",
            "'0001-01-01T00:00:00+23:00'",
            "an ISO 8601 time from 1970 to 2199, as in 2018-06-01T12:00:00Z or null",
        ),
    ],
)
def test_value_that_is_not_allowed_is_named(name: str, value: Any, found: str, allowed: str) -> None:
    assert refusal(ROW, {**ROW, name: value}) == f"row 1, column {name}: found {found}, allowed: {allowed}"


def test_long_value_is_shown_in_short() -> None:
    assert len(refusal({**ROW, "CHANNEL": "x" * 100_000})) < 200


@pytest.mark.parametrize("value", [1e39, -1e39, 10**39, 3.402823466385289e38])
def test_number_that_is_infinite_in_32_bits_is_refused(value: float) -> None:
    schema = RequestSchema(make_manifest(request=(RequestColumn(name="AMOUNT", type="number"),)))
    text = refusal({"CUSTOMER": 1, "AMOUNT": 1}, {"CUSTOMER": 1, "AMOUNT": value}, schema=schema)
    assert text.startswith("row 1, column AMOUNT: found ")
    assert text.endswith(", which is infinite in 32 bits, allowed: a finite number")


def test_integer_beyond_64_bit_floats_is_no_number() -> None:
    assert refusal({**ROW, "AMOUNT": 10**400}).startswith("row 0, column AMOUNT: found 1000")


def test_largest_number_of_32_bits_is_taken() -> None:
    schema = RequestSchema(make_manifest(request=(RequestColumn(name="AMOUNT", type="number"),)))
    largest = float(np.finfo(np.float32).max)
    assert v1({"CUSTOMER": 1, "AMOUNT": largest}, schema=schema).columns["AMOUNT"] == [largest]


def test_feature_that_is_infinite_in_32_bits_is_refused() -> None:
    text = refusal({**RAW, "count_1d": 1e39})
    assert text == (
        "row 0, column count_1d: found 1e+39, which is infinite in 32 bits, allowed: a finite number or null"
    )


def test_text_with_a_lone_surrogate_is_refused_in_rows_and_tensors() -> None:
    text = (
        "row 0, column CHANNEL: found '\\ud800', which is not UTF-8, allowed: a text of at most 1024 characters or null"
    )
    assert refusal({**ROW, "CHANNEL": "\ud800"}) == text
    keys = column("CUSTOMER", "INT64", [1]), column("AMOUNT", "FP64", [5.0])
    assert tensor_refusal(*keys, column("CHANNEL", "BYTES", ["\ud800"])) == text


def test_entity_key_with_a_lone_surrogate_is_refused() -> None:
    schema = RequestSchema(make_manifest(entities=(RequestColumn(name="CUSTOMER", type="text"),)))
    text = refusal({**ROW, "CUSTOMER": "c\udfff"}, schema=schema)
    assert text.startswith("row 0, column CUSTOMER: found 'c\\udfff', which is not UTF-8, allowed: a text")


def test_column_name_with_a_lone_surrogate_is_unknown() -> None:
    assert refusal({**ROW, "\ud800": 1}).startswith("row 0, column '\\ud800' is unknown; allowed: CUSTOMER")
    assert tensor_refusal(column("\ud800", "FP64", [1.0])).startswith("column '\\ud800' is unknown; allowed: CUSTOMER")


def test_event_time_in_the_future_is_taken() -> None:
    assert v1({**ROW, "TIME": "2019-01-01T00:00:00"}).times == [datetime(2019, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize("request_id", ["r-1", "é" * 256, "\U0001f4b3"])
def test_request_id_of_256_characters_is_taken(request_id: str) -> None:
    assert check_id(request_id) == request_id


def test_longer_request_id_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        check_id("x" * 257)
    assert str(caught.value) == "the request id has 257 characters; allowed: a text of at most 256 characters"


def test_request_id_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        check_id("r-\ud800")
    assert str(caught.value) == (
        "the request id: found 'r-\\ud800', which is not UTF-8, allowed: a text of at most 256 characters"
    )


def test_boolean_column_takes_booleans_only() -> None:
    schema = RequestSchema(make_manifest(request=(RequestColumn(name="AMOUNT", type="boolean"),)))
    assert v1({"CUSTOMER": 1, "AMOUNT": True}, schema=schema).columns["AMOUNT"] == [True]
    text = refusal({"CUSTOMER": 1, "AMOUNT": 1}, schema=schema)
    assert text == "row 0, column AMOUNT: found 1, allowed: true or false"


def test_missing_column_is_named() -> None:
    text = refusal(ROW, without(ROW, "AMOUNT"))
    assert text.startswith("row 1, column AMOUNT: found nothing, allowed: a finite number")


def test_unknown_column_is_named() -> None:
    assert refusal(ROW, {**ROW, "X": 1}).startswith("row 1, column 'X' is unknown; allowed: CUSTOMER, AMOUNT")


@pytest.mark.parametrize("body", [None, 5, [], {}, {"instances": None}, {"instances": {}}, {"inputs": []}])
def test_body_without_instances_is_refused(body: Any) -> None:
    with pytest.raises(RequestError, match="the body is not as expected; allowed: "):
        SCHEMA.from_v1(body, NOW)


def test_row_that_is_no_object_is_refused() -> None:
    assert refusal(ROW, [1, 2]) == "row 1: found [1, 2], allowed: an object of column: value"


def test_rows_are_bounded() -> None:
    assert refusal() == "the request has 0 rows; allowed: 1 to 4096"
    assert refusal(*[ROW] * (MAX_ROWS + 1)) == "the request has 4097 rows; allowed: 1 to 4096"
    assert v1(*[ROW] * MAX_ROWS).count == MAX_ROWS


def test_tensors_become_the_same_rows_as_instances() -> None:
    tensors = [
        column("CUSTOMER", "INT64", [1, 2]),
        column("AMOUNT", "FP64", [[5.0], [5.0]], [2, 1]),
        column("CHANNEL", "BYTES", [b"chip", "chip"]),
        column("TIME", "BYTES", [ROW["TIME"]] * 2),
    ]
    assert SCHEMA.from_v2(tensors, NOW) == v1(ROW, {**ROW, "CUSTOMER": 2})


def test_nan_in_a_raw_tensor_is_a_missing_feature() -> None:
    tensors = [column("AMOUNT", "FP32", [5.0])]
    tensors += [column(name, "FP64", [float("nan")]) for name in ("count_1d", "rate_7d")]
    assert SCHEMA.from_v2(tensors, NOW).columns["count_1d"] == [None]


def test_request_without_tensors_is_refused() -> None:
    assert tensor_refusal() == "the request has no inputs; allowed: one tensor a column"


@pytest.mark.parametrize("shape", [[], [1, 2], [1, 1, 1], [-1], ["1"], "1", None])
def test_tensor_of_another_shape_is_refused(shape: Any) -> None:
    text = tensor_refusal(Tensor("AMOUNT", "FP64", shape, [1.0]))
    assert text == f"column 'AMOUNT': found shape {shape!r}, allowed: [n] or [n, 1]"


def test_tensor_whose_data_do_not_fill_its_shape_is_refused() -> None:
    text = tensor_refusal(column("AMOUNT", "FP64", [1.0, 2.0], [3]))
    assert text == "column AMOUNT: found 2 values, allowed: 3, as its shape says"


def test_tensors_of_different_lengths_are_refused() -> None:
    text = tensor_refusal(column("AMOUNT", "FP64", [1.0]), column("CUSTOMER", "INT64", [1, 2]))
    assert text == "column CUSTOMER: found 2 rows, allowed: 1, as in the first column"


def test_tensor_of_another_datatype_is_refused() -> None:
    text = tensor_refusal(column("TIME", "INT64", [1]))
    assert text == "column TIME: found datatype 'INT64', allowed: BYTES"


def test_tensor_given_twice_is_refused() -> None:
    text = tensor_refusal(column("AMOUNT", "FP64", [1.0]), column("AMOUNT", "FP64", [1.0]))
    assert text == "column AMOUNT: found it more than once, allowed: once"


def test_tensor_that_is_no_utf8_is_refused() -> None:
    text = tensor_refusal(column("CHANNEL", "BYTES", [b"\xff"]))
    assert text.startswith("row 0, column CHANNEL: found b'\\xff', which is not UTF-8, allowed: a text")


def test_tensor_of_an_unknown_column_is_refused() -> None:
    assert tensor_refusal(column("X", "FP64", [1.0])).startswith("column 'X' is unknown; allowed: CUSTOMER")


def test_inputs_are_those_of_a_keyed_request() -> None:
    assert SCHEMA.inputs == [("CUSTOMER", "INT64"), ("AMOUNT", "FP64"), ("CHANNEL", "BYTES"), ("TIME", "BYTES")]
