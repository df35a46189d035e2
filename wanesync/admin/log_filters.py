"""The filters of the log as they stand in an address: for the page, the downloads and the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Form, Query

from wanesync.admin.security.masking import Kind, mask
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor
from wanesync.core.operating.times import parse_time
from wanesync.ops.logs.search import Entry, LogFilter, Source, mask_entry

Text = Annotated[str, Query(max_length=200)]
Typed = Annotated[str, Form(max_length=200)]


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The filters as texts, "" where one is not used. ``kind``, ``source``: several with commas between."""

    since: str = ""
    until: str = ""
    kind: str = ""
    person: str = ""
    operator: str = ""
    correlation_id: str = ""
    level: str = ""
    source: str = ""

    def read(self, now_ms: int, visitor: Visitor) -> LogFilter:
        """Return them as values. Raises ConfigError. Who may not see the audit log gets nothing of it."""
        named = [Source(one) for one in split(self.source) if one in set(Source)]
        sources = set(named or Source) - (set() if visitor.may(Permission.SEE_AUDIT) else {Source.AUDIT})
        return LogFilter(
            parse_time(self.since, now_ms, "since") if self.since.strip() else 0,
            parse_time(self.until, now_ms, "until") if self.until.strip() else 0,
            frozenset(sources),
            tuple(split(self.kind)),
            self.person.strip(),
            self.operator.strip(),
            self.correlation_id.strip(),
            self.level.strip(),
        )

    def used(self) -> dict[str, str]:
        """Return those that are used."""
        names = ("since", "until", "kind", "person", "operator", "correlation_id", "level", "source")
        return {name: text for name in names if (text := getattr(self, name).strip())}

    def address(self, path: str = "/logs", **more: str) -> str:
        """Return the address of a page with these filters. ``more``: others, which win; "" removes one."""
        wanted = {name: text for name, text in (self.used() | more).items() if text}
        return f"{path}?{urlencode(wanted)}" if wanted else path


def split(text: str) -> list[str]:
    """Return the parts of a list with commas."""
    return [part for one in text.split(",") if (part := one.strip())]


def _from_address(  # noqa: PLR0913, PLR0917 - FastAPI reads a parameter for each filter
    since: Text = "", until: Text = "", kind: Text = "", person: Text = "", operator: Text = "",
    correlation_id: Text = "", level: Text = "", source: Text = "",
) -> LogQuery:  # fmt: skip
    return LogQuery(since, until, kind, person, operator, correlation_id, level, source)


def _from_form(  # noqa: PLR0913, PLR0917 - as above
    since: Typed = "", until: Typed = "", kind: Typed = "", person: Typed = "", operator: Typed = "",
    correlation_id: Typed = "", level: Typed = "", source: Typed = "",
) -> LogQuery:  # fmt: skip
    return LogQuery(since, until, kind, person, operator, correlation_id, level, source)


InAddress = Annotated[LogQuery, Depends(_from_address)]
InForm = Annotated[LogQuery, Depends(_from_form)]


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """An entry as a row of the page. ``details``: name and text; ``long``: texts of several lines, as tracebacks."""

    entry: Entry
    details: list[tuple[str, str]]
    long: Mapping[str, str] = field(default_factory=dict)


def mask_for_page(entry: Entry) -> Entry:
    """Return an entry with every value of a person masked: it is shown on the page of the person."""
    return mask_entry(entry, lambda text: mask(Kind.EMAIL if "@" in text else Kind.TEXT, text))


def show_entry(entry: Entry) -> ShownEntry:
    """Return an entry as a row."""
    details, long = [], {}
    for name, value in mask_for_page(entry).data.items():
        if value in ({}, [], "", None):
            continue
        text = describe(value)
        if not text:
            continue
        if "\n" in text:
            long[name] = text
        else:
            details.append((name.replace("_", " "), text))
    return ShownEntry(entry, details, long)


def describe(value: object) -> str:
    """Return a value of an entry as words: before and after with an arrow between."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {describe(inner)}" for name, inner in value.items() if inner not in ({}, [], None))
    if isinstance(value, list):
        return (" → " if len(value) == 2 else ", ").join(describe(one) or "blank" for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
