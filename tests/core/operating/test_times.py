"""Times as filters take them; more of it in tests/cli/test_times.py."""

from __future__ import annotations

import pytest

from wanesync.core.errors import ConfigError
from wanesync.core.operating.times import format_time, parse_time

NOW_MS = 1_796_000_000_000


@pytest.mark.parametrize("text", ["soon", "9999999999999999999d", "2026-13-01"])
def test_what_is_no_time_is_refused_by_the_name_of_its_filter(text: str) -> None:
    with pytest.raises(ConfigError, match="until"):
        parse_time(text, NOW_MS, "until")


def test_a_time_that_is_shown_is_read_again() -> None:
    assert parse_time(format_time(NOW_MS), NOW_MS, "since") == NOW_MS
