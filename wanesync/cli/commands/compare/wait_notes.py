"""What a comparison waits for, on the terminal above its progress bars: other requests, or a quota."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from wanesync.ratelimit import pacer
from wanesync.terminal import ProgressBars


@contextmanager
def showing_waits(bars: ProgressBars) -> Iterator[None]:
    """While the context lasts, show what rate slots are waited for; without a terminal nothing is shown."""
    logger, notes = logging.getLogger(pacer.__name__), _WaitNotes(bars)
    if not bars.is_shown:
        yield
        return
    level, propagates = logger.level, logger.propagate
    # Of their own level: a comparison logs warnings only.
    logger.setLevel(logging.INFO)
    logger.addHandler(notes)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(notes)
        logger.setLevel(level)
        logger.propagate = propagates


class _WaitNotes(logging.Handler):
    """Prints the reason of each event above the bars."""

    def __init__(self, bars: ProgressBars) -> None:
        super().__init__(logging.INFO)
        self._bars = bars

    def emit(self, record: logging.LogRecord) -> None:
        """Print one event of structlog."""
        if isinstance(record.msg, dict):
            self._bars.note(f"{record.msg['side']} waits: {record.msg['reason']}")
