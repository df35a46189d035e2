"""The bounds of the web application."""

from __future__ import annotations

from wanesync.web.settings import WebSettings


def test_an_application_without_hooks_is_ready_and_has_no_gauges() -> None:
    settings = WebSettings()
    assert (settings.ready(), settings.gauges()) == ("", {})


def test_a_body_of_a_hundred_events_fits_by_default() -> None:
    largest_event_bytes = 5_000
    assert WebSettings().max_body_bytes > 100 * largest_event_bytes
