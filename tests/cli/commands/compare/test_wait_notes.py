"""What a listing waits for stands on the terminal, above the progress bars where there are some, and only there."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from tests.support.virtual_clock import VirtualClock
from wanesync import log
from wanesync.cli.commands.compare import wait_notes
from wanesync.cli.commands.compare.wait_notes import showing_waits
from wanesync.core.model import Side
from wanesync.ratelimit import pacer
from wanesync.ratelimit.pacer import Pacer
from wanesync.store import Store
from wanesync.terminal import progress_bars


@pytest.fixture(autouse=True)
def _configured() -> None:
    log.configure("warning", io.StringIO())


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_wait_is_shown_on_a_terminal_alone(store: Store, is_terminal: bool) -> None:
    out, logger = io.StringIO(), logging.getLogger(pacer.__name__)
    before = (logger.level, logger.propagate, list(logger.handlers))
    waiting = Pacer(store, VirtualClock(), Side.STRIPE)
    with progress_bars(Console(file=out, force_terminal=is_terminal, width=120)) as bars, showing_waits(bars):
        waiting._report_wait("bulk requests wait for others", reason="jobs use nearly every request of the limit")
        waiting._report_wait("bulk requests wait for others", reason="again, too soon")
    waiting = Pacer(store, VirtualClock(), Side.STRIPE)
    waiting._report_wait("bulk requests wait for others", reason="after the comparison")
    shown = out.getvalue()
    assert ("stripe waits: jobs use nearly every request of the limit" in shown) is is_terminal
    assert "too soon" not in shown
    assert "after the comparison" not in shown
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_command_without_progress_bars_shows_it_on_standard_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    out = io.StringIO()
    screen = Console(file=out, force_terminal=is_terminal, width=120, highlight=False)
    monkeypatch.setattr(wait_notes, "make_console", lambda *, error: screen if error else Console())
    with showing_waits():
        Pacer(store, VirtualClock(), Side.STRIPE)._report_wait("bulk requests wait for a quota", reason="[reads] used")
    assert out.getvalue() == ("stripe waits: [reads] used\n" if is_terminal else "")
