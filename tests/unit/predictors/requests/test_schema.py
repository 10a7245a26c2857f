from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from predictors.requests.schema import MAX_ROWS, RequestSchema, Tensor, check_id
from serin.artifact import EventColumns, RequestColumn
from serin.errors import RequestError
from tests.factories import make_manifest

NOW = datetime(2018, 6, 1, 12, tzinfo=UTC)
SCHEMA = RequestSchema(make_manifest())
ROW = {"CUSTOMER": 1, "AMOUNT": 5, "CHANNEL": "chip", "TIME": "2018-05-01T10:00:00+02:00"}
INTEGER, NUMBER = "not a whole number (64 bits)", "not a finite number (32 bits)"
TEXT = "not text of at most 1024 characters (UTF-8, no NUL)"
TIME = "not an ISO 8601 time (2018-06-01T12:00) from 1970 to 2199"
RAW = {"AMOUNT": 5, "CHANNEL": "chip", "count_1d": 2, "rate_7d": None}


def v1(*rows: Any, schema: RequestSchema = SCHEMA) -> Any:
    return schema.from_v1({"instances": list(rows)}, NOW)


def refusal(*rows: Any, schema: RequestSchema = SCHEMA) -> str:
    with pytest.raises(RequestError) as caught:
        v1(*rows, schema=schema)
    return str(caught.value)


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def column(name: str, datatype: str, data: Any, shape: Any = None, parameters: Any = None) -> Tensor:
    return Tensor(name, datatype, [len(data)] if shape is None else shape, data, parameters or {})


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
    assert refusal(without(RAW, "rate_7d")) == "row 0: rate_7d: missing; null is allowed"


def test_model_without_store_features_needs_no_key() -> None:
    schema = RequestSchema(make_manifest(features=()))
    assert v1({"AMOUNT": 1}, schema=schema).raw


def test_calendar_in_a_keyed_row_is_unknown() -> None:
    assert refusal({**ROW, "hour": 3}) == "row 0: column 'hour' is unknown; allowed: CUSTOMER, AMOUNT, CHANNEL, TIME"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("AMOUNT", -0.01, "below 0 (found -0.01)"),
        ("AMOUNT", 1000.5, "above 1000 (found 1000.5)"),
        ("AMOUNT", "5", f"{NUMBER} (found '5')"),
        ("AMOUNT", True, f"{NUMBER} (found True)"),
        ("AMOUNT", None, "missing"),
        ("AMOUNT", float("nan"), "missing"),
        ("AMOUNT", float("inf"), f"{NUMBER} (found inf)"),
        ("AMOUNT", [1], f"{NUMBER} (found [1])"),
        ("AMOUNT", 10**400, f"{NUMBER} (found 100000000000000000...0000000000000000000)"),
        ("CUSTOMER", 1.5, f"{INTEGER} (found 1.5)"),
        ("CUSTOMER", 2**63, f"{INTEGER} (found 9223372036854775808)"),
        ("CUSTOMER", None, "missing"),
        ("CUSTOMER", "1", f"{INTEGER} (found '1')"),
        ("CHANNEL", 5, f"{TEXT} (found 5)"),
        ("CHANNEL", {}, f"{TEXT} (found {{}})"),
        ("CHANNEL", "\ud800", f"{TEXT} (found '\\ud800')"),
        ("TIME", "soon", f"{TIME} (found 'soon')"),
        ("TIME", 5, f"{TIME} (found 5)"),
        ("TIME", "2200-01-01", f"{TIME} (found '2200-01-01')"),
        ("TIME", "1969-12-31T23:59:59", f"{TIME} (found '1969-12-31T23:59:59')"),
        ("TIME", "0001-01-01T00:00:00+23:00", f"{TIME} (found '0001-01-01T00:00:00+23:00')"),
    ],
)
def test_value_that_breaks_a_rule_is_named(name: str, value: Any, problem: str) -> None:
    assert refusal({**ROW, name: value}) == f"row 0: {name}: {problem}"


def test_long_value_is_shown_in_short() -> None:
    assert len(refusal({**ROW, "CHANNEL": "x" * 100_000})) < 200


