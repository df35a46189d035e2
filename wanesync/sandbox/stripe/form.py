"""Form-encoded bodies and queries as Stripe reads them: nested brackets, arrays, and typed parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from wanesync.sandbox.stripe.refusals import Refusal, refuse_empty, refuse_missing, refuse_unknown
from wanesync.sandbox.stripe.shapes import Record

Tree = str | dict[str, "Tree"]

NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
EMAIL = re.compile(r"[^@\s,;<>()]+@[^@\s,;<>()]+\.[^@\s.,;<>()]+")
DEEPEST = 8


class Kind(Protocol):
    """What a parameter may hold."""

    def read(self, value: Tree, name: str) -> object:
        """The typed value; None stands for an emptied field. Raises Refusal."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A string of up to ``limit`` characters; empty unsets it where ``clears``."""

    limit: int = 5000
    clears: bool = True

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for a hash, for too many characters, and for an empty value that cannot be."""
        if isinstance(value, dict):
            raise Refusal(400, f"Invalid string: {name}", param=name)
        if not value and not self.clears:
            raise refuse_empty(name)
        if len(value) > self.limit:
            cut = f"{value[:7]}...{value[-7:]}"
            raise Refusal(400, f"Invalid string: {cut}; must be at most {self.limit} characters", param=name)
        return value or None


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail address of up to 512 characters; empty unsets it."""

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal with code email_invalid for what is no address."""
        text = Text(512).read(value, name)
        if isinstance(text, str) and not EMAIL.fullmatch(text):
            raise Refusal(400, f"Invalid email address: {text}", code="email_invalid", param=name)
        return text


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer between ``low`` and ``high``."""

    low: int = -(10**12)
    high: int = 10**12
    clears: bool = False

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal with code parameter_invalid_integer."""
        if value == "" and self.clears:
            return None
        code = "parameter_invalid_integer"
        if not isinstance(value, str) or not re.fullmatch(r"[+-]?[0-9]{1,15}", value):
            raise Refusal(400, f"Invalid integer: {value}", code=code, param=name)
        number = int(value)
        if number > self.high:
            text = f"This value must be less than or equal to {self.high} (it currently is '{number}')."
            raise Refusal(400, text, code=code, param=name)
        if number < self.low:
            text = f"This value must be greater than or equal to {self.low} (it currently is '{number}')."
            raise Refusal(400, text, code=code, param=name)
        return number


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for anything else."""
        if value not in ("true", "false"):
            raise Refusal(400, f"Invalid boolean: {value}", param=name)
        return value == "true"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of ``names``; empty unsets it where ``clears``."""

    names: tuple[str, ...]
    clears: bool = False

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for another value."""
        if value == "" and self.clears:
            return None
        if value not in self.names:
            raise Refusal(400, f"Invalid {name}: must be one of {', '.join(self.names)}", param=name)
        return value


@dataclass(frozen=True, slots=True)
class Hash:
    """A nested object; empty unsets it where ``clears``."""

    fields: Mapping[str, Kind]
    required: tuple[str, ...] = ()
    clears: bool = False

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for unknown, missing and wrong members, named with their brackets."""
        if value == "" and self.clears:
            return None
        if not isinstance(value, dict):
            raise Refusal(400, "Invalid object", param=name)
        unknown = [f"{name}[{key}]" for key in value if key not in self.fields]
        if unknown:
            raise refuse_unknown(unknown)
        for key in self.required:
            if key not in value:
                raise refuse_missing(f"{name}[{key}]")
        return {key: self.fields[key].read(part, f"{name}[{key}]") for key, part in value.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """An array of up to ``limit`` values of one kind; empty is the empty array."""

    kind: Kind
    limit: int = 1000

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for what is no array, or a longer one."""
        if value == "":
            return []
        if not isinstance(value, dict) or not all(key.isdecimal() for key in value):
            raise Refusal(400, "Invalid array", param=name)
        if len(value) > self.limit:
            raise Refusal(400, f"Array {name} exceeded maximum {self.limit} allowed elements.", param=name)
        return [self.kind.read(value[key], f"{name}[{key}]") for key in sorted(value, key=int)]


