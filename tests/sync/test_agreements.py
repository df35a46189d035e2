"""Conflicts close by themselves once both sides agree on the field again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import FIELDS, contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, customer_answer, refused
from wanesync.core.errors import Failure
from wanesync.core.model import Conflict
from wanesync.sync.agreements import SWEEP_ROWS, Agreement, close_agreed, sweep_agreed

ANN = contact("1", other_id="cus_1", email="ann@example.com", city="Lyon")
CUS = customer("cus_1", other_id="1", email="ann@example.com", city="Nice")
KEY = "contact:1"


def keep(live: LiveSync, kind: str = "differ", field: str = "city") -> None:
    """Ann's city differs, and both values were kept as a conflict a while ago."""
    made = live.link(ANN, CUS)
    with live.store.transaction() as tx:
        tx.conflicts.put(Conflict(HUBSPOT, "1", field, "Lyon", kind), made.id)
        tx.conflicts.put(Conflict(STRIPE, "cus_1", field, "Nice", kind), made.id)
    live.advance(5_000)


def edit(live: LiveSync, city: str) -> None:
    """A user sets Ann's city in HubSpot."""
    live.know(replace(ANN, values={**ANN.values, "city": city}, modified_ms=5))
    live.queue(STRIPE, KEY)
    live.stripe.script("update_customer", lambda *_: customer_answer(replace(CUS, values={**CUS.values, "city": city})))
    live.work(STRIPE)


@pytest.mark.case(25)
@pytest.mark.parametrize("kind", ["differ", "not_taken", "unsplit", "policy", "overwritten", "held"])
def test_a_later_edit_that_arrives_closes_the_conflicts_of_its_field(live: LiveSync, kind: str) -> None:
    keep(live, kind)
    edit(live, "Paris")
    assert live.conflicts() == []
    assert live.journal().count("conflict closed") == 2


@pytest.mark.case(25)
def test_an_edit_to_what_the_other_side_holds_closes_them_without_a_write(live: LiveSync) -> None:
    keep(live)
    edit(live, "Nice")
    assert live.conflicts() == []
    assert live.stripe.requests == []


def test_a_refused_value_that_is_taken_back_is_listed_no_more(live: LiveSync) -> None:
    lyon = replace(CUS, values={**CUS.values, "city": "Lyon"})
    live.link(ANN, lyon)
    live.know(replace(CUS, values={**CUS.values, "city": "???"}))
    live.hubspot.script(
        "update_contacts", lambda items: {i.trace: refused(HUBSPOT, Failure.REFUSED, "city") for i in items}
    )
    for customer_copy, listed in ((None, [("parked", "city", "???")]), (lyon, [])):
        if customer_copy is not None:
            live.know(customer_copy)
        live.queue(HUBSPOT, KEY)
        live.work(HUBSPOT)
        live.advance(5_000)
        assert live.conflicts() == listed
    assert not live.links("1")[0].parked


def test_conflicts_of_other_fields_stay(live: LiveSync) -> None:
    keep(live, field="phone")
    edit(live, "Paris")
    assert len(live.conflicts()) == 2


def test_a_part_of_a_name_belongs_to_its_field(live: LiveSync) -> None:
    made = live.link(ANN, CUS)
    live.store.run(lambda tx: tx.conflicts.put(Conflict(HUBSPOT, "1", "name/firstname", "Eve", "overwritten"), made.id))
    live.advance(5_000)
    live.know(
        replace(CUS, values={**CUS.values, "name": "Ann"}), replace(ANN, values={**ANN.values, "name": "Ann\x1f"})
    )
    live.queue(STRIPE, KEY)
    live.work(STRIPE)
    assert live.conflicts() == []


def test_a_part_that_stands_again_with_the_other_one_is_listed_no_more(live: LiveSync) -> None:
    made = live.link(ANN, CUS)
    live.store.run(lambda tx: tx.conflicts.put(Conflict(HUBSPOT, "1", "name/lastname", "Lee", "overwritten"), made.id))
    live.store.run(lambda tx: tx.conflicts.put(Conflict(HUBSPOT, "1", "name/firstname", "Eve", "overwritten"), made.id))
    standing = replace(made, base={**made.base, "name": ("Ann\x1fLee", "Ann Lee")})
    agreement = Agreement(standing, "name", 0)
    live.store.run(lambda tx: close_agreed(tx, FIELDS, [agreement]))
    assert live.conflicts() == [("overwritten", "name/firstname", "Eve")]


def test_the_value_that_did_not_win_is_kept_when_the_winner_s_write_is_answered(live: LiveSync) -> None:
    live.link(ANN, replace(CUS, values={**CUS.values, "city": "Lyon"}))
    live.know(
        replace(ANN, values={**ANN.values, "city": "Paris"}, modified_ms=5),
        replace(CUS, values={**CUS.values, "city": "Rom"}),
    )
    live.queue(HUBSPOT, KEY)
    live.hubspot.script(
        "update_contacts",
        lambda items: {i.trace: replace(ANN, values={**ANN.values, "city": "Rom"}, modified_ms=9) for i in items},
    )
    live.work(HUBSPOT)
    assert live.links("1")[0].base["city"] == ("Rom", "Rom")
    assert live.conflicts() == [("policy", "city", "Paris")]


def test_a_sweep_closes_what_was_brought_about_in_any_other_way(live: LiveSync) -> None:
    keep(live)
    fields = live.runtime.rules.fields
    assert live.store.run(lambda tx: sweep_agreed(tx, fields, "")) == ""
    assert len(live.conflicts()) == 2, "they differ"
    link = live.links("1")[0]
    agreed = replace(link, base={**link.base, "city": ("Nice", "Nice")}, version=link.version + 1)
    with live.store.transaction() as tx:
        tx.links.put(agreed)
        tx.conflicts.put(Conflict(HUBSPOT, "1", "city", "Metz", "policy"), link.id)
        tx.conflicts.put(Conflict(HUBSPOT, "9", "city", "Metz", "differ"), "")
    assert live.store.run(lambda tx: sweep_agreed(tx, fields, "")) == ""
    assert sorted(live.conflicts()) == [("differ", "city", "Metz"), ("policy", "city", "Metz")]


def test_a_sweep_goes_on_from_where_a_page_ended(live: LiveSync) -> None:
    with live.store.transaction() as tx:
        for n in range(SWEEP_ROWS):
            tx.conflicts.put(Conflict(HUBSPOT, str(n), "city", "Metz", "differ"), "")
    fields = live.runtime.rules.fields
    last = live.store.run(lambda tx: sweep_agreed(tx, fields, ""))
    assert last
    assert live.store.run(lambda tx: sweep_agreed(tx, fields, last)) == ""