@pytest.mark.parametrize("value", [9007199254740993.0, 2.0**53, -(2.0**53), 1e19])
def test_float_that_no_longer_tells_integers_apart_is_no_key(value: float) -> None:
    told = "a float beyond 9007199254740991, where it may stand for several whole numbers"
    assert refusal({**ROW, "CUSTOMER": value}) == f"row 0: CUSTOMER: {told} (found {value})"
    tensors = [column("CUSTOMER", "INT64", [value]), column("AMOUNT", "FP64", [5.0])]
    assert tensor_refusal(*tensors) == f"row 0: CUSTOMER: {told} (found {value})"


def test_infinity_is_no_key() -> None:
    assert refusal({**ROW, "CUSTOMER": float("inf")}) == f"row 0: CUSTOMER: {INTEGER} (found inf)"


@pytest.mark.parametrize("value", [2**53 + 1, 2**63 - 1, -(2**63), 2.0**53 - 1])
def test_integer_key_keeps_all_its_64_bits(value: float) -> None:
    schema = RequestSchema(make_manifest(entities=(RequestColumn(name="CUSTOMER", type="integer"),)))
    found = v1({**ROW, "CUSTOMER": value}, schema=schema).columns["CUSTOMER"]
    assert (found, type(found[0])) == ([value], int)


@pytest.mark.parametrize("value", ["0417", "417", " a ", "A", "a", "", "1e3", "é", "e\u0301", "null", "x" * 1024])
def test_text_key_stays_as_it_is(value: str) -> None:
    schema = RequestSchema(make_manifest(entities=(RequestColumn(name="CUSTOMER", type="text"),)))
    assert v1({**ROW, "CUSTOMER": value}, schema=schema).columns["CUSTOMER"] == [value]
    tensors = [column("CUSTOMER", "BYTES", [value.encode()]), column("AMOUNT", "FP64", [5.0])]
    assert schema.from_v2(tensors, NOW).columns["CUSTOMER"] == [value]


def test_number_is_no_text_key() -> None:
    schema = RequestSchema(make_manifest(entities=(RequestColumn(name="CUSTOMER", type="text"),)))
    assert refusal({**ROW, "CUSTOMER": 417}, schema=schema) == f"row 0: CUSTOMER: {TEXT} (found 417)"


def test_text_of_more_characters_than_ingest_takes_is_refused() -> None:
    assert refusal({**ROW, "CHANNEL": "x" * 1025}).startswith(f"row 0: CHANNEL: {TEXT} (found 'xxx")


@pytest.mark.parametrize(
    ("type_", "allowed", "good", "bad"),
    [("text", ("shop", "web"), "web", "Web"), ("text", (1, 2), "1", "3"), ("integer", (1, 2), 2, 3)],
)
def test_value_that_ingest_does_not_allow_is_refused(type_: Any, allowed: Any, good: Any, bad: Any) -> None:
    rule = RequestColumn(name="CHANNEL", type=type_, allowed=allowed, nullable=True)
    schema = RequestSchema(make_manifest(request=(rule,)))
    row = without(ROW, "AMOUNT")
    assert v1({**row, "CHANNEL": good}, {**row, "CHANNEL": None}, schema=schema).columns["CHANNEL"] == [good, None]
    text = refusal({**row, "CHANNEL": bad}, schema=schema)
    assert text == f"row 0: CHANNEL: not one of {allowed[0]}, {allowed[1]} (found {bad!r})"


@pytest.mark.parametrize("value", [1e39, -1e39, 10**39, 3.402823466385289e38])
def test_number_that_is_infinite_in_32_bits_is_refused(value: float) -> None:
    schema = RequestSchema(make_manifest(request=(RequestColumn(name="AMOUNT", type="number"),)))
    text = refusal({"CUSTOMER": 1, "AMOUNT": value}, schema=schema)
    assert text == f"row 0: AMOUNT: {NUMBER} (found {float(value)})"


def test_largest_number_of_32_bits_is_taken() -> None:
    schema = RequestSchema(make_manifest(request=(RequestColumn(name="AMOUNT", type="number"),)))
    largest = float(np.finfo(np.float32).max)
    assert v1({"CUSTOMER": 1, "AMOUNT": largest}, schema=schema).columns["AMOUNT"] == [largest]


def test_feature_that_is_infinite_in_32_bits_is_refused() -> None:
    assert refusal({**RAW, "count_1d": 1e39}) == f"row 0: count_1d: {NUMBER} (found 1e+39)"


