"""Erasure: rows of one person are emptied, those of others stay, on both databases."""

from __future__ import annotations

from tests.support.store_reads import read_everything
from wanesync.core.model import Change, Conflict, Event, Link, LinkState, PendingWrite, Side, WriteKind, WriteResult
from wanesync.store import Store


def test_rows_of_a_person_are_emptied_and_others_stay(store: Store) -> None:
    link = Link("k1", "1", "cus_1", True, {"city": ("Lyon one", "Lyon one")}, 1)
    with store.transaction() as tx:
        for record_id, city in (("1", "Lyon one"), ("2", "Lyon two")):
            tx.events.put_many([Event(f"e{record_id}", Side.HUBSPOT, "updated", record_id, 1, {"city": city})])
            tx.conflicts.put(Conflict(Side.HUBSPOT, record_id, "city", city, "policy"), "")
            tx.journal.add("updated", Side.HUBSPOT, record_id, "", {"fields": {"city": city}})
            tx.rejected.put(Side.HUBSPOT, "odd", f'{{"objectId": "c{record_id}", "city": "{city}"}}'.encode())
    with store.transaction() as tx:
        tx.erasure.erase(["1", "c1"], [link], [store.hmac("ann@example.com")])
    with store.reading() as tx:
        left = [text for texts in read_everything(tx).values() for text in texts]
        assert not [text for text in left if "Lyon one" in text]
        assert len([text for text in left if "Lyon two" in text]) == 4
        assert tx.events.get("e1") is not None
        assert next(entry.data for entry in tx.journal.of(["1"], 5)).keys() == {"reason"}


def test_without_links_and_addresses(store: Store) -> None:
    with store.transaction() as tx:
        tx.erasure.erase(["1"], [], [])
        assert tx.erasure.erased_since(0) == []


def test_of_the_customer_of_a_released_link_only_what_went_over_it_is_emptied(store: Store) -> None:
    released = Link("k1", "1", "cus_1", False, {}, 1, LinkState.RELEASED)
    with store.transaction() as tx:
        for link_id in ("k1", "k2"):
            city = {"city": Change("", f"Lyon {link_id}", f"Lyon {link_id}")}
            keys = ("contact:1", "1", "cus_1", f"key {link_id}")
            tx.pending_writes.put(
                PendingWrite(f"w {link_id}", Side.STRIPE, WriteKind.UPDATE, *keys, "{}", city, link_id=link_id)
            )
            tx.pending_writes.record_result(f"w {link_id}", WriteResult.OK)
            tx.conflicts.put(Conflict(Side.STRIPE, "cus_1", "city", f"Kiel {link_id}", "policy"), link_id)
            tx.journal.add("updated", Side.STRIPE, "cus_1", link_id, {"fields": {"city": f"Ulm {link_id}"}})
    with store.transaction() as tx:
        tx.erasure.erase(["1"], [released], [])
    with store.reading() as tx:
        left = " ".join(text for texts in read_everything(tx).values() for text in texts)
    assert [name for name in ("Lyon k1", "Lyon k2", "Kiel k1", "Kiel k2", "Ulm k1", "Ulm k2") if name in left] == [
        "Lyon k2",
        "Kiel k1",
        "Kiel k2",
        "Ulm k2",
    ]
