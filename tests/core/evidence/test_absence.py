"""When an absent record is asked for again (docs/correctness.md#absence)."""

from __future__ import annotations

from wanesync.core.evidence.absence import next_ask_ms


def test_an_absent_record_is_asked_for_after_1_10_and_60_seconds() -> None:
    assert [next_ask_ms(1_000, now_ms) for now_ms in (1_000, 2_000, 12_000, 72_000)] == [2_000, 12_000, 72_000, None]