def test_column_name_with_a_lone_surrogate_is_unknown() -> None:
    known = "is unknown; allowed: CUSTOMER, AMOUNT, CHANNEL, TIME"
    assert refusal({**ROW, "\ud800": 1}) == f"row 0: column '\\ud800' {known}"
    assert tensor_refusal(column("\ud800", "FP64", [1.0])) == f"column '\\ud800' {known}"


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
    assert text == "row 0: AMOUNT: not true or false (found 1)"


def test_missing_column_is_named() -> None:
    assert refusal(without(ROW, "AMOUNT")) == "row 0: AMOUNT: missing"


def test_unknown_column_is_named() -> None:
    text = "row 0: column 'X' is unknown; allowed: CUSTOMER, AMOUNT, CHANNEL, TIME"
    assert refusal({**ROW, "X": 1}) == text


def test_known_columns_that_a_message_names_are_bounded() -> None:
    schema = RequestSchema(make_manifest(features=tuple(f"f{n}" for n in range(3000))))
    assert refusal({"f0": 1, "X": 1}, schema=schema).endswith(", f43, f44, …")


def test_all_bad_rows_are_named_with_all_that_is_wrong() -> None:
    rows = [ROW, {**ROW, "AMOUNT": -1, "CHANNEL": 5}, 7, {**ROW, "X": 1}, without(ROW, "CUSTOMER")]
    assert refusal(*rows).splitlines() == [
        "4 of 5 rows are refused:",
        f"  row 1: AMOUNT: below 0 (found -1.0); CHANNEL: {TEXT} (found 5)",
        "  row 2: found 7, allowed: an object of column: value",
        "  row 3: column 'X' is unknown; allowed: CUSTOMER, AMOUNT, CHANNEL, TIME",
        "  row 4: CUSTOMER: missing",
    ]


def test_bad_rows_that_are_named_are_bounded_and_all_are_counted() -> None:
    lines = refusal(*[{**ROW, "AMOUNT": "x" * 50, "CHANNEL": ["x" * 50] * 50}] * 1000).splitlines()
    assert (lines[0], lines[-1]) == ("1000 of 1000 rows are refused:", "  and 980 more")
    assert len(lines) == 22
    assert sum(map(len, lines)) < 4200


def test_partial_request_keeps_the_good_rows_and_tells_of_the_others() -> None:
    rows = [ROW, {**ROW, "AMOUNT": -1}, {**ROW, "CUSTOMER": 3}, "row"]
    found = SCHEMA.from_v1({"instances": rows, "parameters": {"partial": True}}, NOW)
    assert (found.count, list(found.numbers), found.columns["CUSTOMER"]) == (2, [0, 2], [1, 3])
    assert found.refused == {
        1: "AMOUNT: below 0 (found -1.0)",
        3: "found 'row', allowed: an object of column: value",
    }


def test_partial_tensors_are_told_of_as_rows_are() -> None:
    tensors = [column("CUSTOMER", "INT64", [1, 2, None]), column("AMOUNT", "FP64", [5.0, -1.0, 5.0])]
    found = SCHEMA.from_v2(tensors, NOW, {"partial": True})
    assert (list(found.numbers), found.columns["AMOUNT"]) == ([0], [5.0])
    assert found.refused == {1: "AMOUNT: below 0 (found -1.0)", 2: "CUSTOMER: missing"}


def test_partial_request_without_a_good_row_is_refused() -> None:
    with pytest.raises(RequestError, match=r"^row 0: AMOUNT: below 0 \(found -1.0\)$"):
        SCHEMA.from_v1({"instances": [{**ROW, "AMOUNT": -1}], "parameters": {"partial": True}}, NOW)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"partail": True}, "parameter 'partail' is unknown; allowed: partial, explain_unknown"),
        ({"content_type": "pd"}, "parameter 'content_type' is unknown; allowed: partial, explain_unknown"),
        ({"partial": "yes"}, "parameter partial: found 'yes', allowed: true or false"),
        ({"explain_unknown": 1}, "parameter explain_unknown: found 1, allowed: true or false"),
        ([], "parameters: found [], allowed: an object of partial, explain_unknown"),
    ],
)
def test_parameters_that_are_not_known_are_refused(parameters: Any, text: str) -> None:
    with pytest.raises(RequestError) as first:
        SCHEMA.from_v1({"instances": [ROW], "parameters": parameters}, NOW)
    with pytest.raises(RequestError) as second:
        SCHEMA.from_v2([column("AMOUNT", "FP64", [1.0])], NOW, parameters)
    assert (str(first.value), str(second.value)) == (text, text)


