"""The page of the API: KServe's, with the hot routes as this model has them, in place of KServe's for any model."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from predictors.edge.answers import MISSING, VERSION
from predictors.edge.examples import example
from predictors.edge.page import page
from predictors.identity import Identity
from predictors.online.events import EventSink
from predictors.requests import json_schema
from predictors.requests.fields import Field
from predictors.requests.schema import MAX_ROWS, RequestSchema
from predictors.scoring import kind

Json = dict[str, Any]

# KServe's routes that are ours.
_REPLACED = ("/v1/models/{model_name}:predict", "/v1/models/{model_name}:explain", "/v2/models/{model_name}/infer")
_TYPES = {"BOOL": "boolean", "BYTES": "string"}
_REFUSALS = {
    "400": "The request can't be answered as it stands; the text names field, row and limit",
    "404": "There is no such model or version, or it takes no events",
    "413": "The body has more than 8 MiB",
    "415": "The body has a Content-Encoding other than gzip",
    "503": "Something that the answer needs does not answer, or there are too many requests",
}
_ID = {"name": "X-Request-Id", "in": "header", "required": False, "schema": {"type": "string", "maxLength": 256}}
_LENGTH = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "minimum": 0},
    "description": "The length of the JSON, where raw tensor contents follow it",
}


def describe(app: FastAPI, identity: Identity, of: kind.Kind, events: EventSink | None) -> None:
    """Make the application show the model's own routes at /openapi.json, and as a page at /docs."""
    kserve = app.openapi
    made: Json = {}

    def openapi() -> Json:
        if not made:
            made.update(document(kserve(), identity, of, events))
        return made

    async def shown() -> HTMLResponse:
        return HTMLResponse(page(openapi()))

    app.openapi = openapi  # type: ignore[method-assign]
    app.add_api_route("/docs", shown, include_in_schema=False)


def document(base: Json, identity: Identity, of: kind.Kind, events: EventSink | None) -> Json:
    """An OpenAPI document with the routes of `base`, but for those that are answered for one model."""
    v1, v2 = f"/v1/models/{identity.model}", f"/v2/models/{identity.model}"
    infer = _infer(of)
    paths: Json = {
        f"{v1}:predict": _post("predict", "V1", _ref("PredictRequest"), _ref("PredictAnswer")),
        f"{v1}:explain": _post("explain", "V1", _ref("PredictRequest"), _ref("ExplainAnswer")),
        f"{v2}/infer": infer,
        f"{v2}/versions/{identity.version}/infer": {"post": {**infer["post"], "operationId": "infer_version"}},
    }
    schemas = _schemas(of, identity)
    if events is not None:
        paths["/v1/events"] = _post("push_events", "events", _ref("EventsRequest"), _ref("EventsAnswer"))
        schemas |= _events(*events.accepted)
    kept = {path: item for path, item in base["paths"].items() if path not in _REPLACED}
    components = base.get("components", {})
    return {
        **base,
        "info": {"title": identity.model, "version": identity.version},
        "paths": {**paths, **kept},
        "components": {**components, "schemas": {**schemas, **components.get("schemas", {}), **schemas}},
    }


def _schemas(of: kind.Kind, identity: Identity) -> Json:
    outputs = (*of.outputs, VERSION)
    prediction = {output.name: {"type": _type(output)} for output in outputs}
    unknown = {"type": "object", "additionalProperties": {"type": "string"}}
    missing = {"type": "integer", "minimum": 1, "description": "Features that the online store did not have"}
    answered = _object({**prediction, MISSING: missing, "unknown_categories": unknown}, list(prediction))
    parameters = {**_object({MISSING: missing}, []), "description": "Where there are any, of all rows together"}
    return {
        **_requests(of.schema),
        "Prediction": answered,
        "PredictAnswer": _object({"predictions": _array({"anyOf": [_ref("Prediction"), _ref("Refusal")]})}),
        "ExplainAnswer": _object({"explanations": _array({"anyOf": [{"type": "object"}, _ref("Refusal")]})}),
        "InferAnswer": _object(
            {
                "id": {"type": "string"},
                "model_name": {"const": identity.model},
                "model_version": {"const": identity.version},
                "outputs": _array({"anyOf": [_output(output) for output in outputs]}),
                "parameters": parameters,
            },
            ["id", "model_name", "model_version", "outputs"],
        ),
        "Refusal": _object({"error": {"type": "string"}}),
    }


