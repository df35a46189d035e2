"""The five flows from signed webhook to the other side, on both databases, with real processes and real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.stage import Stage
from wanesync.core.model import Side


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("flows")
    with ExitStack() as stack:
        url = f"sqlite:{folder / 'wanesync.db'}"
        if request.param == "postgres":
            url = stack.enter_context(request.getfixturevalue("postgres_databases").lend())
        made = stack.enter_context(Stage(url, folder))
        made.live()
        yield made


def test_the_five_flows(stage: Stage) -> None:
    contact_id = stage.edit(
        Side.HUBSPOT, "create", email="ana@example.com", firstname="Ana", lastname="Ribeiro", city="Lyon"
    )
    stage.until(lambda: stage.customer("ana@example.com"), "a new contact becomes a customer")
    customer = stage.customer("ana@example.com")
    assert (customer["name"], customer["address.city"]) == ("Ana Ribeiro", "Lyon")

    stage.edit(Side.HUBSPOT, "update", contact_id, phone="+12025550123", city="Leeds")
    stage.until(lambda: stage.customer("ana@example.com").get("phone") == "+12025550123", "an edit reaches Stripe")
    assert stage.customer("ana@example.com")["address.city"] == "Leeds"

    customer_id = stage.edit(Side.STRIPE, "create", email="Tom@Example.com", name="Tom Baker")
    stage.until(lambda: stage.contact("tom@example.com"), "a new customer becomes a contact")
    assert (stage.contact("tom@example.com")["firstname"], stage.contact("tom@example.com")["lastname"]) == (
        "Tom",
        "Baker",
    )

    stage.edit(Side.STRIPE, "update", customer_id, address__city="Tokyo", business_name="Baker Ltd")
    stage.until(lambda: stage.contact("tom@example.com").get("city") == "Tokyo", "an edit reaches HubSpot")
    assert stage.contact("tom@example.com")["company"] == "Baker Ltd"

    sales = {"usd": ("1999", "19.99"), "jpy": ("3200", "3200"), "kwd": ("12500", "12.500")}
    for currency, (amount, _) in sales.items():
        stage.edit(Side.STRIPE, "purchase", customer_id, amount=amount, currency=currency)
    stage.edit(Side.STRIPE, "purchase", amount="500", currency="eur", email="ANA@example.com")
    stage.until(lambda: len(stage.writes(Side.HUBSPOT, "event.sent")) == 4, "four purchases reach their contacts")
    stage.rest()

    sent = stage.writes(Side.HUBSPOT, "event.sent")
    assert len(sent) == 4, "each of them once"
    tom = stage.contact("tom@example.com")["id"]
    told = {changes["currency"]: (changes["amount"], contact) for _, contact, changes in sent}
    assert told == {
        "USD": ("19.99", tom),
        "JPY": ("3200", tom),
        "KWD": ("12.500", tom),
        "EUR": ("5.00", contact_id),
    }
    assert len({changes["uuid"] for _, _, changes in sent}) == 4
    report = stage.compare()
    people = [len(stage.sandbox.records(side)) for side in Side]
    assert (report.actionable, people) == (0, [2, 2])


def test_echoes_cost_nothing_and_one_edit_costs_one_write(stage: Stage) -> None:
    contact_id = stage.edit(Side.HUBSPOT, "create", email="eve@example.com", firstname="Eve", city="Lyon")
    stage.until(lambda: stage.customer("eve@example.com"), "the contact arrives")
    stage.rest()

    before = {side: len(stage.writes(side)) for side in Side}
    stage.edit(Side.HUBSPOT, "update", contact_id, city="Berlin")
    stage.until(lambda: stage.customer("eve@example.com").get("address.city") == "Berlin", "the edit arrives")
    stage.rest()
    after = {side: len(stage.writes(side)) for side in Side}
    assert after == {Side.HUBSPOT: before[Side.HUBSPOT], Side.STRIPE: before[Side.STRIPE] + 1}

    customer_id = stage.customer("eve@example.com")["id"]
    stage.edit(Side.STRIPE, "update", customer_id, phone="+12025550188")
    stage.until(lambda: stage.contact("eve@example.com").get("phone") == "+12025550188", "the edit arrives")
    stage.rest()
    assert {side: len(stage.writes(side)) for side in Side} == {
        Side.HUBSPOT: after[Side.HUBSPOT] + 1,
        Side.STRIPE: after[Side.STRIPE],
    }


def test_a_value_set_back_by_a_person_arrives(stage: Stage) -> None:
    contact_id = stage.edit(Side.HUBSPOT, "create", email="abe@example.com", city="Lyon")
    stage.until(lambda: stage.customer("abe@example.com").get("address.city") == "Lyon", "A arrives")
    stage.rest()
    stage.edit(Side.HUBSPOT, "update", contact_id, city="Leeds")
    stage.until(lambda: stage.customer("abe@example.com").get("address.city") == "Leeds", "B arrives")
    stage.edit(Side.HUBSPOT, "update", contact_id, city="Lyon")
    stage.until(lambda: stage.customer("abe@example.com").get("address.city") == "Lyon", "A is back")
    stage.rest()
    assert (stage.contact("abe@example.com")["city"], stage.compare().actionable) == ("Lyon", 0)


def test_a_cleared_field_is_cleared_and_what_the_other_side_never_had_is_kept(stage: Stage) -> None:
    contact_id = stage.edit(Side.HUBSPOT, "create", email="ida@example.com", city="Lyon", phone="+12025550111")
    stage.until(lambda: stage.customer("ida@example.com").get("phone"), "the contact arrives")
    stage.rest()
    stage.edit(Side.HUBSPOT, "update", contact_id, phone="")
    stage.until(lambda: "phone" not in stage.customer("ida@example.com"), "the clearing arrives")
    stage.rest()
    assert stage.customer("ida@example.com")["address.city"] == "Lyon"
    assert stage.contact("ida@example.com")["city"] == "Lyon"


def test_the_same_field_on_both_sides_at_once_ends_in_the_owners_value_and_a_conflict(stage: Stage) -> None:
    contact_id = stage.edit(Side.HUBSPOT, "create", email="liv@example.com", company="Old Ltd")
    stage.until(lambda: stage.customer("liv@example.com").get("business_name") == "Old Ltd", "the contact arrives")
    stage.rest()
    customer_id = stage.customer("liv@example.com")["id"]
    with stage.sandbox.lock:
        stage.edit(Side.STRIPE, "update", customer_id, business_name="Stripe Ltd")
        stage.edit(Side.HUBSPOT, "update", contact_id, company="HubSpot Ltd")
    stage.rest()
    assert stage.contact("liv@example.com")["company"] == stage.customer("liv@example.com")["business_name"]
    with stage.store.reading() as tx:
        kept = {row.conflict.value for row in tx.conflicts.of_record(Side.STRIPE, customer_id)}
        kept |= {row.conflict.value for row in tx.conflicts.of_record(Side.HUBSPOT, contact_id)}
    assert {stage.contact("liv@example.com")["company"], *kept} >= {"HubSpot Ltd", "Stripe Ltd"}
