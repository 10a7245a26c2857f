"""Values of the form that a JSON Schema asks for, to show and to try."""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

_VALUES: Mapping[str, Any] = {"string": "text", "number": 1.5, "integer": 1, "boolean": True, "null": None}


def example(schema: Json, schemas: Json) -> Any:
    """A value of the form that a schema asks for; of several forms, the first; of an object what it has to have, or all
    where that is nothing. `schemas` are what it may refer to, by name."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return example(schema[choice][0], schemas)
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    for given in ("examples", "enum"):
        if given in schema:
            return schema[given][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: example(properties[name], schemas) for name in schema.get("required") or properties}
    if kind == "array":
        return _items(schema, schemas)
    return _plain(schema, kind)


def _items(schema: Json, schemas: Json) -> list[Any]:
    items = schema["prefixItems"] if "prefixItems" in schema else [schema.get("items", {})]
    return [example(item, schemas) for item in items]


def _plain(schema: Json, kind: str | None) -> Any:
    if schema.get("format") == "date-time":
        return "2026-01-31T12:00:00"
    value = _VALUES.get(kind or "")
    if kind in ("number", "integer"):
        value = min(max(value, schema.get("minimum", value)), schema.get("maximum", value))
    return value
