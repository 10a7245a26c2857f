"""What a fuzz test sends: good requests of every protocol, each with a few things about it changed at random.

Several of the changes were bugs of other servers, as their public reports describe them: no `id` in a V2 request
(kserve/kserve 3094), a shape with -1 (triton-inference-server/server 1649 in JSON, 3563 by gRPC), no shape at all
(2436), data longer than the shape (3158), a JSON body under another content type (2643), a header length out of range
(5649), bodies of more than 4 MB (5840), NaN in tensors (SeldonIO/MLServer 1154, kserve/kserve 3377).
"""

import gzip
import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.event_log import sent, transaction
from tests.predictor_process import row

NAME = "card-fraud"
PREDICT, EXPLAIN = f"/v1/models/{NAME}:predict", f"/v1/models/{NAME}:explain"
INFER, EVENTS = f"/v2/models/{NAME}/infer", "/v1/events"
BINARY = "Inference-Header-Content-Length"

# A row that brings its own features, beside `row()`, whose features are read.
COMPLETE = {
    "TX_AMOUNT": 80.5,
    "CHANNEL": "chip",
    "TX_DATETIME": "2018-06-01T12:00:00",
    "customer_count_1d": 2.0,
    "customer_amount_7d": 90.0,
    "terminal_fraud_rate_7d": 0.5,
}
_DATATYPES = {"CUSTOMER_ID": "INT64", "TERMINAL_ID": "INT64", "CHANNEL": "BYTES", "TX_DATETIME": "BYTES"}

TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "chip", "1", "1.0", "nan", "NaN", "null", "true", "\ud800", "\udfff\ud800", "\x00", "a\x00b",
         "é" * 50, "𝔘", "\u202e", "\ufeff", "' OR 1=1 --", "${jndi:ldap://x}", "../../etc/passwd", "%s%n", "{}",
         "x" * 5000,
         "2018-06-01", "2018-06-01T12:00:00Z", "2018-13-01T00:00:00", "9999-12-31T23:59:59.999999", "0001-01-01",
         "2018-06-01T12:00:00+24:00", "-0", "٣", "1e400", "TX_AMOUNT", "CUSTOMER_ID", "__class__"]
    ),
    st.text(max_size=12),
)  # fmt: skip
NUMBERS = st.one_of(
    st.sampled_from(
        [0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400, -0.0, 0.1, 1e-320, 3.4e38,
         3.5e38, -3.5e38, 1e300, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf")]
    ),
    st.integers(),
    st.floats(),
)  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(TEXTS, SCALARS, max_size=2))
SHAPES = st.one_of(
    st.sampled_from(
        [[], [0], [1], [2], [-1], [1, 1], [1, 2], [1, 1, 1], [4096], [4097], [2**31], [2**63], [2**64], [1.0], [1.5],
         ["1"], [True], [None], [[1]], None, 1, "1", {}, [-1, 16]]
    ),
    st.lists(st.integers(-2, 5), max_size=3),
)  # fmt: skip
DATATYPES = st.sampled_from(
    ["BOOL", "UINT8", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES", "BF16", "STRING",
     "fp64", "", "object", None, 1, []]
)  # fmt: skip
SIZES = st.sampled_from([None, 0, 1, 7, 8, 9, 16, -8, 8.0, 2**31, 2**64, "8", True, [], {}])
_TOKENS = [b"1e400", b"-1e400", b"NaN", b"-Infinity", b"Infinity", b"01", b"+1", b".5", b"1.", b"0x1", b"1e", b"-",
           b"1_0", b"9" * 400, b"1e-400", b"-0.0", b"tru", b"None", b"'a'", b'"\\ud800"', b'"\\u00"', b'"\xff"',
           b'"\x01"', b"",
           b"[", b"{", b"}", b"]", b",", b"1 2", b"/*x*/1", b"\x00"]  # fmt: skip


