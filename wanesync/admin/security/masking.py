"""Values of people as operators see them: masked, until one is revealed, which is a permission and audited."""

from __future__ import annotations

from enum import StrEnum

DOTS = "•••"


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
        return f"{local[:1]}{DOTS}@{host[:1]}{DOTS}{dot}{end if dot else ''}"
    if kind == Kind.PHONE:
        return f"{DOTS}{text[-2:]}"
    return f"{text[:1]}{DOTS}"
