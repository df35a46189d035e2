"""Recorded requests and answers against the vendors' published specifications, which stand beside the checkout.

``Violation.text`` names the place without values, so that one fault is one text however often it occurs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import jsonschema

from wanesync.core.setup.api_versions import USED

Schema = dict[str, Any]
FORM = "application/x-www-form-urlencoded"
JSON_TYPE = "application/json"
INTEGERS = {"int32": 32, "int64": 64}


@dataclass(frozen=True, slots=True)
class Violation:
    """What a specification does not allow, or lacks."""

    part: str
    operation: str
    text: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded request and its answer."""

    side: str
    method: str
    path: str
    query: list[tuple[str, str]]
    body: str
    status: int
    answer: str

    @property
    def operation(self) -> str:
        """Method and path without ids."""
        return f"{self.method} {re.sub(r'/(cus_|evt_)?[0-9]+(?=/|$)|/cus_[^/]+|/evt_[^/]+', '/ID', self.path)}"


def read_record(path: Path) -> list[Exchange]:
    """Read a file that the sandbox's recorder wrote."""
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [
        Exchange(
            line["side"], line["method"], line["path"], [(key, value) for key, value in line["query"]], line["body"],
            line["status"], line["answer"],
        )
        for line in lines
    ]  # fmt: skip


class Specification:
    """The operations of some OpenAPI documents; where two have a path, the one whose name stands in the path."""

    def __init__(self, documents: Mapping[str, Schema]) -> None:
        self._operations = [
            (method.upper(), _pattern(path), name, operation, document)
            for name, document in documents.items()
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]

    def check(self, exchange: Exchange) -> Iterator[Violation]:
        """Everything in a request and its answer that the specification does not allow."""
        found = self._find(exchange)
        if found is None:
            yield Violation("path", exchange.operation, "not published")
            return
        operation, document = found
        for text in self._check_request(exchange, operation, document):
            yield Violation("request", exchange.operation, text)
        for text in self._check_answer(exchange, operation, document):
            yield Violation(f"answer {exchange.status}", exchange.operation, text)

    def _find(self, exchange: Exchange) -> tuple[Schema, Schema] | None:
        fits = [
            (name, operation, document)
            for method, pattern, name, operation, document in self._operations
            if method == exchange.method and pattern.fullmatch(exchange.path)
        ]
        named = [(operation, document) for name, operation, document in fits if f"/{name}" in exchange.path]
        others = [(operation, document) for _, operation, document in fits]
        return next(iter(named + others), None)

    def _check_request(self, exchange: Exchange, operation: Schema, document: Schema) -> Iterator[str]:
        parameters = [one for one in operation.get("parameters", []) if one["in"] == "query"]
        schema = {
            "type": "object",
            "properties": {one["name"]: one["schema"] for one in parameters},
            "required": [one["name"] for one in parameters if one.get("required")],
        }
        yield from _validate(coerce(nest(exchange.query), schema), schema, document, "query")
        content = operation.get("requestBody", {}).get("content", {})
        if FORM in content:
            shape = content[FORM]["schema"]
            yield from _validate(coerce(nest(parse_qsl(exchange.body, True)), shape), shape, document, "body")
        elif JSON_TYPE in content:
            yield from _validate(json.loads(exchange.body), content[JSON_TYPE]["schema"], document, "body")
        elif exchange.body:
            yield "a body, where none is published"

    def _check_answer(self, exchange: Exchange, operation: Schema, document: Schema) -> Iterator[str]:
        responses = operation["responses"]
        response = responses.get(str(exchange.status)) or responses["default"]
        if str(exchange.status) not in responses and exchange.status < 300:
            yield "a status that is not published"
            # As the other 2xx: what it holds is checked all the same.
            response = next(value for status, value in responses.items() if status.startswith("2"))
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        content = response.get("content") or {}
        schema = next((one["schema"] for one in content.values()), None)
        if schema is None:
            yield from ("a body, where none is published" for _ in range(bool(exchange.answer)))
        else:
            yield from _validate(json.loads(exchange.answer), schema, document, "body")


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path)))


