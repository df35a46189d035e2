"""Examples of the OpenAPI document: made from a schema where a route gives none of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A schema of JSON Schema: JSON.
Schema = Mapping[str, Any]
MAX_DEPTH = 8
"""Deepest nesting of an example; a schema that contains itself would have no end."""
AT_MS = 1_790_000_000_000
"""A time in ms since 1970, for names that end so."""
_NUMBERS = ("minimum", "exclusiveMinimum")


def make_example(schema: Schema, schemas: Mapping[str, Schema], name: str = "", depth: int = 0) -> Any:
    """Return a value that fits a schema. ``schemas``: those it refers to, by name. ``name``: of the property."""
    if "$ref" in schema:
        return make_example(schemas[schema["$ref"].rpartition("/")[2]], schemas, name, depth + 1)
    for given in ("example", "const", "default"):
        if schema.get(given) is not None:
            return schema[given]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return make_example(schema[choice][0], schemas, name, depth + 1)
    return _of_type(schema, schemas, name, depth)


def _of_type(schema: Schema, schemas: Mapping[str, Schema], name: str, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            return _object(schema, schemas, depth)
        case "array":
            return [make_example(schema["items"], schemas, name, depth + 1)] if depth < MAX_DEPTH else []
        case "integer" | "number":
            return _number(schema, name)
        case "boolean":
            return False
        case "string":
            return _text(schema, name)
    return None


def _object(schema: Schema, schemas: Mapping[str, Schema], depth: int) -> dict[str, Any]:
    if "properties" in schema and depth < MAX_DEPTH:
        return {name: make_example(one, schemas, name, depth + 1) for name, one in schema["properties"].items()}
    return {}


def _number(schema: Schema, name: str) -> int:
    if name.endswith("_ms"):
        return AT_MS
    least = max((int(schema[key]) + (key == "exclusiveMinimum") for key in _NUMBERS if key in schema), default=0)
    return max(least, min(1, int(schema.get("maximum", 1))))


def _text(schema: Schema, name: str) -> str:
    text = name or "text"
    return text[: schema.get("maxLength", len(text))].ljust(schema.get("minLength", 0), "x")
