"""The description of the API, of the application as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.admin.api.conftest import Caller
from wanesync.admin.api.routes import CHANGING

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture
def document(call: Caller) -> dict[str, Any]:
    answer = call("viewer").get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def test_every_route_is_described(document: dict[str, Any]) -> None:
    bare = [
        f"{method} {path}"
        for method, path, operation in operations(document)
        if not (operation.get("description") and operation.get("summary") and operation.get("tags"))
    ]
    assert bare == []
    assert "/api/v1/status" in document["paths"]


def test_every_answer_has_a_schema_and_an_example(document: dict[str, Any]) -> None:
    """Except an answer that is a file."""
    bare = [
        f"{method} {path} {status}"
        for method, path, operation in operations(document)
        for status, answer in operation["responses"].items()
        for media_type, content in answer.get("content", {}).items()
        if media_type.endswith(("/json", "+json")) and not (content.get("schema") and "example" in content)
    ]
    assert bare == []


def test_every_changing_route_takes_a_key_or_shows_values_only(document: dict[str, Any]) -> None:
    unkeyed = [
        path
        for method, path, operation in operations(document)
        if method in CHANGING and not any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", ()))
    ]
    assert [path for path in unkeyed if not path.endswith(("/reveal", "/search"))] == []


def test_every_text_of_a_request_has_a_bound(document: dict[str, Any]) -> None:
    """In a path, a query or a header; bodies are bounded as a whole."""
    unbounded = [
        f"{method} {path} {one['name']}"
        for method, path, operation in operations(document)
        for one in operation.get("parameters", ())
        if any(is_unbounded(part) for part in (one["schema"], *one["schema"].get("anyOf", ())))
    ]
    assert unbounded == []


def is_unbounded(schema: dict[str, Any]) -> bool:
    """Whether a text may have any length."""
    is_closed = {"maxLength", "enum", "const", "format", "pattern"} & set(schema)
    return schema.get("type") == "string" and not is_closed


def test_an_unknown_path_and_a_wrong_method_are_problems(call: Caller) -> None:
    client = call("viewer")
    for answer, status in ((client.get("/nothing"), 404), (client.put("/status"), 405)):
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
