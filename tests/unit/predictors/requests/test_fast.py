"""What the fast decoders take, the schema takes with equal rows: that is the whole of their contract."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.edge.v2 import V2
from predictors.identity import Identity
from predictors.requests.fast import FastDecoder, check_objects
from predictors.requests.rows import Rows
from predictors.requests.schema import RequestSchema, Tensor
from predictors.scoring.kind import Output
from serin.artifact import EventColumns, RequestColumn
from serin.errors import RequestError
from tests.examples import examples
from tests.factories import make_manifest

NOW = datetime(2018, 6, 1, 12, tzinfo=UTC)
EVERY_TYPE = (
    RequestColumn(name="AMOUNT", type="number", min=0, max=1000),
    RequestColumn(name="ANY", type="number", nullable=True),
    RequestColumn(name="CHANNEL", type="text", nullable=True),
    RequestColumn(name="KIND", type="text", allowed=("a", "é", 1)),
    RequestColumn(name="COUNT", type="integer", min=-1.5, nullable=True),
    RequestColumn(name="CODE", type="integer", allowed=(0, 1, 2**53 + 1), max=2**60, nullable=True),
    RequestColumn(name="FLAG", type="boolean", nullable=True),
    RequestColumn(name="BEFORE", type="timestamp", nullable=True),
    RequestColumn(name="odd é-name", type="number", nullable=True),
)
EVENT = EventColumns(columns=(RequestColumn(name="PAYMENT", type="integer"),), key=("PAYMENT",), label="FRAUD")
SCHEMA = RequestSchema(make_manifest(request=EVERY_TYPE, events=EVENT))
WITHOUT_STORE = RequestSchema(make_manifest(request=EVERY_TYPE, features=(), timestamp=None, entities=()))
SCHEMAS = {"store": SCHEMA, "no store": WITHOUT_STORE}
FAST = {name: FastDecoder(schema) for name, schema in SCHEMAS.items()}
COLUMNS = [*SCHEMA.raw, "UNKNOWN"]

# Values as JSON spells them, one a line, each of which somebody may take for another, or not at all.
SPELLED = r"""
0 -0 -0.0 1 -1 1.0 1e0 5E-1 1e2 1000 1000.0000000000001 999.9999999999999 1e400 -1e400 1e-400 5e-324 0.1 01 1. .5 +1
2.2250738585072011e-308 9007199254740993 9007199254740993.0 1152921504606846976 1152921504606846977 0.30000000000000004
9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 18446744073709551615 3.403e38
18446744073709551616 123456789012345678901234567890 3.4028234663852886e38 3.4028234663852887e38 -3.4028234663852889e38
340282346638528859811704183484516925440 NaN Infinity -Infinity null true false [] [1] {} {"a":1} "" "a" "A" "1" "0" "é"
"\u00e9" "e\u0301" "\u0000" "a\u0000b" "\\u0000" "\ud800" "\udc00x" "\ud83d\ude00" "💳" "\u0061" "null" "\/" "\x"
"2018-06-01" "2018-06-01T12:00" "2018-06-01T12:00:00" "2018-06-01T12:00:00.5" "2018-06-01T12:00:00.1234567"
"2018-06-01T12:00:00.9999999" "2018-06-01T12:00:60" "2018-06-01T23:59:60Z" "2018-06-01T24:00:00" "2018-06-01T12:00:00Z"
"2018-06-01t12:00:00z" "2018-06-01T12:00:00+02:00" "2018-06-01T12:00:00-00:00" "2018-06-01T12:00:00+0200" "20180601"
"2018-06-01T12:00:00+23:59:59" "2018-06-01T12:00:00+24:00" "20180601T120000" "2018-W22-5" "2018-02-30" "99999-01-01"
"1969-12-31T23:59:59Z" "1970-01-01T00:30:00+01:00" "2199-12-31T23:59:59.999999" "2200-01-01" "soon"
"0001-01-01T00:00:00+23:00" "9999-12-31T23:59:59-23:00"
"""
SPELLINGS = [
    *SPELLED.split(),
    '"2018-06-01 12:00:00"',
    '" 2018-06-01T12:00:00"',
    '"a b"',
    f'"{"x" * 1024}"',
    f'"{"é" * 1025}"',
]
# Most values are good ones, or hardly any body would be taken.
GOOD = {
    "CUSTOMER": ["1", "7"],
    "AMOUNT": ["5", "0.5", "1000"],
    "KIND": ['"a"', '"1"'],
    "CHANNEL": ['"chip"', "null"],
    "COUNT": ["3", "null"],
    "CODE": ["1", "9007199254740993"],
    "FLAG": ["true", "null"],
    "BEFORE": ['"2018-06-01T12:00:00+02:00"', "null"],
    "TIME": ['"2018-06-01T12:00:00.5"', "null"],
    "PAYMENT": ["9007199254740993", "null"],
}
spellings = st.one_of(
    st.sampled_from(SPELLINGS),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**65), 2**65).map(str),
    st.text(max_size=5).map(lambda text: orjson.dumps(text.encode(errors="ignore").decode()).decode()),
    st.datetimes().map(lambda time: f'"{time.isoformat()}"'),
)


def odd(draw: st.DrawFn, one_in: int) -> bool:
    return draw(st.integers(0, one_in - 1)) == one_in // 2


@st.composite
def values(draw: st.DrawFn, name: str) -> str:
    return draw(spellings) if odd(draw, 30) else draw(st.sampled_from(GOOD.get(name, ["0.25", "null"])))


@st.composite
def given_columns(draw: st.DrawFn, schema: RequestSchema) -> list[str]:
    """Columns of one of the shapes, most of them complete, and some with a column too much, or twice."""
    fields = draw(st.sampled_from([schema.raw, schema.keyed]))
    names = [name for name, field in fields.items() if field.required or draw(st.booleans())]
    if odd(draw, 10):
        names.append(draw(st.sampled_from(COLUMNS)))
    if odd(draw, 20):
        names.pop(draw(st.integers(0, len(names) - 1)))
    return draw(st.permutations(names))


@st.composite
def v1_bodies(draw: st.DrawFn, schema: RequestSchema) -> bytes:
    columns = draw(given_columns(schema))
    rows = [v1_row({name: draw(values(name)) for name in columns}) for _ in range(draw(st.integers(0, 3)))]
    begin = draw(st.sampled_from(['{"x":1,"instances":[', '{"instances":1,"instances":['])) if odd(draw, 20) else V1[0]
    ends = ["]} ", "]},", ",1]}", '],"parameters":{}}', '],"parameters":{"partial":true}}']
    return (begin + ",".join(rows) + (draw(st.sampled_from(ends)) if odd(draw, 10) else V1[1])).encode()


@st.composite
def v2_bodies(draw: st.DrawFn, schema: RequestSchema) -> bytes:
    count = draw(st.integers(0, 3))
    tensors = []
    for name in draw(given_columns(schema)):
        datatype, shape = datatype_of(schema, name), draw(st.sampled_from([[count], [count, 1]]))
        if odd(draw, 60):
            datatype = draw(st.sampled_from(["FP32", "FP16", "INT8", "BYTES", "fp64", "FP8"]))
        if odd(draw, 60):
            shape = draw(st.sampled_from([[], [-1], [1, 2], [1.0], [True], [count, 2]]))
        tensors.append(v2_tensor(name, datatype, [draw(values(name)) for _ in range(count)], shape))
    ends = ['],"id":"r-1"}', '],"id":null}', '],"id":1}', '],"model_name":"x"}', '],"outputs":[]}', '],"more":[[]]}']
    end = draw(st.sampled_from([*ends, '],"parameters":{"explain_unknown":true}}'])) if odd(draw, 3) else V2_ENDS[1]
    return (V2_ENDS[0] + ",".join(tensors) + end).encode()


V1, V2_ENDS = ('{"instances":[', "]}"), ('{"inputs":[', "]}")


def v1_row(values: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{_text(name)}:{value}" for name, value in values.items()) + "}"


def v2_tensor(name: str, datatype: str, values: Sequence[str], shape: Sequence[Any]) -> str:
    head = f'"name":{_text(name)},"datatype":"{datatype}","shape":{orjson.dumps(shape).decode()}'
    return f'{{{head},"data":[{",".join(values)}]}}'


def datatype_of(schema: RequestSchema, name: str) -> str:
    fields = {**schema.keyed, **schema.raw}
    usual = {"integer": "INT64", "number": "FP64", "boolean": "BOOL"}
    return usual.get(fields[name].column.type, "BYTES") if name in fields else "FP64"


def _text(name: str) -> str:
    return orjson.dumps(name).decode()


def told(rows: Rows) -> tuple[Any, ...]:
    """The rows such that -0.0 is not 0.0, and 1 not 1.0; a time of arrival is NOW."""
    times = [NOW if abs(time - datetime.now(UTC)) < timedelta(minutes=5) else time for time in rows.times]
    return (rows.names, repr(list(rows.records)), repr(times), rows.raw, list(rows.numbers), rows.refused, rows.options)


class _Kind:
    """As much of a kind of model as V2 asks of one."""

    outputs = (Output("score", "FP64"),)

    def __init__(self, schema: RequestSchema) -> None:
        self.schema = schema


EDGES: Mapping[str, V2] = {
    name: V2(Identity("card-fraud", "12", "card-fraud-v12"), _Kind(schema), FAST[name])  # type: ignore[arg-type]
    for name, schema in SCHEMAS.items()
}


def same_as_v1(name: str, body: bytes) -> bool:
    """Whether the body is taken; then, or where its number of rows is refused, the schema does the same."""
    return _same(lambda: FAST[name].v1(body), lambda: SCHEMAS[name].from_v1(orjson.loads(body), NOW))


def same_as_v2(name: str, body: bytes) -> bool:
    """As `same_as_v1`."""

    def fast() -> Rows | None:
        found = FAST[name].v2(body)
        if found is None:
            return None
        assert found[0] == EDGES[name].slow(body, None).id
        return found[1]

    return _same(fast, lambda: EDGES[name].slow(body, None).rows())


def same_as_tensors(name: str, given: Sequence[Tensor]) -> bool:
    """As `same_as_v1`."""
    return _same(lambda: FAST[name].tensors(given), lambda: SCHEMAS[name].from_v2(given, NOW))


def _same(fast: Callable[[], Rows | None], slow: Callable[[], Rows]) -> bool:
    try:
        found = fast()
    except RequestError as error:
        text = str(error)
    else:
        assert found is None or told(found) == told(slow())
        return found is not None
    with pytest.raises(RequestError) as caught:
        slow()
    assert str(caught.value) == text
    return False


@pytest.mark.parametrize("name", SCHEMAS)
@given(data=st.data())
@examples(100)
def test_rows_that_are_taken_are_those_of_the_schema(name: str, data: st.DataObject) -> None:
    same_as_v1(name, data.draw(v1_bodies(SCHEMAS[name])))


@pytest.mark.parametrize("name", SCHEMAS)
@given(data=st.data())
@examples(100)
def test_tensors_that_are_taken_are_those_of_the_schema(name: str, data: st.DataObject) -> None:
    same_as_v2(name, data.draw(v2_bodies(SCHEMAS[name])))


@pytest.mark.parametrize("column", SCHEMA.raw)
def test_every_spelling_of_every_column_is_taken_as_the_schema_does(column: str) -> None:
    shapes = [("store", SCHEMA.raw), ("store", SCHEMA.keyed), ("no store", WITHOUT_STORE.raw)]
    for name, fields in shapes:
        good = {field: GOOD.get(field, ["0.25"])[0] for field in fields}
        for spelling in (*SPELLINGS, good.get(column, "0")):
            row = {**good, column: spelling}
            first = same_as_v1(name, (V1[0] + v1_row(row) + V1[1]).encode())
            tensors = [v2_tensor(key, datatype_of(SCHEMAS[name], key), [value], [1]) for key, value in row.items()]
            second = same_as_v2(name, (V2_ENDS[0] + ",".join(tensors) + V2_ENDS[1]).encode())
            assert first == second, (name, spelling)
            if column in good and spelling == good[column]:
                assert first


# What tensors may hold that come as protobuf messages, as raw contents, or from elsewhere.
VALUES: tuple[Any, ...] = (
    *(0, 1, -1, 1.0, -0.0, 0.5, 1000, 1000.5, 5e-324, 1e39, -1e39, float("nan"), float("inf"), float("-inf")),
    *(2**53 + 1, 2.0**53, 2**60, 2**60 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**400, True, False, None),
    *(b"a", b"1", "é".encode(), b"", b"\xff", b"\xed\xa0\x80", b"a\0", b"x" * 1024, b"x" * 1025, "a", "\ud800", "a\0"),
    *(b"2018-06-01", b"2018-06-01T12:00:00+02:00", b"2018-06-01T12:00:00.1234567", b"2200-01-01", b"soon"),
    *([1], [1.0], [], {}, np.float64(1), np.int64(1)),
)


def good_tensors(name: str, fields: Mapping[str, Any], count: int = 1) -> dict[str, Tensor]:
    found = {}
    for column in fields:
        value = orjson.loads(GOOD.get(column, ["0.25"])[0])
        value = value.encode() if isinstance(value, str) else value
        found[column] = Tensor(column, datatype_of(SCHEMAS[name], column), [count], [value] * count)
    return found


@pytest.mark.parametrize("column", SCHEMA.raw)
def test_every_value_of_every_tensor_is_taken_as_the_schema_does(column: str) -> None:
    for name, fields in (("store", SCHEMA.raw), ("store", SCHEMA.keyed), ("no store", WITHOUT_STORE.raw)):
        good = good_tensors(name, fields)
        assert same_as_tensors(name, list(good.values()))
        if column not in good:
            continue
        for value in VALUES:
            for datatype in ("FP64", "FP16", "INT8", "BOOL", "BYTES", "FP8"):
                changed = replace(good[column], data=[value], datatype=datatype)
                same_as_tensors(name, list({**good, column: changed}.values()))


def test_tensors_as_grpc_brings_them_are_taken() -> None:
    for fields in (SCHEMA.raw, SCHEMA.keyed):
        good = good_tensors("store", fields, 3)
        assert same_as_tensors("store", list(good.values()))
        assert same_as_tensors("store", [replace(tensor, shape=[3, 1]) for tensor in reversed(good.values())])
        needed = [tensor for name, tensor in good.items() if fields[name].required]
        assert same_as_tensors("store", needed)
    missing = replace(good_tensors("store", SCHEMA.raw, 3)["rate_7d"], data=[1.0, float("nan"), 2.0])
    assert same_as_tensors("store", list({**good_tensors("store", SCHEMA.raw, 3), "rate_7d": missing}.values()))


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2]},
        {"shape": [1, 2]},
        {"shape": []},
        {"shape": [-1]},
        {"shape": [True]},
        {"shape": [1.0]},
        {"shape": None},
        {"data": []},
        {"data": [1.0, 2.0]},
        {"data": None},
        {"name": "CUSTOMER"},
        {"name": "UNKNOWN"},
        {"parameters": {"content_type": "base64"}},
        {"parameters": {"x": 1}},
    ],
)
@pytest.mark.parametrize("column", ["CUSTOMER", "AMOUNT"])
def test_tensors_that_are_odd_are_left_to_the_schema(column: str, change: dict[str, Any]) -> None:
    good = good_tensors("store", SCHEMA.keyed)
    tensors = [replace(tensor, **change) if name == column else tensor for name, tensor in good.items()]
    try:
        SCHEMA.from_v2(tensors, NOW)
    except RequestError:
        assert not _taken(tensors)
    else:
        same_as_tensors("store", tensors)


def _taken(tensors: Sequence[Tensor]) -> bool:
    try:
        return FAST["store"].tensors(tensors) is not None
    except RequestError:
        return False


@pytest.mark.parametrize("name", SCHEMAS)
def test_usual_bodies_are_taken(name: str) -> None:
    for fields in (SCHEMAS[name].raw, SCHEMAS[name].keyed) if name == "store" else (SCHEMAS[name].raw,):
        row = {field: GOOD.get(field, ["0.25"])[0] for field, of in fields.items() if of.required}
        assert same_as_v1(name, f" {V1[0]} {v1_row(row)} , {v1_row(row)}{V1[1]}\n".encode())
        for shape in ([2], [2, 1]):
            tensors = [
                v2_tensor(key, datatype_of(SCHEMAS[name], key), [value] * 2, shape) for key, value in row.items()
            ]
            assert same_as_v2(name, f'{V2_ENDS[0]}{",".join(tensors)}],"id":"r-1","model_name":"m"}}'.encode())


@pytest.mark.parametrize(
    "column",
    [
        RequestColumn(name='odd "name"', type="number"),
        RequestColumn(name="LISTED", type="number", allowed=(1, 2)),
        RequestColumn(name="NONE", type="integer", allowed=(1, 2), min=3),
        RequestColumn(name="BETWEEN", type="integer", min=0.1, max=0.9),
    ],
)
def test_schema_that_can_not_be_told_to_a_decoder_takes_nothing_fast(column: RequestColumn) -> None:
    schema = RequestSchema(make_manifest(request=(column,)))
    fast = FastDecoder(schema)
    row = {"CUSTOMER": 1, column.name: 1}
    assert fast.v1(orjson.dumps({"instances": [row]})) is None
    tensors = [{"name": name, "datatype": "INT64", "shape": [1], "data": [1]} for name in row]
    assert fast.v2(orjson.dumps({"inputs": tensors})) is None


@pytest.mark.parametrize("row", [b"{}", b'{"AMOUNT": 1, "X": [[{}]]}'])
def test_too_many_rows_are_refused_before_they_are_built(row: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        check_objects(b'{"x": 1, "instances": [' + b",".join([row] * 5000) + b"]}")
    assert str(caught.value) == "the request has 5000 rows; allowed: 1 to 4096"


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [' + b",".join([b'{"AMOUNT": {"x": {}}}'] * 4096) + b"]}",
        b'{"instances": [' + b",".join([b"{}"] * 5000) + b",1]}",
        b'{"instances": [' + b"{" * 5000,
        b'{"instances": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
        b"{" * 5000,
    ],
)
def test_rows_that_are_not_too_many_or_none_are_left_to_the_schema(body: bytes) -> None:
    check_objects(body)


# Values as protobuf holds them, by datatype.
HELD: Mapping[str, list[Any]] = {
    "INT64": [0, 1, -1, -2, 7, 1000, 1001, 2**53 + 1, 2**60, 2**60 + 1, -(2**63), 2**63 - 1],
    "UINT64": [0, 1, 1000, 2**53 + 1, 2**63, 2**64 - 1],
    "INT8": [0, 1, -1, 300],
    "FP64": [
        0.0,
        -0.0,
        0.25,
        1.0,
        1000.0,
        1000.5,
        -1.0,
        3.4e38,
        3.5e38,
        1e308,
        float("nan"),
        float("inf"),
        -float("inf"),
    ],
    "FP32": [0.1, 0.5, float("nan")],
    "FP16": [0.5],
    "BOOL": [True, False],
    "BYTES": [
        *(spelling.encode() for spelling in ("", "a", "A", "é", "1", "a\0b", "💳", "x" * 1024, "x" * 1025, "soon")),
        *(b"\xff", b"\xed\xa0\x80", b"2018-06-01T12:00:00", b"2018-06-01T12:00:00+02:00", b"2200-01-01", b"2018-06-01"),
    ],
}
GOOD_HELD = {**{name: [orjson.loads(value) for value in values] for name, values in GOOD.items()}, "AMOUNT": [5.0, 0.5]}


@st.composite
def tensors(draw: st.DrawFn, schema: RequestSchema) -> list[Tensor]:
    """Most of them good, and without nulls, which protobuf has none of."""
    names, count = draw(given_columns(schema)), draw(st.integers(1, 3))
    known = {**schema.keyed, **schema.raw}
    found = []
    for name in names:
        datatype = datatype_of(schema, name) if not odd(draw, 20) else draw(st.sampled_from([*HELD, "FP99"]))
        good = [value for value in GOOD_HELD.get(name, [0.25]) if value is not None]
        held = [value.encode() if isinstance(value, str) else value for value in good]
        fits = name in known and datatype == datatype_of(schema, name) and not odd(draw, 15)
        values = draw(
            st.lists(st.sampled_from(held if fits else HELD.get(datatype, [0])), min_size=count, max_size=count)
        )
        values = values[: count - 1] if odd(draw, 40) else values
        shape = draw(
            st.sampled_from([[count], [count], [count, 1], [count + 1], [1, count], []])
            if odd(draw, 10)
            else st.just([count])
        )
        parameters = {"content_type": "base64"} if odd(draw, 40) else {}
        found.append(Tensor(name, datatype, shape, values, parameters))
    return found


NUMPY = {"INT64": "<i8", "UINT64": "<u8", "FP64": "<f8", "FP32": "<f4", "FP16": "<f2"}


def with_arrays(given: Sequence[Tensor]) -> list[Tensor]:
    """The same, numbers as arrays."""
    return [
        replace(one, data=np.array(one.data, NUMPY[one.datatype])) if one.datatype in NUMPY else one for one in given
    ]


@pytest.mark.parametrize("name", SCHEMAS)
@given(data=st.data())
@examples(100)
def test_tensors_of_protobuf_that_are_taken_are_those_of_the_schema(name: str, data: st.DataObject) -> None:
    given = data.draw(tensors(SCHEMAS[name]))
    taken = same_as_tensors(name, given)
    assert same_as_tensors(name, with_arrays(given)) == taken
