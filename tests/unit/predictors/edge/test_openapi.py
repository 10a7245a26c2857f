"""The page of the API says what requests the model takes, and what it answers."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from predictors.edge.examples import example
from predictors.edge.openapi import document
from predictors.edge.page import page
from predictors.identity import Identity
from predictors.requests.json_schema import OPTIONS
from predictors.requests.rows import Options
from predictors.requests.schema import RequestSchema
from predictors.scoring.kind import Answered, Kind, Output
from serin.artifact import RequestColumn
from tests.factories import make_manifest

REQUEST = (
    RequestColumn(name="AMOUNT", type="number", min=0, max=1000),
    RequestColumn(name="KIND", type="text", allowed=("a", 1), nullable=True),
    RequestColumn(name="CHANNEL", type="text", nullable=True),
    RequestColumn(name="FLAG", type="boolean"),
)
KEYED = {"CUSTOMER": 1, "AMOUNT": 5, "FLAG": True}
RAW = {"AMOUNT": 5, "FLAG": True, "count_1d": 2, "rate_7d": None, "KIND": None}


class Nothing(Kind):
    outputs = (Output("score", "FP64"), Output("decision", "BOOL"), Output("place", "INT64"), Output("text", "BYTES"))
    schema = RequestSchema(make_manifest(request=REQUEST))

    def answer(self, *_: Any) -> Answered:
        raise NotImplementedError


class Sink:
    """What a sink of events accepts."""

    accepted = (schema := RequestSchema(make_manifest())).keyed, {"CUSTOMER": schema.keyed["CUSTOMER"]}


@pytest.fixture(scope="module")
def made() -> Any:
    base = FastAPI(title="KServe")
    base.add_api_route("/v1/models/{model_name}:predict", lambda: None, methods=["POST"])
    base.add_api_route("/v2/health/ready", lambda: None)
    return document(base.openapi(), Identity("card-fraud", "12", "x"), Nothing(), Sink())  # type: ignore[arg-type]


def is_valid(made: Any, name: str, body: Any) -> bool:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", **made}).is_valid(body)


def test_document_is_openapi_with_the_models_own_routes_and_kserves_others(made: Any) -> None:
    validate(made)
    assert list(made["paths"]) == [
        "/v1/models/card-fraud:predict",
        "/v1/models/card-fraud:explain",
        "/v2/models/card-fraud/infer",
        "/v2/models/card-fraud/versions/12/infer",
        "/v1/events",
        "/v2/health/ready",
    ]


@pytest.mark.parametrize(
    ("rows", "good"),
    [
        ([KEYED], True),
        ([RAW, RAW], True),
        ([{**KEYED, "KIND": "1", "TIME": "2018-06-01T12:00:00"}], True),
        ([{**KEYED, "KIND": "b"}], False),
        ([{**KEYED, "AMOUNT": -1}], False),
        ([{**KEYED, "AMOUNT": "5"}], False),
        ([{**KEYED, "X": 1}], False),
        ([{**KEYED, "CHANNEL": "x" * 1025}], False),
        ([{"CUSTOMER": 1, "FLAG": True}], False),
        ([{**RAW, "count_1d": 1e39}], False),
        ([], False),
        ([KEYED] * 4097, False),
    ],
)
def test_schema_of_rows_takes_what_the_model_takes(made: Any, rows: list[Any], good: bool) -> None:
    assert is_valid(made, "PredictRequest", {"instances": rows}) == good


def test_schema_of_tensors_names_each_column_with_its_datatypes(made: Any) -> None:
    tensor = {"name": "AMOUNT", "datatype": "FP64", "shape": [1], "data": [5]}
    assert is_valid(made, "InferRequest", {"inputs": [tensor], "parameters": {"binary_data_output": True}})
    for change in ({"name": "X"}, {"datatype": "BYTES"}, {"shape": [1, 2]}, {"data": [-1]}, {"shape": []}):
        assert not is_valid(made, "InferRequest", {"inputs": [{**tensor, **change}]}), change
    assert made["components"]["schemas"]["InferRequest"]["description"] == (
        "One tensor a column, each once: CUSTOMER, AMOUNT, FLAG (if you like: KIND, CHANNEL, TIME); or AMOUNT, FLAG, "
        "count_1d, rate_7d (if you like: CUSTOMER, KIND, CHANNEL, TIME, hour)"
    )


def test_answers_have_the_kinds_outputs(made: Any) -> None:
    row = {"score": 0.5, "decision": True, "place": 3, "text": "x", "model_version": "12"}
    assert is_valid(made, "PredictAnswer", {"predictions": [row, {"error": "AMOUNT: missing"}]})
    assert not is_valid(made, "PredictAnswer", {"predictions": [{**row, "score": "high"}]})
    assert is_valid(made, "ExplainAnswer", {"explanations": [{"score": 0.5}, {"error": "AMOUNT: missing"}]})


def test_events_have_the_use_cases_columns(made: Any) -> None:
    assert is_valid(made, "EventsRequest", {"events": [{"CUSTOMER": 1, "AMOUNT": 5}], "labels": [{"CUSTOMER": 1}]})
    assert not is_valid(made, "EventsRequest", {"labels": [{"AMOUNT": 1}]})
    assert not is_valid(made, "EventsRequest", {})


def test_model_without_store_features_and_events_has_one_kind_of_row() -> None:
    class Plain(Nothing):
        schema = RequestSchema.of_columns([RequestColumn(name="text", type="text")])

    made = document(FastAPI().openapi(), Identity("topic", "1", "x"), Plain(), None)
    validate(made)
    assert "/v1/events" not in made["paths"]
    assert is_valid(made, "PredictRequest", {"instances": [{"text": "a"}]})
    assert not {"KeyedRow", "EventsRequest"} & made["components"]["schemas"].keys()


def test_every_option_of_a_request_is_described() -> None:
    assert list(OPTIONS) == list(Options.__dataclass_fields__)


def test_examples_are_what_the_schemas_ask_for(made: Any) -> None:
    for name, schema in made["components"]["schemas"].items():
        if name != "HTTPValidationError":  # FastAPI's own
            assert is_valid(made, name, example(schema, made["components"]["schemas"])), name


def test_an_example_keeps_to_limits() -> None:
    assert example({"type": "number", "minimum": 5, "maximum": 9}, {}) == 5
    assert example({"type": ["integer", "null"], "maximum": -3}, {}) == -3


def test_page_shows_each_route_with_a_body_to_send_and_loads_nothing(made: Any) -> None:
    shown = page(made)
    for path in made["paths"]:
        assert f'name="path" value="{path}"' in shown
    assert "&quot;CUSTOMER&quot;: 1" in shown
    assert not re.search(r"""(src|href)=["'](https?:)?//""", shown)


def test_page_shows_names_as_text() -> None:
    schema = {"type": "object", "properties": {"<b>&": {"type": "number"}}}
    post = {"requestBody": {"content": {"application/json": {"schema": schema}}}, "description": "<script>"}
    shown = page(
        {
            "info": {"title": "<i>", "version": "1"},
            "paths": {"/<u>": {"post": post}},
            "components": {"schemas": {"<s>": schema}},
        }
    )
    assert not any(tag in shown for tag in ("<b>&", "<i>", "<u>", "<s>", "<script>\n<", "<p><script>"))
