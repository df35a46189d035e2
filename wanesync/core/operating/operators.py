"""Who changed something: an operator of the installation, and the way by which he or she came in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_NAME_CHARS = 100
"""Longest name of an operator (our choice): the name of a user, of a token, or of a login of the system."""
_UNWANTED = re.compile(r"[^\w.@+:/ -]")


class Via(StrEnum):
    """The way an operator came in: a command in a terminal, a page, the API, or none: the program itself."""

    CLI = "cli"
    PAGE = "page"
    API = "api"
    SYSTEM = "system"


class OperatorRole(StrEnum):
    """What an operator may do, from least to most; docs/admin.md#roles has the permissions of each."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Operator:
    """The author of a change, as the audit log and the journal name it."""

    name: str
    via: Via

    def __str__(self) -> str:
        return f"{self.name} ({self.via})"


SYSTEM = Operator("wanesync", Via.SYSTEM)
"""The program itself, where it does what an operator could have done."""


def name_operator(name: str, via: Via) -> Operator:
    """Return an operator whose name holds only letters, digits and ``. @ + : / -``, and is not longer than it may be.

    The name of a login of the system or of a proxy is text from outside.
    """
    return Operator(_UNWANTED.sub("?", name.strip())[:MAX_NAME_CHARS] or "unknown", via)
