"""Parameters as Stripe reads them: form encoding with nested brackets, and the type of each parameter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.refusals import Refusal, refuse_empty, refuse_missing, refuse_unknown

Tree = str | dict[str, "Tree"]

NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
EMAIL = re.compile(r"[^@\s,;<>()]+@[^@\s,;<>()]+\.[^@\s.,;<>()]+")
MAX_NESTING = 8  # brackets of a parameter name; the modelled parameters need 3


class ParameterType(Protocol):
    """The type of a parameter."""

    def read(self, value: Tree, name: str) -> object:
        """The typed value; None for a cleared field. Raises Refusal."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A string of up to ``limit`` characters; the empty string unsets it if ``clears``."""

    limit: int = 5000
    clears: bool = True

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for a hash, for too many characters, and for an empty value unless it clears."""
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
    """An e-mail address of up to 512 characters; the empty string unsets it."""

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal with code email_invalid for an invalid address."""
        text = Text(512).read(value, name)
        if isinstance(text, str) and not EMAIL.fullmatch(text):
            raise Refusal(400, f"Invalid email address: {text}", code="email_invalid", param=name)
        return text


@dataclass(frozen=True, slots=True)
class Integer:
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
class Decimal:
    """A number with decimals between ``low`` and ``high``, kept as it was written."""

    low: float = 0
    high: float = 10**12

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for anything else."""
        if not isinstance(value, str) or not re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{1,12})?", value):
            raise Refusal(400, f"Invalid decimal: {value}", code="parameter_invalid_decimal", param=name)
        if not self.low <= float(value) <= self.high:
            text = f"Invalid decimal: {value}; must be between {self.low:g} and {self.high:g}"
            raise Refusal(400, text, code="parameter_invalid_decimal", param=name)
        return value


@dataclass(frozen=True, slots=True)
class Boolean:
    """The Boolean ``true`` or ``false``."""

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for anything else."""
        if value not in ("true", "false"):
            raise Refusal(400, f"Invalid boolean: {value}", param=name)
        return value == "true"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of ``names``; the empty string unsets it if ``clears``."""

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
class Word:
    """One of ``names``, or a value of another type."""

    names: tuple[str, ...]
    other: ParameterType

    def read(self, value: Tree, name: str) -> object:
        """Raises the refusal of the other type."""
        return value if value in self.names else self.other.read(value, name)


@dataclass(frozen=True, slots=True)
class Hash:
    """A nested object; the empty string unsets it if ``clears``; ``or_text``: an id can stand for it."""

    fields: Mapping[str, ParameterType]
    required: tuple[str, ...] = ()
    clears: bool = False
    or_text: bool = False

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for unknown, missing and invalid members, named with their brackets."""
        if value == "" and self.clears:
            return None
        if self.or_text and isinstance(value, str):
            return Text(clears=False).read(value, name)
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
class Array:
    """An array of up to ``limit`` values of one kind; the empty string is the empty array."""

    kind: ParameterType
    limit: int = 1000

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for anything but an array, and for too many elements."""
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
        """Raises Refusal for nested and too long values; a cleared key holds the empty string."""
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
class TimeRange:
    """A filter on seconds: one number, or gt, gte, lt, lte; read as inclusive (oldest, newest)."""

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for anything but integers."""
        if not isinstance(value, dict):
            second = Integer(0).read(value, name)
            return (second, second)
        bounds = Hash(dict.fromkeys(("gt", "gte", "lt", "lte"), Integer(0))).read(value, name)
        given: dict[str, int] = bounds if isinstance(bounds, dict) else {}
        oldest = max(given.get("gte", 0), given.get("gt", -1) + 1)
        newest = min(given.get("lte", 10**13), given.get("lt", 10**13 + 1) - 1)
        return (oldest, newest)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A parameter of Stripe that the stand-in accepts and ignores."""

    def read(self, value: Tree, name: str) -> object:  # noqa: ARG002 - the protocol's signature
        """The unchanged value."""
        return value


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of one operation."""

    fields: Mapping[str, ParameterType] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    def read(self, pairs: Iterable[tuple[str, str]]) -> Record:
        """The typed parameters. Raises Refusal for unknown, missing and invalid ones."""
        tree = nest(pairs)
        unknown = [key for key in tree if key not in self.fields and key != "expand"]
        if unknown:
            raise refuse_unknown(unknown)
        for key in self.required:
            if key not in tree:
                raise refuse_missing(key)
        types = {"expand": Array(Text(clears=False)), **self.fields}
        return {key: types[key].read(value, key) for key, value in tree.items()}


def nest(pairs: Iterable[tuple[str, str]]) -> dict[str, Tree]:
    """``a[b][]=1`` as nested dicts; arrays are dicts with their indices as keys. Raises Refusal."""
    tree: dict[str, Tree] = {}
    for name, value in pairs:
        match = NAME.fullmatch(name)
        parts = [match[1], *match[2][1:-1].split("][")] if match and match[2] else [name]
        if match is None or len(parts) > MAX_NESTING:
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
    """The index of ``a[][x]``: the last element, or a new one if that already has an ``x``."""
    last = node.get(str(len(node) - 1))
    return str(len(node) - 1) if isinstance(last, dict) and member and member not in last else str(len(node))


# Presentment currencies: docs.stripe.com/currencies.
CODES = frozenset(
    (
        "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd "
        "cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd "
        "hkd hnl hrk htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl "
        "mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr "
        "pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd "
        "tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw"
    ).split()
)


@dataclass(frozen=True, slots=True)
class Currency:
    """A three-letter currency code, converted to lower case."""

    def read(self, value: Tree, name: str) -> object:
        """Raises Refusal for an unknown code."""
        if value == "":
            raise refuse_empty(name)
        if not isinstance(value, str) or value.lower() not in CODES:
            text = f"Invalid currency: {value}. Stripe currently supports these currencies: {', '.join(sorted(CODES))}"
            raise Refusal(400, text, param=name)
        return value.lower()


CURRENCY = Currency()
