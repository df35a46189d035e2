"""What happened before the first listing began."""

from __future__ import annotations

from tests.simulation.play import play_seed


def test_a_payment_from_before_the_first_listing_counts_only_if_its_webhook_came() -> None:
    assert play_seed(271700985).violations == []