def mostly(usual: st.SearchStrategy[Any], *others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The usual one in nine of ten cases; `one_of` would pick among all that its parts are made of."""
    return st.sampled_from([usual] * 9 * len(others) + list(others)).flatmap(lambda chosen: chosen)


@dataclass(frozen=True)
class Sent:
    """A request over HTTP."""

    path: str
    body: bytes
    headers: Mapping[str, str | bytes]


def rows(good: Mapping[str, Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows like a good one, each with up to three things about it changed."""
    return st.lists(st.builds(_changed, st.just(good), _changes(VALUES)), min_size=1, max_size=3)


def _changes(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[str, int, Any, Any]]]:
    what = st.sampled_from(["set", "set", "set", "drop", "add"])
    one = st.tuples(what, st.integers(0, 11), values, TEXTS)
    return st.sampled_from([0, 0, 1, 1, 2, 3]).flatmap(lambda count: st.lists(one, min_size=count, max_size=count))


def _changed(good: Mapping[str, Any], changes: list[tuple[str, int, Any, Any]]) -> dict[str, Any]:
    found = dict(good)
    for what, place, value, name in changes:
        if what == "add":
            found[name] = value
        elif found:
            chosen = list(found)[place % len(found)]
            if what == "set":
                found[chosen] = value
            else:
                del found[chosen]
    return found


_OPTIONS = st.sampled_from(["partial", "explain_unknown"])
PARAMETERS = mostly(
    st.one_of(st.none(), st.dictionaries(_OPTIONS, st.booleans(), max_size=2)),
    st.dictionaries(st.one_of(_OPTIONS, st.just("binary_data_output"), TEXTS), VALUES, max_size=2),
    VALUES,
)


def v1_bodies() -> st.SearchStrategy[Any]:
    """What a V1 body holds: mostly a list of rows."""
    instances = mostly(st.one_of(rows(row()), rows(COMPLETE)), st.lists(VALUES, max_size=3), VALUES)
    usual = st.builds(_with, st.fixed_dictionaries({"instances": instances}), PARAMETERS)
    return mostly(usual, st.dictionaries(TEXTS, VALUES, max_size=2), VALUES)


def _with(body: dict[str, Any], parameters: Any) -> dict[str, Any]:
    return body if parameters is None else {**body, "parameters": parameters}


def tensors() -> st.SearchStrategy[list[Any]]:
    """Inputs of a V2 request: a good row's, with up to three things about them changed."""
    one = st.tuples(st.integers(0, 11), _tensor_changes())
    return st.builds(
        _changed_tensors,
        st.sampled_from([row(), COMPLETE]),
        st.integers(1, 3),
        st.sampled_from([0, 0, 1, 1, 2, 3]).flatmap(lambda count: st.lists(one, min_size=count, max_size=count)),
    )


def _tensor_changes() -> st.SearchStrategy[tuple[str, Any]]:
    lists = st.lists(SCALARS, max_size=3)
    return st.one_of(
        st.tuples(st.just("datatype"), DATATYPES),
        st.tuples(st.just("shape"), SHAPES),
        st.tuples(st.just("data"), st.one_of(VALUES, lists, st.lists(lists, max_size=2))),
        st.tuples(st.just("name"), VALUES),
        st.tuples(st.just("parameters"), st.one_of(VALUES, st.builds(lambda size: {"binary_data_size": size}, SIZES))),
        st.tuples(st.just("parameters"), st.builds(lambda kind: {"content_type": kind}, VALUES)),
        st.tuples(st.just("drop key"), st.sampled_from(["name", "shape", "datatype", "data"])),
        st.tuples(st.just("drop"), st.none()),
        st.tuples(st.just("twice"), st.none()),
        st.tuples(st.just("replace"), VALUES),
    )


def _changed_tensors(good: Mapping[str, Any], count: int, changes: list[tuple[int, tuple[str, Any]]]) -> list[Any]:
    found: list[Any] = [tensor(name, value, count) for name, value in good.items()]
    for place, (what, value) in changes:
        if not found:
            break
        chosen = found[place % len(found)]
        if what == "drop":
            found.remove(chosen)
        elif what == "twice":
            found.append(chosen)
        elif what == "replace":
            found[place % len(found)] = value
        elif what == "drop key" and isinstance(chosen, dict):
            chosen.pop(value, None)
        elif isinstance(chosen, dict):
            chosen[what] = value
    return found


def tensor(name: str, value: Any, count: int = 1) -> dict[str, Any]:
    """A good V2 input in JSON."""
    return {"name": name, "datatype": _DATATYPES.get(name, "FP64"), "shape": [count], "data": [value] * count}


