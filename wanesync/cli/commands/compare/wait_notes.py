"""What a listing waits for, on the terminal of its command: other requests, or a quota."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from wanesync.ratelimit import pacer
from wanesync.terminal import ProgressBars, make_console


@contextmanager
def showing_waits(bars: ProgressBars | None = None) -> Iterator[None]:
    """While the context lasts, show what rate slots are waited for; without a terminal nothing is shown.

    It stands above the bars; None: there are none, and it stands on standard error.
    """
    screen = make_console(error=True)
    if not (screen.is_terminal if bars is None else bars.is_shown):
        yield
        return
    logger = logging.getLogger(pacer.__name__)
    notes = _WaitNotes(partial(screen.print, markup=False) if bars is None else bars.note)
    level, propagates = logger.level, logger.propagate
    # Of their own level: such a command logs warnings only.
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
    """Prints the reason of each event."""

    def __init__(self, print_note: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._print_note = print_note

    def emit(self, record: logging.LogRecord) -> None:
        """Print one event of structlog."""
        if isinstance(record.msg, dict):
            self._print_note(f"{record.msg['side']} waits: {record.msg['reason']}")