def read_hubspot(folder: Path, version: str) -> Specification:
    """The specifications of every product that is called, in a version of ``hubspot.api_version``."""
    files = [file for used in USED[version] for file in sorted(folder.glob(f"hubspot/*__{used}__*.json"))]
    return Specification({file.name.partition("__")[0]: _read(file) for file in files})


def read_stripe(folder: Path) -> Specification:
    """The specification of Stripe's calls that the project makes, except the account's, which is not in it."""
    return Specification({"v1": _read(folder / "stripe-openapi-endive-from-sdk.json")})


@lru_cache(maxsize=32)
def _read(file: Path) -> Schema:
    document: Schema = json.loads(file.read_text(encoding="utf-8"))
    strict = _make_strict(document["components"])
    return {**document, "components": strict}


def _make_strict(schema: Any) -> Any:
    """JSON Schema of an OpenAPI schema: ``nullable`` spelled out; members that are not named are refused."""
    if isinstance(schema, list):
        return [_make_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _make_strict(part) for name, part in schema.items() if name not in ("nullable", "example")}
    if schema.get("type") == "object" and schema.get("properties") and "additionalProperties" not in schema:
        plain["additionalProperties"] = False
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def _validate(value: object, schema: Schema, document: Schema, part: str) -> Iterator[str]:
    root = {**_make_strict(schema), "components": document["components"]}
    for error in jsonschema.Draft202012Validator(root, format_checker=FORMATS).iter_errors(value):
        yield from _describe(error, part)


def _describe(error: jsonschema.ValidationError, part: str) -> Iterator[str]:
    """One text a fault, without values: the place, and what is wrong with it."""
    chosen: Any = _likeliest(error)
    place = "".join(f".{step}" if isinstance(step, str) else "[]" for step in chosen.absolute_path)
    if chosen.validator == "additionalProperties":
        known = chosen.schema.get("properties", {})
        yield from (f"{part}{place}.{name} is not published" for name in chosen.instance if name not in known)
    elif chosen.validator == "required":
        yield f"{part}{place}.{chosen.message.split(chr(39))[1]} is missing"
    else:
        yield f"{part}{place} violates {chosen.validator} {chosen.validator_value!r}"[:300]


def _likeliest(error: jsonschema.ValidationError) -> jsonschema.ValidationError:
    """Of the alternatives of a value, the fault in the one that its type chooses."""
    while error.context:
        error = max(error.context, key=lambda one: (one.validator != "type", len(one.absolute_path)))
    return error


FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value).tzinfo)


@FORMATS.checks("uuid", raises=ValueError)
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or bool(UUID(value))


@FORMATS.checks("int32")
def _fits_32_bits(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


def nest(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """``a[b]=c`` -> {"a": {"b": "c"}}; keys that are numbers, or empty, become a list."""
    tree: dict[str, Any] = {}
    for key, value in pairs:
        names = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", key)
        place = tree
        for name in names[:-1]:
            place = place.setdefault(name, {})
        last = names[-1]
        if last in place:
            place[last] = [*(place[last] if isinstance(place[last], list) else [place[last]]), value]
        else:
            place[last] = value
    return {name: _as_list(value) for name, value in tree.items()}


def _as_list(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _as_list(part) for name, part in value.items()}
    return list(inner.values()) if inner and all(name.isdecimal() for name in inner) else inner


def coerce(value: Any, schema: Schema) -> Any:
    """Texts of a query or a form as the types that the schema names."""
    for option in schema.get("anyOf", [schema]):
        kind = option.get("type")
        if kind == "object" and isinstance(value, dict):
            named = option.get("properties", {})
            return {name: coerce(part, named.get(name, {})) for name, part in value.items()}
        if kind == "array":
            items = value if isinstance(value, list) else value.split(",") if isinstance(value, str) and value else None
            if items is not None:
                return [coerce(part, option["items"]) for part in items]
        if kind == "integer" and isinstance(value, str) and re.fullmatch(r"-?\d+", value):
            return int(value)
        if kind == "boolean" and value in ("true", "false"):
            return value == "true"
    return value