def v2_bodies() -> st.SearchStrategy[dict[str, Any]]:
    """What a V2 body holds."""
    outputs = st.lists(
        st.one_of(
            VALUES,
            st.builds(lambda name: {"name": name}, st.one_of(st.sampled_from(["score", "decision"]), VALUES)),
            st.builds(lambda flag: {"name": "score", "parameters": {"binary_data": flag}}, VALUES),
        ),
        max_size=2,
    )
    ids = mostly(st.one_of(st.none(), st.text(max_size=8)), VALUES)
    return st.builds(
        _v2,
        mostly(tensors(), VALUES),
        st.one_of(st.none(), st.builds(lambda value: ("id", value), ids)),
        st.one_of(st.none(), st.builds(lambda value: ("parameters", value), PARAMETERS)),
        mostly(st.none(), st.builds(lambda value: ("outputs", value), outputs), st.tuples(st.just("outputs"), VALUES)),
    )


def _v2(inputs: Any, *more: tuple[str, Any] | None) -> dict[str, Any]:
    return {"inputs": inputs, **dict(each for each in more if each)}


def v2_binary() -> st.SearchStrategy[Sent]:
    """A V2 request with the binary extension: JSON, and columns as bytes behind it."""
    # Which columns are bytes, by bits.
    masks = mostly(st.just(2**12 - 1), st.integers(0, 2**12 - 1))
    sizes = mostly(st.none(), st.tuples(st.integers(0, 11), SIZES))
    path = mostly(st.just(INFER), st.just(PREDICT))
    cuts, lengths = mostly(st.just(0), st.sampled_from([1, 8, -3])), mostly(st.none(), st.sampled_from(_LENGTHS))
    return st.builds(_binary, v2_bodies(), masks, sizes, cuts, lengths, path)


def _binary(
    body: dict[str, Any], mask: int, size: tuple[int, Any] | None, cut: int, length: str | int | None, path: str
) -> Sent:
    blob, items = b"", body["inputs"] if isinstance(body["inputs"], list) else []
    for place, item in enumerate(items):
        if isinstance(item, dict) and "data" in item and mask >> place & 1:
            raw = _raw(item.pop("data"), item.get("datatype"))
            given = size[1] if size and size[0] == place else len(raw)
            parameters = item.get("parameters")
            item["parameters"] = {**(parameters if isinstance(parameters, dict) else {}), "binary_data_size": given}
            blob += raw
    text = dumps(body)
    blob = blob[:-cut] if cut > 0 else blob + b"x" * -cut
    told = length if isinstance(length, str) else str(len(text) + (length or 0))
    return Sent(path, text + blob, {BINARY: told, "Content-Type": "application/octet-stream"})


# What the header says, or by how much it is wrong.
_LENGTHS: list[str | int] = [
    -1, 1, 8, "0", "-1", "abc", "", "1_0", "0x10", " 5", "1e3", "999999999", str(2**64), "\u00b2", "+3", "3.0", "3, 3"
]  # fmt: skip


def _raw(data: Any, datatype: Any) -> bytes:
    values = data if isinstance(data, list) else [data]
    try:
        if datatype == "FP64":
            return struct.pack(f"<{len(values)}d", *values)
        if datatype == "INT64":
            return struct.pack(f"<{len(values)}q", *values)
    except (struct.error, OverflowError, TypeError):
        return b"\xff" * 8
    texts = [str(value).encode(errors="surrogatepass") for value in values]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def events() -> st.SearchStrategy[Any]:
    """What is pushed: events and labels."""
    # Of others, and later, than what good requests ask for.
    good = [sent(transaction(number, number, CUSTOMER_ID=5, TERMINAL_ID=9)) for number in range(4, 7)]
    several = st.lists(st.builds(_changed, st.sampled_from(good), _changes(VALUES)), max_size=3)
    label = {"TRANSACTION_ID": 1, "TX_FRAUD": 1}
    labels = st.lists(st.builds(_changed, st.sampled_from([label, *good]), _changes(VALUES)), max_size=2)
    return mostly(
        st.fixed_dictionaries({"events": mostly(several, VALUES)}, optional={"labels": mostly(labels, VALUES)}),
        st.dictionaries(st.one_of(st.sampled_from(["events", "labels", "instances"]), TEXTS), VALUES, max_size=2),
        VALUES,
    )


