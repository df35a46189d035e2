"""Examples that are made from a schema."""

from __future__ import annotations

import pytest

from wanesync.admin.api.examples import AT_MS, Schema, make_example

SCHEMAS: dict[str, Schema] = {
    "Side": {"enum": ["hubspot", "stripe"], "type": "string"},
    "Node": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/components/schemas/Node"}]}}},
}


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"$ref": "#/components/schemas/Side"}, "hubspot"),
        ({"type": "string", "example": "a"}, "a"),
        ({"type": "string", "examples": ["b"]}, "b"),
        ({"type": "string", "default": "c", "maxLength": 1}, "c"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, False),
        ({"type": "array", "items": {"type": "integer", "minimum": 3}}, [3]),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 9}, 1),
        ({"type": "integer", "maximum": 0}, 0),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "object", "properties": {"at_ms": {"type": "integer"}, "id": {"type": "string"}}}, None),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {}),
        ({}, None),
    ],
)
def test_an_example_fits_its_schema(schema: Schema, example: object) -> None:
    if "properties" in schema:
        example = {"at_ms": AT_MS, "id": "id"}
    assert make_example(schema, SCHEMAS) == example


def test_a_schema_that_contains_itself_has_an_end() -> None:
    assert make_example({"$ref": "#/components/schemas/Node"}, SCHEMAS)
