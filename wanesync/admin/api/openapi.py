"""The description of the API (OpenAPI 3.1), completed with what every route has: bearer tokens, problems, keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from wanesync.admin.api.examples import make_example
from wanesync.admin.api.idempotency import HEADER, MAX_KEY_CHARS
from wanesync.admin.api.problems import MEDIA_TYPE, Problem
from wanesync.admin.api.routes import CHANGING, NOT_KEYED, PREFIX

# A document of OpenAPI: JSON that is built, completed and sent.
Document = dict[str, Any]
_INTRODUCTION = """Everything that the pages of the admin service show and change.

Send `Authorization: Bearer TOKEN`; `wanesync admin token` makes a token with a role and an expiry. Lists are read page
by page: pass `next` of an answer as `cursor`. A changing request may carry an `Idempotency-Key`: the same request again
gets the stored answer, for a day. Failures are problem details (RFC 9457) whose `type` does not change.
"""
_BEARER = {"type": "http", "scheme": "bearer", "description": "A token of `wanesync admin token`."}
_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A key of your choice, such as a UUID: the same request again gets the stored answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS},
    "example": "6f1c1d0e-5a39-4b57-9d0b-3a1f1f4f2f10",
}
_ANSWERS = {
    "401": ("unauthorized", "Unauthorized", "No token, or one that is wrong, expired or revoked."),
    "403": ("forbidden", "Forbidden", "The role of the token does not have the permission."),
    "404": ("not-found", "Not found", "There is no such thing."),
    "413": ("request-entity-too-large", "Request Entity Too Large", "The body is too large."),
    "422": ("invalid-request", "The request is not valid", "A value is missing, wrong or not allowed."),
    "429": ("too-many-requests", "Too Many Requests", "Too many wrong tokens came from this address."),
    "503": ("database-unavailable", "The database is unavailable", "The database cannot be reached at the moment."),
}
_CONFLICT = ("changed-meanwhile", "It was changed meanwhile", "A guard stopped it, or it was changed meanwhile.")
_REFERENCE = {"$ref": "#/components/schemas/Problem"}


def build_document(app: FastAPI) -> Document:
    """Return the OpenAPI document of every route below ``/api/v1``."""
    made = get_openapi(
        title="wanesync",
        version=PREFIX.rpartition("/v")[2],
        openapi_version="3.1.0",
        summary="The admin service of wanesync",
        description=_INTRODUCTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/"}],
    )
    made["paths"] = {path: item for path, item in made["paths"].items() if path.startswith(f"{PREFIX}/")}
    components = made.setdefault("components", {})
    components["securitySchemes"] = {"bearer": _BEARER}
    components["responses"] = {"Problem": _describe("failed", "Any other failure", "500", "Any other failure.")}
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    _add_problem_schema(schemas)
    for method, operation in _operations(made):
        _complete(method, operation)
        _add_examples(operation, schemas)
    return made


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    """Yield (method, operation) of every route."""
    for item in document["paths"].values():
        for method, operation in item.items():
            yield method.upper(), operation


def _add_problem_schema(schemas: Document) -> None:
    made = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(made.pop("$defs", {}))
    schemas["Problem"] = made


def _complete(method: str, operation: Document) -> None:
    """Add to an operation what every one has."""
    operation["security"] = [{"bearer": []}]
    answers = operation["responses"]
    answers.pop("422", None)
    for status, (name, title, text) in _ANSWERS.items():
        answers.setdefault(status, _describe(name, title, status, text))
    if method in CHANGING:
        answers.setdefault("409", _describe(_CONFLICT[0], _CONFLICT[1], "409", _CONFLICT[2]))
        if not operation.pop(NOT_KEYED, False):
            operation.setdefault("parameters", []).append(_KEY)
    answers["default"] = {"$ref": "#/components/responses/Problem"}


def _add_examples(operation: Document, schemas: Document) -> None:
    """Give the body and the answer of an operation an example, where they have none."""
    parts = [operation.get("requestBody", {}), *operation["responses"].values()]
    for part in parts:
        for content in part.get("content", {}).values():
            if "schema" in content and not {"example", "examples"} & set(content):
                content["example"] = make_example(content["schema"], schemas)


def _describe(name: str, title: str, status: str, text: str) -> Document:
    example = {
        "type": f"urn:wanesync:problem:{name}",
        "title": title,
        "status": int(status),
        "detail": text,
        "fields": [],
    }
    return {"description": text, "content": {MEDIA_TYPE: {"schema": _REFERENCE, "example": example}}}
