"""``history``: the journal, and what is stored of one person."""

from __future__ import annotations

import pytest

from tests.support.core_builders import contact, link
from tests.support.installation import Installation
from wanesync.core.errors import NotFound
from wanesync.core.model import Conflict, Side, StoredRecord
from wanesync.core.purchases import Purchase, Sink


def test_an_empty_journal_says_so(installation: Installation) -> None:
    assert installation.run("history").stdout == "Nothing was done yet.\n"
    assert installation.ask("history") == {"journal": []}


def test_a_person_is_shown_with_records_links_conflicts_and_journal(installation: Installation) -> None:
    with installation.store.transaction() as tx:
        tx.records.put_many([StoredRecord(contact("7", city="Ulm"), 1, 1, 1)])
        tx.links.put(link("7", "cus_7"))
        tx.conflicts.put(Conflict(Side.HUBSPOT, "7", "city", "Bonn", "differs"), link("7", "cus_7").id)
        tx.journal.add("updated", Side.STRIPE, "cus_7", "", {"fields": {"city": ["", "Ulm"]}})
    document = installation.ask("history", "7")
    assert tuple(document) == ("records", "links", "purchases", "conflicts", "journal")
    shown = installation.run("history", "cus_7").stdout
    assert "city U***" in shown
    assert "B***" in shown
    assert "fields city blank → U***" in shown
    for value in ("Ulm", "Bonn"):
        assert value not in shown
        assert value in installation.run("history", "7", "--show-values").stdout


def test_an_unknown_person_is_an_error(installation: Installation) -> None:
    with pytest.raises(NotFound, match="no record, payment or charge has this address or id"):
        installation.run("history", "8")


def test_a_payment_is_shown_with_its_amount_and_state(installation: Installation) -> None:
    bought = Purchase("pi_1", "ch_1", "cus_7", "", "", 1999, "eur", 1_000, contact_id="7", sink=Sink.NOTE)
    with installation.store.transaction() as tx:
        tx.purchases.put(bought)
    shown = installation.run("history", "ch_1").stdout
    for text in ("pi_1", "19.99 EUR", "todo", "note"):
        assert text in shown
    [found] = installation.ask_rows("purchases", "history", "pi_1")
    assert (found["charge_id"], found["amount"], found["currency"], found["state"]) == ("ch_1", "19.99", "eur", "todo")
