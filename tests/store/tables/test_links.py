"""Links in the store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.store_rows import a_link
from tests.support.threads import together
from wanesync.core.errors import WanesyncError
from wanesync.core.model import (
    Link,
    LinkState,
    Parked,
    Side,
)
from wanesync.store import (
    ConstraintViolated,
    LinkMoved,
    Store,
)

H, S = Side.HUBSPOT, Side.STRIPE


def test_a_link_comes_back_as_it_went_in(store: Store) -> None:
    link = replace(
        a_link("l1", "1", "cus_1"), parked={"email": Parked(H, "x@example.com")}, state=LinkState.RELEASED, decided=True
    )
    with store.transaction() as tx:
        tx.links.put(link)
    with store.reading() as tx:
        assert tx.links.get("l1") == link
        assert tx.links.get("l2") is None


def test_links_are_found_by_either_end_in_any_state(store: Store) -> None:
    one, two = a_link("l1", "1", "a"), replace(a_link("l2", "1", "b", primary=False), state=LinkState.ORPHANED)
    three = a_link("l3", "3", "c")
    with store.transaction() as tx:
        for link in (one, two, three):
            tx.links.put(link)
    with store.reading() as tx:
        assert tx.links.of_records([(H, "1"), (S, "a"), (S, "zz")]) == [one, two]
        assert tx.links.of_ids([], ["b", "c"]) == [two, three]
        assert tx.links.of_ids([], []) == []
        assert tx.links.count_active() == 2
        assert [link.id for link in tx.links.outlines("l1", 5)] == ["l2", "l3"]


def test_a_link_changes_only_from_its_newest_version(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        tx.links.put(a_link("l1", "1", "a"))
    with other_store.transaction() as tx:
        tx.links.put(replace(a_link("l1", "1", "a", version=2), base={}))
    for version in (1, 2, 4):
        with pytest.raises(LinkMoved), store.transaction() as tx:
            tx.links.put(a_link("l1", "1", "a", version=version))
    with store.reading() as tx:
        link = tx.links.get("l1")
    assert link
    assert (link.version, link.base) == (2, {})


@pytest.mark.parametrize(
    "second",
    [
        a_link("l2", "1", "a", primary=False),  # the pair again
        a_link("l2", "2", "a", primary=False),  # a second active link of the customer
        a_link("l2", "1", "b"),  # a second primary of the contact
    ],
)
def test_the_database_itself_holds_one_link_per_customer_and_one_primary(store: Store, second: Link) -> None:
    with store.transaction() as tx:
        tx.links.put(a_link("l1", "1", "a"))
    with pytest.raises(ConstraintViolated, match="links"), store.transaction() as tx:
        tx.links.put(second)


def test_links_that_are_not_active_free_their_places(store: Store) -> None:
    with store.transaction() as tx:
        tx.links.put(replace(a_link("l1", "1", "a"), state=LinkState.ORPHANED))
        tx.links.put(a_link("l2", "2", "a"))
        tx.links.put(a_link("l3", "1", "b"))
        tx.links.put(a_link("l4", "1", "c", primary=False))
        tx.links.put(replace(a_link("l3", "1", "b", version=2), primary=False))
        tx.links.put(a_link("l4", "1", "c", version=2))
    with store.reading() as tx:
        assert [link.id for link in tx.links.of_ids(["1"], []) if link.primary and link.state == "active"] == ["l4"]


def test_links_of_a_batch_are_changed_and_added_or_none_is(store: Store) -> None:
    with store.transaction() as tx:
        tx.links.put_many([a_link("l1", "1", "a"), a_link("l2", "2", "b")])
        demoted = replace(a_link("l1", "1", "a", version=2), primary=False)
        tx.links.put_many([demoted, a_link("l3", "1", "c")])
    with pytest.raises(LinkMoved), store.transaction() as tx:
        tx.links.put_many([a_link("l2", "2", "b", version=2), a_link("l1", "1", "a", version=2)])
    with pytest.raises(LinkMoved), store.transaction() as tx:
        tx.links.put_many([a_link("l2", "2", "b", version=2), a_link("l2", "2", "b", version=2)])
    with store.reading() as tx:
        found = {link.id: (link.version, link.primary) for link in tx.links.get_many(["l1", "l2", "l3"])}
    assert found == {"l1": (2, False), "l2": (1, True), "l3": (1, True)}


def test_a_link_is_changed_by_one(store: Store, other_store: Store) -> None:
    with store.transaction() as tx:
        tx.links.put(a_link("l", "1", "a"))

    def change(of: Store, value: str) -> bool:
        link = replace(a_link("l", "1", "a", version=2), base={"name": (value, value)})
        try:
            of.run(lambda tx: tx.links.put(link))
        except LinkMoved:
            return False
        return True

    assert sorted(together([lambda: change(store, "x"), lambda: change(other_store, "y")])) == [False, True]


def test_a_customer_is_linked_once(store: Store, other_store: Store) -> None:
    def link(of: Store, link_id: str, contact: str) -> bool:
        try:
            of.run(lambda tx: tx.links.put(a_link(link_id, contact, "cus_1")))
        except WanesyncError:
            return False
        return True

    assert sorted(together([lambda: link(store, "l1", "1"), lambda: link(other_store, "l2", "2")])) == [False, True]
    with store.reading() as tx:
        assert tx.links.count_active() == 1


def test_links_are_counted_by_state(store: Store) -> None:
    with store.transaction() as tx:
        tx.links.put(a_link("l1", "1", "a"))
        tx.links.put(replace(a_link("l2", "2", "b"), state=LinkState.ORPHANED))
        assert {state: number for state, number in tx.links.counts().items() if number} == {"active": 1, "orphaned": 1}
