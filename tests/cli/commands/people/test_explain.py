"""``explain``: one sentence about a person, as text and as JSON."""

from __future__ import annotations

import pytest

from tests.support.core_builders import contact, customer
from tests.support.installation import Installation
from wanesync.core.errors import NotFound
from wanesync.core.model import Link, StoredRecord


@pytest.fixture(name="parted")
def store_pair(installation: Installation) -> Installation:
    """A linked pair with two cities that both stay."""
    store = installation.store
    hmacs = frozenset({store.hmac("ana@example.com")})
    with store.transaction() as tx:
        for record in (contact(email="ana@example.com", city="Lyon"), customer(email="ana@example.com", city="Ulm")):
            tx.records.put_many([StoredRecord(record, 1, 1, 1, hmacs=hmacs)])
        base = {"email": ("ana@example.com",) * 2, "city": ("Lyon", "Ulm")}
        tx.links.put(Link("k1", "1", "cus_1", primary=True, base=base, version=1))
    return installation


def test_it_says_why_and_what_to_do(parted: Installation) -> None:
    shown = parted.run("explain", "ana@example.com").stdout
    assert shown.startswith(
        "hubspot 1, stripe cus_1: needs decision\n  The two sides differ in city, and both are kept."
    )
    assert "What to do: settle them as conflicts" in shown
    assert "Lyon" not in shown


def test_the_document_has_its_keys(parted: Installation) -> None:
    (one,) = parted.ask_rows("people", "explain", "cus_1")
    assert tuple(one) == ("hubspot_id", "stripe_ids", "state", "sentence", "way_out", "more")
    assert (one["hubspot_id"], one["stripe_ids"], one["state"]) == ("1", ["cus_1"], "needs_decision")


def test_an_unknown_person_is_refused(installation: Installation) -> None:
    with pytest.raises(NotFound, match="no record, payment or charge"):
        installation.run("explain", "nobody@example.com")
