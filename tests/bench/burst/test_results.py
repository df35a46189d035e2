"""The errors of a burst are counted from the records and journals."""

from __future__ import annotations

from wanesync.bench.burst.load import Arrivals, Load
from wanesync.bench.burst.results import count_wrong
from wanesync.core.model import Side
from wanesync.sandbox.server import Sandbox


class FinishedBurst:
    """A finished burst: one contact, one customer, one purchase, and the records we created for them."""

    def __init__(self) -> None:
        self.sandbox = Sandbox()
        self.arrivals = Arrivals(self.sandbox, Load(1, 1, 1, 1))
        contact = self.edit(Side.HUBSPOT, email="contact@example.com", city="Lyon")
        self.counterpart = self.edit(Side.STRIPE, email="contact@example.com", **{"address.city": "Lyon"})
        self.arrivals.contacts[contact] = {"address.city": "Lyon"}
        self.edit(Side.STRIPE, email="customer@example.com")
        self.edit(Side.HUBSPOT, email="customer@example.com")
        self.arrivals.addresses.append("customer@example.com")
        self.add_event("ch_1")
        self.arrivals.charges.append("ch_1")

    def edit(self, side: Side, record_id: str | None = None, **values: str) -> str:
        return self.sandbox.edit(side, "update" if record_id else "create", record_id, values)

    def add_event(self, charge: str) -> None:
        self.sandbox.hubspot.journal.add(0, "event.sent", "1", "api:test", {"charge_id": charge})


def test_a_correct_burst_has_no_errors() -> None:
    assert count_wrong(FinishedBurst().arrivals) == {"lost": 0, "doubled": 0, "extra_creations": 0}


def test_an_overwritten_value_is_lost() -> None:
    final = FinishedBurst()
    final.edit(Side.STRIPE, final.counterpart, **{"address.city": "Nice"})
    assert count_wrong(final.arrivals)["lost"] == 1


def test_purchases_and_people_that_never_arrived_are_lost() -> None:
    final = FinishedBurst()
    final.arrivals.charges.append("ch_2")
    final.arrivals.addresses.append("missing@example.com")
    assert count_wrong(final.arrivals)["lost"] == 2


def test_duplicates_are_counted() -> None:
    final = FinishedBurst()
    final.edit(Side.STRIPE, email="Contact@example.com")
    final.add_event("ch_1")
    assert count_wrong(final.arrivals)["doubled"] == 2


def test_creations_beyond_one_each_are_counted() -> None:
    final = FinishedBurst()
    for counterpart in ("cus_1", "cus_2", "cus_3"):
        final.sandbox.stripe.journal.add(0, "customer.created", counterpart, "api:test", {})
    assert count_wrong(final.arrivals)["extra_creations"] == 2