def _requests(schema: RequestSchema) -> Json:
    shapes = {"RawRow": schema.raw}
    if schema.features:
        shapes = {"KeyedRow": schema.keyed, **shapes}
    instances = [_array(_ref(name), 1, MAX_ROWS) for name in shapes]
    fields = {name: field for of in shapes.values() for name, field in of.items()}
    tensors = [json_schema.tensor(name, field) for name, field in fields.items()]
    predict = {"instances": instances[0] if len(instances) == 1 else {"oneOf": instances}}
    infer = {"inputs": _array({"anyOf": tensors}, 1, len(tensors))}
    more: Json = {
        "id": {"type": ["string", "null"], "maxLength": 256},
        "outputs": _array(_object({"name": {"type": "string"}, "parameters": {"type": "object"}}, ["name"])),
    }
    parameters = json_schema.parameters()
    binary = {"type": "boolean", "default": False, "description": "Answer in raw contents"}
    of_v2 = {**parameters, "properties": {**parameters["properties"], "binary_data_output": binary}}
    told = "One tensor a column, each once: " + "; or ".join(map(_columns, shapes.values()))
    return {
        **{name: json_schema.row(of) for name, of in shapes.items()},
        "PredictRequest": _object({**predict, "parameters": parameters}, ["instances"]),
        "InferRequest": {
            **_object({**infer, **more, "parameters": of_v2}, ["inputs"]),
            "description": told,
            "examples": [{"inputs": _tensors(next(iter(shapes.values())))}],
        },
    }


def _tensors(fields: Mapping[str, Field]) -> list[Json]:
    """An example of the columns' tensors, of one row: those that it needs. Sent with the key of an event, it would come
    to lie in the store in the place of a true one."""
    needed = {name: field for name, field in fields.items() if field.required} or fields
    return [{**example(json_schema.tensor(name, field), {}), "shape": [1]} for name, field in needed.items()]


def _columns(fields: Mapping[str, Field]) -> str:
    needed = [name for name, field in fields.items() if field.required]
    others = [name for name in fields if name not in needed]
    return ", ".join(needed) + (f" (if you like: {', '.join(others)})" if others else "")


def _events(events: Mapping[str, Field], labels: Mapping[str, Field]) -> Json:
    parts = {name: _array(json_schema.row(of)) for name, of in (("events", events), ("labels", labels))}
    return {
        "EventsRequest": {**_object(parts, []), "minProperties": 1, "additionalProperties": False},
        "EventsAnswer": _object({"accepted": {"type": "integer"}, "new": {"type": "integer"}}),
    }


def _infer(of: kind.Kind) -> Json:
    infer = _post("infer", "V2", _ref("InferRequest"), _ref("InferAnswer"))
    post = infer["post"]
    post["parameters"] = [_ID, _LENGTH]
    binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    post["requestBody"]["content"] |= binary
    post["responses"]["200"]["content"] |= binary
    allowed = ", ".join(output.name for output in (*of.outputs, VERSION))
    post["description"] = f"`outputs` may ask for {allowed}; all are answered where it is not given."
    return infer


def _post(name: str, tag: str, request: Json, answer: Json) -> Json:
    header = {"X-Request-Id": {"schema": {"type": "string"}}}
    refusals = {
        code: {"description": text, "headers": header, "content": _json(_ref("Refusal"))}
        for code, text in _REFUSALS.items()
    }
    return {
        "post": {
            "operationId": name,
            "tags": [tag],
            "parameters": [_ID],
            "requestBody": {"required": True, "content": _json(request)},
            "responses": {"200": {"description": "Answered", "headers": header, "content": _json(answer)}, **refusals},
        }
    }


def _output(output: kind.Output) -> Json:
    return _object(
        {
            "name": {"const": output.name},
            "datatype": {"const": output.datatype},
            "shape": _array({"type": "integer"}, 1, 1),
            "data": _array({"type": _type(output)}),
        }
    )


def _type(output: kind.Output) -> str:
    return _TYPES.get(output.datatype, "number" if output.datatype.startswith("FP") else "integer")


def _object(properties: Json, required: list[str] | None = None) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


def _array(items: Json, least: int = 0, most: int | None = None) -> Json:
    return {"type": "array", "items": items, "minItems": least} | ({} if most is None else {"maxItems": most})


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
