"""The table ``[log]``: which log lines are written, and whether the database keeps them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wanesync.config.value_types import Section


class Log(Section):
    """Log lines. ``level``: the lowest that is written. ``store``: whether the database keeps them, too.

    ``store_rate``: lines a second that one process stores over a time (a burst of ten times as many is stored); those
    beyond are counted. ``store_lines``: the newest lines that are kept. How many days: ``[retention] log_days``.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    store: bool = False
    store_rate: Annotated[int, Field(ge=1, le=1_000)] = 20
    store_lines: Annotated[int, Field(ge=1_000, le=10_000_000)] = 200_000
