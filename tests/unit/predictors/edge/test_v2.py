"""V2's raw contents, and the outputs that a request asks for."""

import json
import struct
from typing import Any

import numpy as np
import orjson
import pytest

from tests.edge import ANSWER, INFER, PREDICT, TENSORS, V2_BODY, Edge, Pairs


def binary(inputs: list[dict[str, Any]], raw: bytes = b"", **more: Any) -> tuple[bytes, Pairs]:
    """A V2 body with raw contents, and its headers."""
    head = orjson.dumps({"inputs": inputs, **more})
    return head + raw, [(b"inference-header-content-length", b"%d" % len(head))]


def raw_input(name: str, datatype: str, size: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [1], "parameters": {"binary_data_size": size}}


RAW = [raw_input("CUSTOMER", "INT64", 8), raw_input("AMOUNT", "FP16", 2), raw_input("CHANNEL", "BYTES", 8)]
CONTENTS = struct.pack("<qe", 1, 500) + struct.pack("<I4s", 4, b"chip")


@pytest.mark.parametrize(
    ("more", "binaries"),
    [
        ({"parameters": {"binary_data_output": True}}, ("score", "decision", "model_version")),
        ({"outputs": [{"name": "score", "parameters": {"binary_data": True}}, {"name": "decision"}]}, ("score",)),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "score", "parameters": {"binary_data": False}}, {"name": "model_version"}],
            },
            ("model_version",),
        ),
        ({"outputs": [{"name": "decision"}, {"name": "score"}]}, ()),
    ],
)
def test_outputs_are_those_that_are_asked_for_and_encoded_so(
    edge: Edge, more: dict[str, Any], binaries: tuple[str, ...]
) -> None:
    from kserve import InferResponse

    body, headers = binary(RAW, CONTENTS, **more)
    assert edge.post(INFER, body, headers) == 200, edge.answer
    size = int(edge.headers.get("inference-header-content-length", len(edge.answer)))
    assert edge.headers["content-type"] == ("application/octet-stream" if binaries else "application/json")
    told = json.loads(edge.answer[:size])["outputs"]
    asked = [output["name"] for output in more.get("outputs", [])] or ["score", "decision", "model_version"]
    assert [output["name"] for output in told] == asked
    assert tuple(output["name"] for output in told if "data" not in output) == binaries
    read = InferResponse.from_bytes(edge.answer, size)
    assert {output.name: output.data for output in read.outputs} == {name: [ANSWER[name]] for name in asked}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"outputs": [{"name": "other"}]}, "output 'other' is unknown; allowed: score, decision, model_version"),
        ({"outputs": [{"name": "row"}]}, "output 'row' is unknown; allowed: score, decision, model_version"),
        (
            {"outputs": [{"name": "score", "parameters": {"binary_data": 1}}]},
            "output score: binary_data: found 1, allowed: true or false",
        ),
        (
            {"parameters": {"binary_data_output": "yes"}},
            "parameter binary_data_output: found 'yes', allowed: true or false",
        ),
        ({"outputs": 5}, "the body is no inference request: Expected `array | null`, got `int` - at `$.outputs`"),
        ({"id": 5}, "the body is no inference request: Expected `str | null`, got `int` - at `$.id`"),
        ({"parameters": {"partial": []}}, "the body is no inference request: "),
    ],
)
def test_request_for_what_there_is_not_is_refused_before_it_is_answered(
    edge: Edge, more: dict[str, Any], text: str
) -> None:
    assert edge.post(INFER, orjson.dumps({"inputs": TENSORS, **more})) == 400
    assert edge.error.startswith(text)
    assert edge.counted == {"invalid": 1}


@pytest.mark.parametrize(
    ("inputs", "raw", "text"),
    [
        (RAW, CONTENTS + b"x", "1 bytes follow the last tensor; allowed: none"),
        (RAW, CONTENTS[:-1], "column 'CHANNEL': found binary_data_size 8, allowed: what is left of the body after"),
        ([raw_input("AMOUNT", "FP64", -8)], b"", "column 'AMOUNT': found binary_data_size -8, allowed: what is left"),
        ([raw_input("AMOUNT", "FP64", 7)], b"1234567", "column AMOUNT: its raw contents have 7 bytes; allowed: 8 for"),
        ([raw_input("CHANNEL", "BYTES", 5)], b"\xff" * 5, "column CHANNEL: its raw contents end within value 0; "),
        ([raw_input("CHANNEL", "BOOL", 1)], b"\x02", "column CHANNEL: found 2 in its raw contents of BOOL; allowed: 0"),
        ([raw_input("AMOUNT", "FP99", 2)], b"12", "column AMOUNT: found datatype 'FP99', allowed: FP64, "),
        ([raw_input("AMOUNT", "FP64", 16)], b"\0" * 16, "column AMOUNT: found 2 values, allowed: 1, as its shape says"),
        ([{**RAW[0], "data": [1]}], CONTENTS[:8], "column 'CUSTOMER': found data beside binary_data_size"),
        (
            [{"name": "AMOUNT", "datatype": "FP64", "shape": [1]}],
            b"",
            "column 'AMOUNT': found no data, allowed: a list",
        ),
        ([{**TENSORS[1], "datatype": "FP16"}], b"", "column 'AMOUNT': found FP16 in JSON, allowed: as raw contents"),
    ],
)
def test_raw_contents_that_are_not_as_told_are_refused(
    edge: Edge, inputs: list[dict[str, Any]], raw: bytes, text: str
) -> None:
    body, headers = binary(inputs, raw)
    assert edge.post(INFER, body, headers) == 400
    assert edge.error.startswith(text)


@pytest.mark.parametrize("length", [b"many", b"-7", b"1000000", b"9" * 5000, b"", b"\xb2"])
def test_length_of_the_json_has_to_be_one(edge: Edge, length: bytes) -> None:
    assert edge.post(INFER, V2_BODY, [(b"inference-header-content-length", length)]) == 400
    assert edge.error.startswith("inference-header-content-length: found '")
    assert edge.post(PREDICT, headers=[(b"inference-header-content-length", length)]) == 200


def test_not_a_number_in_raw_contents_is_missing(edge: Edge) -> None:
    inputs = [raw_input(name, "FP64", 8) for name in ("AMOUNT", "count_1d", "rate_7d")]
    body, headers = binary(inputs, np.array([5.0, np.nan, 1.0]).tobytes())
    assert edge.post(INFER, body, headers) == 200
