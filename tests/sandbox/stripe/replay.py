"""The recorded requests of the triggers of Stripe's own command line, and how one is sent again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

RECORD: dict[str, list[list[str]]] = json.loads((Path(__file__).parent / "triggers.json").read_text(encoding="utf-8"))[
    "triggers"
]


def read_pairs(text: str) -> list[tuple[str, str]]:
    """Names and values."""
    return [(name, value) for name, _, value in (part.partition("=") for part in text.split("&") if part)]


def fill(text: str, answers: list[Any]) -> str:
    """``{2:data.0.id}``: that member of the second answer."""

    def look(found: re.Match[str]) -> str:
        value = answers[int(found[1]) - 1]
        for name in found[2].split("."):
            value = value[int(name)] if isinstance(value, list) else value[name]
        return str(value)

    return re.sub(r"\{(\d+):([\w.]+)\}", look, text)
