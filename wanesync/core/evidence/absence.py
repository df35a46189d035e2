"""Absence: a read that does not find a record is no deletion (docs/correctness.md#absence)."""

from __future__ import annotations

ASK_AGAIN_MS = (1_000, 11_000, 71_000)
"""When an absent record is asked for again, in ms after the first read that did not find it: after 1, 10 and 60 s."""


def next_ask_ms(since_ms: int, now_ms: int) -> int | None:
    """Return when a record that reads have not found since a time is asked for again; None: it counts as missing."""
    return next((since_ms + wait_ms for wait_ms in ASK_AGAIN_MS if since_ms + wait_ms > now_ms), None)
