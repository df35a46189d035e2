"""The table that says what each answer of HubSpot means (developers.hubspot.com, error handling and usage guidelines).

A ``reason`` carries categories, codes, property names and the status: never a message, which may
quote values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wanesync.adapters.http_answers import read_retry_after_ms, was_unsent
from wanesync.adapters.json_values import mapping, rows, text
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side

LOCK_MS = 2_000
"""A record locked under heavy load stays so for 2 s (423)."""
POLICY_WAITS_MS = {"SECONDLY": 1_000, "TEN_SECONDLY_ROLLING": 10_000}
STATUSES = {
    401: Failure.UNAUTHORISED,
    403: Failure.FORBIDDEN,
    408: Failure.NO_ANSWER,
    423: Failure.BUSY,
    429: Failure.RATE_LIMITED,
    477: Failure.MOVING,
    500: Failure.NO_ANSWER,  # no side keeps the outcome for us, as Stripe does
}
CATEGORIES = {
    "CONFLICT": Failure.CONFLICT,
    "OBJECT_NOT_FOUND": Failure.NOT_FOUND,
    "RATE_LIMITS": Failure.RATE_LIMITED,
    "MISSING_SCOPES": Failure.FORBIDDEN,
}
UNKNOWN_PROPERTY = "PROPERTY_DOESNT_EXIST"

_EXISTING = re.compile(r"Existing ID:\s*(\d+)|(\d+) already has that value", re.IGNORECASE)
_TOLD_CODE = re.compile(r'"error"\s*:\s*"([A-Z_]+)"')
_TOLD_NAME = re.compile(r'"name"\s*:\s*"([a-z0-9_]+)"|propertyName=([a-z0-9_]+)')
_WORD = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


@dataclass(eq=False)
class Refused(CallError):
    """A refusal with whom it blames: trace ids, record ids, properties that nobody defined."""

    traces: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error body says: its category, and per complaint a code and the properties it names."""

    category: str
    complaints: tuple[tuple[str, tuple[str, ...]], ...]
    existing_id: str
    traces: tuple[str, ...]
    ids: tuple[str, ...]
    scopes: tuple[str, ...]
    policy: str

    @property
    def properties(self) -> tuple[str, ...]:
        """Every property named, once."""
        return tuple(dict.fromkeys(name for _, names in self.complaints for name in names))

    @property
    def reason(self) -> str:
        """Category, codes and property names."""
        codes = dict.fromkeys(code for code, _ in self.complaints if code)
        named = f" ({', '.join(self.properties)})" if self.properties else ""
        return ": ".join(filter(None, (self.category or "no category given", ", ".join(codes)))) + named


def read_problem(body: Mapping[str, object]) -> Problem:
    """Read an error body or one entry of a multi-status answer; every part is optional."""
    context = mapping(body.get("context"))
    message = text(body.get("message"))
    errors = [mapping(entry) for entry in rows(body.get("errors"))]
    messages = [message, *(text(entry.get("message")) for entry in errors)]
    complaints = tuple(_complaint(entry) for entry in errors) or tuple(_told(message))
    existing = _words(context.get("existingId")) or tuple(
        found[1] or found[2] for found in map(_EXISTING.search, messages) if found
    )
    scopes = (name for entry in errors for name in _words(mapping(entry.get("context")).get("requiredGranularScopes")))
    return Problem(
        category=_word(body.get("category")) or _word(body.get("errorType")),
        complaints=complaints,
        existing_id=existing[0] if existing else "",
        traces=_words(context.get("objectWriteTraceId")),
        ids=_words(context.get("ids")),
        scopes=tuple(dict.fromkeys(scopes)),
        policy=_word(body.get("policyName")),
    )


def _complaint(entry: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    context = mapping(entry.get("context"))
    told = tuple(found[1] or found[2] for found in _TOLD_NAME.finditer(text(entry.get("message"))))
    return _word(entry.get("code")), tuple(dict.fromkeys(_words(context.get("propertyName")) or told))


def _told(message: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    # "Property values were not valid: [...]" repeats its complaints as JSON in the text.
    names = [found[1] or found[2] for found in _TOLD_NAME.finditer(message)]
    codes = _TOLD_CODE.findall(message)
    for position, name in enumerate(names):
        yield (codes[position] if position < len(codes) else ""), (name,)


def _word(value: object) -> str:
    word = text(value)
    return word if _WORD.fullmatch(word) else ""


def _words(value: object) -> tuple[str, ...]:
    entries = rows(value) if isinstance(value, list) else (value,)
    return tuple(word for word in map(_word, entries) if word)


class ErrorTable:
    """The table for one field map: properties are named as our fields."""

    def __init__(self, field_names: Mapping[str, str]) -> None:
        self._field_names = field_names

    def read_answer(self, status: int, headers: Mapping[str, str], body: object) -> Refused:
        """The error of an answer that is not 2xx; ``body`` None: it was not JSON."""
        problem = read_problem(mapping(body))
        failure = _classify(status, problem, readable=isinstance(body, dict))
        wait_ms = read_retry_after_ms(headers)
        if wait_ms is None and failure is Failure.BUSY:
            wait_ms = LOCK_MS
        if wait_ms is None and failure is Failure.RATE_LIMITED:
            wait_ms = POLICY_WAITS_MS.get(problem.policy)
        redirected = f"redirected ({status}); set hubspot.base_url to the address itself"
        reason = redirected if 300 <= status < 400 else f"{problem.reason}, status {status}"
        return self._refuse(failure, problem, reason, status, wait_ms)

    def read_entry(self, entry: Mapping[str, object]) -> Refused:
        """The error of one input of a multi-status answer."""
        problem = read_problem(entry)
        return self._refuse(_classify(207, problem, readable=True), problem, problem.reason, 207, None)

    # The parts in which the two kinds of errors differ.
    def _refuse(self, failure: Failure, problem: Problem, reason: str, status: int, wait_ms: int | None) -> Refused:
        names = problem.properties
        if failure is Failure.CONFLICT and not names:
            names = ("email",)
        return Refused(
            Side.HUBSPOT,
            failure,
            reason,
            status=status,
            retry_after_ms=wait_ms,
            existing_id=problem.existing_id or None,
            scope=problem.policy or " ".join(problem.scopes),
            fields=tuple(dict.fromkeys(self._field_names.get(name, name) for name in names)),
            traces=problem.traces,
            ids=problem.ids,
            unknown=tuple(name for code, found in problem.complaints if code == UNKNOWN_PROPERTY for name in found),
        )


def _classify(status: int, problem: Problem, *, readable: bool) -> Failure:
    if status == 429 and problem.policy == "DAILY":
        return Failure.DAILY_LIMIT
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500 or 300 <= status < 400 or (status == 404 and not readable):
        return Failure.UNAVAILABLE
    if problem.existing_id and problem.category in ("VALIDATION_ERROR", ""):
        return Failure.CONFLICT
    return CATEGORIES.get(problem.category, Failure.REFUSED)


def read_network_error(error: BaseException) -> CallError:
    """The error of a request without an answer."""
    failure = Failure.UNREACHED if was_unsent(error) else Failure.NO_ANSWER
    return CallError(Side.HUBSPOT, failure, f"no answer from HubSpot ({type(error).__name__})")


def read_unreadable(status: int, what: str) -> CallError:
    """The error of a 2xx answer that cannot be read: it was carried out, nobody knows how."""
    return CallError(Side.HUBSPOT, Failure.NO_ANSWER, f"unreadable answer: {what}", status=status)
