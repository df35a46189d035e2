"""The option ``--since``, and times as commands print them."""

import pytest

from wanesync.cli.times import format_time, parse_since
from wanesync.core.errors import ConfigError

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "ago_ms"),
    [
        ("90s", 90_000),
        ("30m", 1_800_000),
        ("30 min", 1_800_000),
        ("2h", 7_200_000),
        ("5d", 432_000_000),
        ("1w", 604_800_000),
    ],
)
def test_a_span_counts_back_from_now(text: str, ago_ms: int) -> None:
    assert parse_since(text, NOW_MS) == NOW_MS - ago_ms


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-11-01", 1_793_491_200_000),
        ("2026-11-01T08:30", 1_793_521_800_000),
        ("2026-11-01T08:30:00+02:00", 1_793_514_600_000),
    ],
)
def test_a_date_or_time_is_utc_unless_it_says_otherwise(text: str, at_ms: int) -> None:
    assert parse_since(text, NOW_MS) == at_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2x", "-2h", "2026-13-01"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="span"):
        parse_since(text, NOW_MS)


@pytest.mark.parametrize("text", ["99999999999999w", "9" * 5000 + "s", "3000w", "1969-12-31", "0001-01-01"])
def test_what_no_database_has_a_number_for_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--since"):
        parse_since(text, NOW_MS)


def test_a_time_is_printed_in_utc_with_its_milliseconds() -> None:
    assert format_time(1_793_521_800_250) == "2026-11-01 08:30:00.250Z"
