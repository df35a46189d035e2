"""``link`` and ``unlink``: listed, shown before, confirmed, done."""

from __future__ import annotations

import pytest

from tests.support.core_builders import contact, customer
from tests.support.installation import Installation
from wanesync.core.errors import ConfigError
from wanesync.core.model import LinkState, Note, NoteCode, Record, StoredRecord


@pytest.fixture(name="rivals")
def store_rivals(installation: Installation) -> Installation:
    """Two contacts that match one customer."""
    installation.claim_map()
    note = Note(NoteCode.AMBIGUOUS, "ambiguous: 2 contacts carry its e-mail")
    store = installation.store

    def copy(record: Record) -> StoredRecord:
        return StoredRecord(record, 1, 1, 1, hmacs=frozenset({store.hmac("ana@example.com")}), note=note)

    people = [contact(number, email="ana@example.com", city="Lyon") for number in ("1", "2")]
    store.run(
        lambda tx: tx.records.put_many(map(copy, [*people, customer(email="ana@example.com", phone="+49301234")]))
    )
    return installation


def states(installation: Installation) -> list[tuple[str, LinkState]]:
    with installation.store.reading() as tx:
        return [(link.hubspot_id, link.state) for link in tx.links.of_ids([], ["cus_1"])]


def test_without_ids_it_lists_what_is_ambiguous(rivals: Installation) -> None:
    shown = rivals.run("link").stdout
    assert "3 ambiguous records." in shown
    (row,) = [one for one in rivals.ask_rows("ambiguous", "link") if one["id"] == "cus_1"]
    assert row["candidates"] == [{"side": "hubspot", "id": number, "linked_with": ""} for number in ("1", "2")]
    assert rivals.run("link", "--limit", "1").stdout.count("1 of 3 ambiguous records.") == 1


def test_nothing_ambiguous(installation: Installation) -> None:
    assert installation.run("link").stdout == "No ambiguous records.\n"


def test_a_dry_run_shows_what_would_be_written(rivals: Installation) -> None:
    shown = rivals.run("link", "1", "cus_1", "--dry-run").stdout
    assert ("phone" in shown, "Nothing was changed." in shown, "+49301234" in shown) == (True, True, False)
    asked = rivals.ask("link", "1", "cus_1", "--dry-run", "--show-values")
    assert (asked["linked"], asked["dry_run"]) == (False, True)
    assert {"field": "phone", "side": "hubspot", "from": "", "to": "+49301234"} in asked["writes"]  # type: ignore[operator] # a list
    assert states(rivals) == []


def test_linked_and_unlinked(rivals: Installation) -> None:
    assert rivals.ask("link", "1", "cus_1", "--yes")["linked"] is True
    assert "linked already" in rivals.run("link", "1", "cus_1").stdout
    assert "would be unlinked" in rivals.run("unlink", "1", "cus_1", "--dry-run").stdout
    assert states(rivals) == [("1", LinkState.ACTIVE)]
    assert rivals.ask("unlink", "1", "cus_1", "--yes")["unlinked"] is True
    assert states(rivals) == [("1", LinkState.RELEASED)]
    assert "unlinked already" in rivals.run("unlink", "1", "cus_1").stdout


def test_the_customer_that_becomes_primary_is_named_before(rivals: Installation) -> None:
    rivals.ask("link", "1", "cus_1", "--yes")
    second = customer("cus_2", email="ben@example.com", phone="+49305678")
    rivals.store.run(lambda tx: tx.records.put_many([StoredRecord(second, 1, 1, 1)]))
    rivals.ask("link", "1", "cus_2", "--yes")
    shown = rivals.run("unlink", "1", "cus_1", "--dry-run").stdout
    assert "Customer cus_2 becomes the contact's primary customer" in shown
    assert rivals.ask("unlink", "1", "cus_1", "--yes")["new_primary"] == "cus_2"


def test_it_asks_before_it_does(rivals: Installation) -> None:
    with pytest.raises(ConfigError, match="confirm it with --yes"):
        rivals.run("link", "1", "cus_1")
    with pytest.raises(ConfigError, match="wanesync link CONTACT CUSTOMER"):
        rivals.run("link", "1")
    with pytest.raises(ConfigError, match="unlink: the two records are no pair"):
        rivals.run("unlink", "1", "cus_1", "--yes")
