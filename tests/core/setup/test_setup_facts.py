"""The ports of a set-up: the adapters and the fakes of the tests implement them."""

from __future__ import annotations

from tests.support.setup_ports import FakeHubSpot, FakeStripe
from wanesync.core.setup.setup_facts import HubSpotSetupPort, StripeSetupPort


def test_the_fakes_are_ports() -> None:
    hubspot: HubSpotSetupPort = FakeHubSpot()
    stripe: StripeSetupPort = FakeStripe()
    assert (hubspot.account().id, stripe.account().id) == ("17", "acct_1")
