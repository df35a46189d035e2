"""Times as the option ``--since`` takes them, and as commands print them."""

from __future__ import annotations

from wanesync.core.operating.times import format_time, parse_time

__all__ = ["format_time", "parse_since"]


def parse_since(text: str, now_ms: int) -> int:
    """Return the time that ``--since`` names, in ms since 1970. Raises ConfigError."""
    return parse_time(text, now_ms, "--since")
