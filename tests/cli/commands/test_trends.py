"""``trends``: the charts of the overview as text and as JSON."""

from __future__ import annotations

from tests.support.installation import Installation
from wanesync.cli.commands.trends import draw
from wanesync.core.operating.figures import MINUTE_MS, Figure
from wanesync.store.figure_counts import store_figures

KEYS = ("period", "side", "at_ms", "step_ms", "charts", "done", "failed", "latency_s", "success_rate")


def test_each_chart_has_a_summary_and_a_row_for_each_line(installation: Installation) -> None:
    shown = installation.run("trends").stdout.splitlines()
    assert shown[0] == "Webhooks (a minute): 0 accepted, 0 refused"
    assert shown[1].startswith("  HubSpot                 0  max        0  ▁▁▁▁")
    assert [line for line in shown if not line.startswith(" ")][-1].startswith("Synced within 30 s")
    assert max(map(len, shown)) <= 80


def test_the_document_has_its_keys(installation: Installation) -> None:
    found = installation.ask("trends", "--period", "week", "--side", "stripe")
    assert tuple(found) == KEYS
    assert (found["period"], found["side"], found["step_ms"]) == ("week", "stripe", 60 * MINUTE_MS)
    assert isinstance(found["at_ms"], list)
    assert len(found["at_ms"]) == 168


def test_what_was_counted_is_shown(installation: Installation) -> None:
    installation.store.figures.add(Figure.JOBS_ENDED, "stripe", "write", "done", number=7)
    store_figures(installation.store)
    assert installation.ask("trends", "--period", "week")["done"] == 7


def test_a_course_is_drawn_from_the_lowest_to_the_highest_block() -> None:
    assert draw([0, 4, 8, None], 8) == "▁▅█ "
    assert draw([1.0] * 96, 2) == "▅" * 32
    assert draw([], None) == ""