@pytest.mark.parametrize("body", [None, 5, [], {}, {"instances": None}, {"instances": {}}, {"inputs": []}])
def test_body_without_instances_is_refused(body: Any) -> None:
    with pytest.raises(RequestError, match="the body is not as expected; allowed: "):
        SCHEMA.from_v1(body, NOW)


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
    tensors = [column("CUSTOMER", "INT64", [1]), column("AMOUNT", "FP64", [1.0]), column("CHANNEL", "BYTES", [b"\xff"])]
    assert tensor_refusal(*tensors) == f"row 0: CHANNEL: {TEXT} (found b'\\xff')"


def test_base64_tensor_is_decoded() -> None:
    encoded = column("CHANNEL", "BYTES", ["Y2hpcA==", b"w6k=", None], parameters={"content_type": "base64"})
    tensors = [column("CUSTOMER", "INT64", [1, 2, 3]), column("AMOUNT", "FP64", [5.0] * 3), encoded]
    assert SCHEMA.from_v2(tensors, NOW).columns["CHANNEL"] == ["chip", "é", None]


@pytest.mark.parametrize("value", ["chip!", "Y2hpcA", "é", "/w==", 5])
def test_value_that_is_no_base64_is_refused(value: Any) -> None:
    encoded = column("CHANNEL", "BYTES", [value], parameters={"content_type": "base64"})
    tensors = [column("CUSTOMER", "INT64", [1]), column("AMOUNT", "FP64", [5.0]), encoded]
    assert tensor_refusal(*tensors) == f"row 0: CHANNEL: {TEXT} in base64 (found {value!r})"


@pytest.mark.parametrize(
    ("datatype", "name", "content", "allowed"),
    [
        ("BYTES", "CHANNEL", "np", "no content_type or 'base64'"),
        ("BYTES", "CHANNEL", "Base64", "no content_type or 'base64'"),
        ("BYTES", "CHANNEL", True, "no content_type or 'base64'"),
        ("FP64", "AMOUNT", "base64", "no content_type"),
    ],
)
def test_tensor_of_another_content_type_is_refused(datatype: str, name: str, content: Any, allowed: str) -> None:
    text = tensor_refusal(column(name, datatype, ["x"], parameters={"content_type": content}))
    assert text == f"column {name}: found content_type {content!r}, allowed: {allowed}"


def test_tensor_of_an_unknown_column_is_refused() -> None:
    assert tensor_refusal(column("X", "FP64", [1.0])).startswith("column 'X' is unknown; allowed: CUSTOMER")


def test_inputs_are_those_of_a_keyed_request() -> None:
    assert SCHEMA.inputs == [("CUSTOMER", "INT64"), ("AMOUNT", "FP64"), ("CHANNEL", "BYTES"), ("TIME", "BYTES")]


def test_a_row_may_carry_the_key_of_its_event() -> None:
    key = RequestColumn(name="PAYMENT", type="integer", min=0)
    others = (RequestColumn(name="TIME", type="timestamp"), RequestColumn(name="FRAUD", type="integer"))
    events = EventColumns(columns=(key, *others), key=("PAYMENT", "TIME"), label="FRAUD")
    schema = RequestSchema(make_manifest(events=events))
    assert ("PAYMENT", "INT64") in schema.inputs
    assert v1({**ROW, "PAYMENT": 5}, ROW, schema=schema).columns["PAYMENT"] == [5, None]
    assert v1({**RAW, "PAYMENT": 5}, RAW, schema=schema).columns["PAYMENT"] == [5, None]
    assert refusal({**ROW, "PAYMENT": -5}, schema=schema) == "row 0: PAYMENT: below 0 (found -5)"
    assert refusal({**ROW, "FRAUD": 1}, schema=schema).startswith("row 0: column 'FRAUD' is unknown")
    assert "PAYMENT" not in v1(ROW).columns
