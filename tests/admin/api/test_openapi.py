"""The OpenAPI document has what every route has."""

from __future__ import annotations

from tests.admin.api.small_app import Things, build_small_app
from wanesync.admin.api.openapi import build_document
from wanesync.store import Store

PROBLEMS = {"401", "403", "404", "413", "422", "429", "503"}


def test_every_operation_has_its_token_and_its_problems(store: Store) -> None:
    document = build_document(build_small_app(store, Things()))
    assert document["openapi"] == "3.1.0"
    names = {"", "/{name}", "/later", "/shown"}
    assert set(document["paths"]) == {f"/api/v1/things{name}" for name in names}
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for item in document["paths"].values():
        for method, operation in item.items():
            assert operation["security"] == [{"bearer": []}]
            problems = set(operation["responses"]) - {"200", "201", "default"}
            assert problems == (PROBLEMS | {"409"} if method == "post" else PROBLEMS)
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert "Problem" in document["components"]["schemas"]


def test_what_shows_values_takes_no_key(store: Store) -> None:
    paths = build_document(build_small_app(store, Things()))["paths"]
    keyed = {
        path
        for path, item in paths.items()
        for operation in item.values()
        if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ()))
    }
    assert keyed == {"/api/v1/things", "/api/v1/things/later"}
