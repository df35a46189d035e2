"""No webhook that was changed after it was signed is accepted; the campaign has a million."""

from __future__ import annotations

from tests.robustness.tampered_webhooks import CHANGES, play


def test_no_tampered_webhook_is_accepted() -> None:
    counts, wrong = play(20_000, 7)
    assert wrong == []
    assert counts["unchanged"] == 20
    assert all(counts[change.__name__] > 1_000 for change in CHANGES)
