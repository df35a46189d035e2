"""Values of people as operators see them: masked, until one is revealed, which is a permission and audited."""

from __future__ import annotations

from enum import StrEnum

DOTS = "•••"
MIN_CHARS = 3
"""Of a shorter text nothing is shown: its first letter would be half of it or all (our choice)."""
MIN_DIGITS = 7
"""Characters of a phone number whose last two are shown."""
MAX_END_CHARS = 6
"""Characters of the end of a domain that are shown, such as com or museum."""


class Kind(StrEnum):
    """How a value is masked: what of it still helps to recognise it."""

    EMAIL = "email"
    PHONE = "phone"
    NAME = "name"
    TEXT = "text"


def mask(kind: Kind | str, text: str) -> str:
    """Return a value so that it can be told from another one, and not read. Empty stays empty."""
    text = text.strip()
    if not text:
        return ""
    if kind == Kind.EMAIL and "@" in text:
        local, _, domain = text.rpartition("@")
        host, dot, end = domain.rpartition(".")
        shown_end = f"{dot}{end}" if dot and len(end) <= MAX_END_CHARS else ""
        return f"{_first(local)}{DOTS}@{_first(host)}{DOTS}{shown_end}"
    if kind == Kind.PHONE:
        return f"{DOTS}{text[-2:]}" if len(text) >= MIN_DIGITS else DOTS
    return f"{_first(text)}{DOTS}"


def _first(text: str) -> str:
    return text[:1] if len(text) >= MIN_CHARS else ""
