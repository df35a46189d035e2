"""What a side says about when to come again."""

from __future__ import annotations

import pytest

from wanesync.adapters.http_answers import read_retry_after_ms

NOW = "Mon, 23 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({"Retry-After": "3"}, 3_000),
        ({"retry-after": "0.5"}, 500),
        ({"Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT", "Date": NOW}, 30_000),
        ({"retry-after": "Mon, 23 Nov 2026 09:59:00 GMT", "date": NOW}, 0),
        ({"Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT"}, None),
        ({"Retry-After": "Mon, 30 Nov 2026 10:00:00 GMT", "Date": NOW}, None),
        ({"Retry-After": "soon", "Date": NOW}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": f"Mon, 23 Nov {'9' * 20} 10:00:00 GMT", "Date": NOW}, None),
        ({"Retry-After": NOW, "Date": f"Mon, 23 Nov 2026 10:00:00 +{'9' * 20}"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Date": NOW}, None),
    ],
)
def test_how_long_to_wait_is_told_in_seconds_or_by_a_date(headers: dict[str, str], wait_ms: int | None) -> None:
    assert read_retry_after_ms(headers) == wait_ms
