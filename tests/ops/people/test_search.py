"""A person is found by an address, an id, a payment, a name or a phone number; a search of copies is bounded."""

from __future__ import annotations

import pytest

from tests.support.reconcile_harness import Sides, store_all
from wanesync.core.errors import ConfigError
from wanesync.core.model import Link
from wanesync.core.purchases import Purchase
from wanesync.ops.people import search as people
from wanesync.ops.people.search import PeopleSearch
from wanesync.store.database import Store


class SlowClock:
    """A clock on which each look takes a second."""

    def __init__(self) -> None:
        self.ms = 0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        self.ms += 1_000
        return self.ms

    def sleep_until(self, at_ms: float) -> None:
        raise AssertionError("nothing waits")


@pytest.fixture(name="search")
def store_people(store: Store) -> PeopleSearch:
    """A linked pair with a second customer, a contact alone, a customer alone, and a payment of the pair."""
    sides = Sides(store.now_ms())
    sides.add_contact("1", email="ana@example.com", name="Ána\x1fLópez Díaz", phone="+491701234567")
    sides.add_customer("cus_1", email="ana@example.com", name="Ana Lopez")
    sides.add_customer("cus_2", email="ana@work.example")
    sides.add_contact("2", email="ben@example.com", name="Ben\x1fAnders")
    sides.add_customer("cus_4", email="di@example.com", company="López Hermanos GmbH")
    runtime = store_all(store, sides)
    with store.transaction() as tx:
        tx.links.put(Link("k1", "1", "cus_1", primary=True, base={}, version=1))
        tx.links.put(Link("k2", "1", "cus_2", primary=False, base={}, version=1))
        tx.purchases.put(Purchase("pi_1", "ch_1", "cus_2", "", "", 500, "eur", 1))
    return PeopleSearch(store, runtime.rules.fields)


def ids(search: PeopleSearch, text: str, limit: int = 10) -> list[tuple[str, list[str]]]:
    return [
        (one.contact.id if one.contact else "", [each.id for each in one.customers])
        for one in search.find(text, limit).people
    ]


PAIR = ("1", ["cus_1", "cus_2"])


@pytest.mark.parametrize("text", [" ANA@example.com", "ana@work.example", "1", "cus_1", "cus_2", "pi_1", "ch_1"])
def test_an_address_an_id_or_a_payment_stands_for_the_whole_person(search: PeopleSearch, text: str) -> None:
    assert ids(search, text) == [PAIR]
    assert search.find(text, 10).scan is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ana lop", [PAIR]),
        ("LÓPEZ", [PAIR, ("", ["cus_4"])]),
        ("diaz ana", [PAIR]),
        ("an", [PAIR, ("2", [])]),
        ("0170 123 45", [PAIR]),
        ("+49 (170) 1234567", [PAIR]),
        ("999999", []),
        ("nobody", []),
    ],
)
def test_a_name_or_a_number_is_searched_in_the_copies(
    search: PeopleSearch, text: str, found: list[tuple[str, list[str]]]
) -> None:
    assert ids(search, text) == found
    scan = search.find(text, 10).scan
    assert scan is not None
    assert (scan.searched, scan.total, scan.next) == (5, 5, "")


def test_an_address_is_never_searched_for(search: PeopleSearch) -> None:
    nothing = search.find("nobody@example.com", 10)
    assert (list(nothing.people), nothing.scan) == ([], None)


def test_a_search_ends_after_its_time_and_goes_on_there(
    store: Store, search: PeopleSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "SCAN_ROWS", 1)
    slow = PeopleSearch(store, search.fields, SlowClock())
    first = slow.find("lopez", 10)
    assert first.scan is not None
    assert (first.scan.searched, first.scan.next) == (2, "hubspot:2")
    rest = PeopleSearch(store, search.fields).find("lopez", 10, first.scan.next)
    assert rest.scan is not None
    assert (rest.scan.searched, rest.scan.next) == (3, "")
    assert [one.key for one in [*first.people, *rest.people]] == ["1", "1", "cus_4"]


def test_a_person_has_one_key_and_its_values(search: PeopleSearch) -> None:
    (pair,) = search.find("cus_2", 10).people
    (alone,) = search.find("cus_4", 10).people
    assert (pair.key, pair.linked, pair.value("email")) == ("1", True, "ana@example.com")
    assert (alone.key, alone.linked, alone.value("phone")) == ("cus_4", False, "")


def test_what_is_no_text_to_search_for(search: PeopleSearch) -> None:
    assert list(search.find("  ", 10).people) == []
    with pytest.raises(ConfigError, match="longer than 200 characters"):
        search.find("a" * 201, 10)