@dataclass(frozen=True, slots=True)
class Metadata:
    """Key-value pairs (docs.stripe.com/api/metadata): 50 keys, 40 and 500 characters; None clears all."""

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for nested values and too long ones; an emptied key holds the empty string."""
        if value == "":
            return None
        if not isinstance(value, dict):
            raise Refusal(400, "Invalid metadata: must be a hash of strings.", param=name)
        for key, text in value.items():
            where = f"{name}[{key}]"
            if not isinstance(text, str):
                raise Refusal(400, "Metadata values must be strings; nested hashes are not supported.", param=where)
            if len(key) > 40:
                raise Refusal(400, f"Metadata keys can be up to 40 characters, but you passed {len(key)}.", param=where)
            if len(text) > 500:
                reason = f"Metadata values can have up to 500 characters, but you passed in a value of {len(text)}."
                raise Refusal(400, reason, param=where)
        return value


@dataclass(frozen=True, slots=True)
class Moments:
    """A filter on seconds: one number, or gt, gte, lt, lte; read as (oldest, newest), both included."""

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for anything but whole seconds."""
        if not isinstance(value, dict):
            moment = Whole(0).read(value, name)
            return (moment, moment)
        bounds = Hash(dict.fromkeys(("gt", "gte", "lt", "lte"), Whole(0))).read(value, name)
        given: dict[str, int] = bounds if isinstance(bounds, dict) else {}
        oldest = max(given.get("gte", 0), given.get("gt", -1) + 1)
        newest = min(given.get("lte", 10**13), given.get("lt", 10**13 + 1) - 1)
        return (oldest, newest)


@dataclass(frozen=True, slots=True)
class Free:
    """Anything: a parameter Stripe knows and the stand-in takes without acting on it."""

    def read(self, value: Tree, name: str) -> object:  # noqa: ARG002 - the protocol's signature
        """The value as it came."""
        return value


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of one operation."""

    fields: Mapping[str, Kind] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    def read(self, pairs: Iterable[tuple[str, str]]) -> Record:
        """Typed parameters. Raises Refusal for unknown, missing and wrong ones."""
        tree = nest(pairs)
        unknown = [key for key in tree if key not in self.fields and key != "expand"]
        if unknown:
            raise refuse_unknown(unknown)
        for key in self.required:
            if key not in tree:
                raise refuse_missing(key)
        kinds = {"expand": Row(Text(clears=False)), **self.fields}
        return {key: kinds[key].read(value, key) for key, value in tree.items()}


def nest(pairs: Iterable[tuple[str, str]]) -> dict[str, Tree]:
    """``a[b][]=1`` as nested dicts; arrays are dicts with their indices as keys. Raises Refusal."""
    tree: dict[str, Tree] = {}
    for name, value in pairs:
        match = NAME.fullmatch(name)
        parts = [match[1], *match[2][1:-1].split("][")] if match and match[2] else [name]
        if match is None or len(parts) > DEEPEST:
            raise refuse_unknown([name])
        _place(tree, parts, value, name)
    return tree


def _place(tree: dict[str, Tree], parts: list[str], value: str, name: str) -> None:
    node = tree
    for at, part in enumerate(parts[:-1]):
        key = part or _open_index(node, parts[at + 1])
        child = node.setdefault(key, {})
        if not isinstance(child, dict):
            raise Refusal(400, "Invalid object", param=name)
        node = child
    node[parts[-1] or str(len(node))] = value


def _open_index(node: dict[str, Tree], member: str) -> str:
    """``a[][x]``: the last element, or a new one if it already has an ``x``."""
    last = node.get(str(len(node) - 1))
    return str(len(node) - 1) if isinstance(last, dict) and member and member not in last else str(len(node))