def dumps(value: Any) -> bytes:
    """JSON as clients in Python write it: NaN and infinities as they are, lone surrogates escaped."""
    return json.dumps(value).encode()


Change = Callable[[bytes], bytes]


def text_changes() -> st.SearchStrategy[list[Change]]:
    """Changes of a JSON text, mostly none."""
    places = st.integers(0, 10_000)
    one: st.SearchStrategy[Change] = st.one_of(
        st.builds(lambda place: lambda text: text[: place % (len(text) + 1)], places),
        st.builds(lambda place, token: lambda text: _token(text, place, token), places, st.sampled_from(_TOKENS)),
        st.builds(lambda place, token: lambda text: _token(text, place, token), places, st.sampled_from(_TOKENS)),
        st.builds(lambda place, more: lambda text: _inserted(text, place, more), places, st.binary(max_size=3)),
        st.sampled_from(
            [
                lambda text: b"\xef\xbb\xbf" + text,
                lambda text: text + text,
                lambda text: b" \r\n\t" + text + b"\n",
                lambda text: text.decode("latin-1").encode("utf-16"),
                lambda text: text.replace(b'"', b"'"),
                lambda text: b"[" * 100_000 + text,
                lambda text: text.replace(b"{", b'{"a":' * 500 + b"1" + b"}" * 500 + b",{", 1),
                lambda text: text.replace(b":", b":[" + b"[" * 600 + b"]" * 600 + b"],", 1),
                lambda text: re.sub(rb'("TX_AMOUNT": )', rb"\1 1, \1", text),
                lambda text: text[:0],
                lambda text: text + b"\x00",
            ]
        ),
    )
    return st.sampled_from([0, 0, 0, 0, 1, 2]).flatmap(lambda count: st.lists(one, min_size=count, max_size=count))


def _token(text: bytes, place: int, token: bytes) -> bytes:
    found = list(re.finditer(rb'-?\d[\d.e+-]*|"[^"]*"|true|false|null', text))
    if not found:
        return text + token
    chosen = found[place % len(found)]
    return text[: chosen.start()] + token + text[chosen.end() :]


def _inserted(text: bytes, place: int, more: bytes) -> bytes:
    place %= len(text) + 1
    return text[:place] + more + text[place:]


def changed(text: bytes, changes: list[Change]) -> bytes:
    """The text with all changes, one after the other."""
    for change in changes:
        text = change(text)
    return text


ENCODINGS: Mapping[str, Change] = {
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    "x-gzip": gzip.compress,
    "gzip ": lambda text: gzip.compress(text)[:-9],
    " gzip": lambda text: gzip.compress(text) + b"junk",
    "gzip, gzip": lambda text: gzip.compress(gzip.compress(text)),
    "gzip,": lambda text: text,
    "deflate": lambda text: text,
    "br": lambda text: text,
    "identity": lambda text: text,
    "": lambda text: text,
}


def headers() -> st.SearchStrategy[dict[str, str | bytes]]:
    """Headers that mean something to somebody, few at a time."""
    ids: list[str | bytes] = [
        "abc",
        "",
        " ",
        "x" * 256,
        "x" * 257,
        "x" * 4000,
        b"\xff\xfe",
        b"\xc3\xa9",
        b"a\tb",
        "a,b",
        "%0d%0a",
    ]
    traces = ["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01",
              "ff-x", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "x" * 3000]  # fmt: skip
    types = ["application/json", "application/json; charset=utf-16", "text/plain", "application/x-www-form-urlencoded",
             "", "multipart/form-data; boundary=x", "application/cloudevents+json", "application/octet-stream",
             "xxx"]  # fmt: skip
    return st.fixed_dictionaries(
        {},
        optional={
            "Content-Type": st.sampled_from(types),
            "X-Request-Id": st.sampled_from(ids),
            "traceparent": st.sampled_from(traces),
            "tracestate": st.sampled_from(["", "a=b", "=", "x" * 600]),
            "ce-specversion": st.sampled_from(["1.0", "9"]),
            "ce-type": st.just("x"),
            "Accept": st.sampled_from(["text/html", "application/xml", "*/*", ""]),
            "Accept-Encoding": st.sampled_from(["gzip", "br", "*;q=0"]),
            "Expect": st.sampled_from(["100-continue", "x"]),
            "Cookie": st.just("a=" + "b" * 3000),
        },
    )
