"""What happens to people in real portals: twins, merges, deletions, guests, taken addresses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stage import Stage
from wanesync.core.model import LinkState, Side


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("people")
    with Stage(f"sqlite:{folder / 'wanesync.db'}", folder) as made:
        made.edit(Side.STRIPE, "create", email="twin@example.com", name="Ana Twin")
        made.edit(Side.STRIPE, "create", email="TWIN@example.com", name="Ana Twin")
        made.live()
        yield made


def links(stage: Stage, contact_id: str) -> list[tuple[bool, LinkState]]:
    with stage.store.reading() as tx:
        return [(link.primary, link.state) for link in tx.links.of_records([(Side.HUBSPOT, contact_id)])]


def test_two_customers_with_one_address_share_one_contact(stage: Stage) -> None:
    contact = stage.contact("twin@example.com")
    assert sorted(links(stage, contact["id"])) == [(False, LinkState.ACTIVE), (True, LinkState.ACTIVE)]
    twins = [row["id"] for row in stage.sandbox.records(Side.STRIPE) if row["email"].lower() == "twin@example.com"]
    assert len(twins) == 2
    for customer_id in twins:
        stage.edit(Side.STRIPE, "purchase", customer_id, amount="1999", currency="usd")
    stage.rest()
    landed = [contact_id for _, contact_id, _ in stage.writes(Side.HUBSPOT, "event.sent")]
    assert landed == [contact["id"]] * 2


def test_a_deleted_contact_leaves_its_customer_and_does_not_come_back(stage: Stage) -> None:
    contact_id = stage.edit(Side.HUBSPOT, "create", email="gone@example.com", firstname="Gone")
    stage.until(lambda: stage.customer("gone@example.com"), "the customer is made")
    stage.rest()
    stage.edit(Side.HUBSPOT, "delete", contact_id)
    stage.rest()
    customer_id = stage.customer("gone@example.com")["id"]
    stage.edit(Side.STRIPE, "update", customer_id, name="Still Here")
    stage.rest()
    assert stage.contact("gone@example.com") == {}
    assert [state for _, state in links(stage, contact_id)] == [LinkState.ORPHANED]
    assert stage.compare().actionable == 0


def test_a_stranger_who_buys_becomes_a_contact_once(stage: Stage) -> None:
    for _ in range(3):
        stage.edit(Side.STRIPE, "purchase", amount="500", currency="eur", email="Guest@example.com")
    stage.until(lambda: stage.contact("guest@example.com"), "the guest becomes a contact")
    stage.rest()
    contact_id = stage.contact("guest@example.com")["id"]
    assert [c for _, c, _ in stage.writes(Side.HUBSPOT, "event.sent")].count(contact_id) == 3
    assert stage.compare().actionable == 0


def test_a_contact_without_an_address_is_left_alone_until_it_has_one(stage: Stage) -> None:
    contact_id = stage.edit(Side.HUBSPOT, "create", firstname="Nameless")
    stage.rest()
    assert "Nameless" not in [row.get("name") for row in stage.sandbox.records(Side.STRIPE)]
    stage.edit(Side.HUBSPOT, "update", contact_id, email="named@example.com")
    stage.until(lambda: stage.customer("named@example.com").get("name") == "Nameless", "now it is a customer")


def test_an_address_that_is_taken_is_parked_and_the_rest_arrives(stage: Stage) -> None:
    stage.edit(Side.HUBSPOT, "create", email="holder@example.com", firstname="Holder")
    stage.edit(Side.HUBSPOT, "create", email="mover@example.com", firstname="Mover")
    stage.until(lambda: stage.customer("mover@example.com") and stage.customer("holder@example.com"), "both arrive")
    stage.rest()
    customer_id = stage.customer("mover@example.com")["id"]
    stage.edit(Side.STRIPE, "update", customer_id, email="holder@example.com", phone="+12025550177")
    stage.until(lambda: stage.contact("mover@example.com").get("phone") == "+12025550177", "the phone arrives")
    stage.rest()
    assert stage.contact("holder@example.com")["firstname"] == "Holder"
    assert stage.contact("mover@example.com")["firstname"] == "Mover"
    assert stage.row(Side.STRIPE, customer_id)["email"] == "holder@example.com", "nobody's edit is taken back"
    assert stage.compare().actionable == 0


def test_a_purchase_of_an_account_is_no_guests_and_is_named(stage: Stage) -> None:
    contact_id = stage.edit(Side.HUBSPOT, "create", email="buyer@example.com", firstname="Buyer")
    stage.until(lambda: stage.customer("buyer@example.com"), "the customer is made")
    stage.edit(Side.STRIPE, "purchase", amount="700", currency="eur", email="buyer@example.com", account="acct_1Buyer")
    stage.until(lambda: stage.ask("status")["account_purchases"] == 1, "the payment is counted")
    assert contact_id not in [found for _, found, _ in stage.writes(Side.HUBSPOT, "event.sent")]
    [alarm] = [line for line in stage.run("status", "--check").stdout.splitlines() if "Accounts v2" in line]
    assert "1 payment of the last day was made by an account" in alarm
