"""What several records match is listed; an operator links and unlinks, and the workers write what follows."""

from __future__ import annotations

import pytest

from tests.support.reconcile_harness import InstantClock, Sides, compare, finish_jobs, lock_by_another, store_all
from wanesync.core.errors import ConfigError, GuardError
from wanesync.core.model import LinkState, Note, NoteCode, Side
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.people.links import Linker, describe_ambiguous, list_ambiguous
from wanesync.store.database import Store
from wanesync.store.tables.operating.audit import AuditFilter
from wanesync.sync.runtime import Runtime

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
ANNA = Operator("anna", Via.PAGE)


@pytest.fixture(name="runtime")
def store_rivals(store: Store) -> Runtime:
    """Two contacts with the address of one customer, and a contact and a customer that share nothing."""
    sides = Sides(store.now_ms())
    for contact_id in ("1", "2"):
        sides.add_contact(contact_id, email="ana@example.com", city="Lyon")
    sides.add_customer("cus_1", email="ana@example.com", city="Leeds", phone="112")
    sides.add_contact("3", email="ben@example.com")
    sides.add_customer("cus_3", email="cleo@example.com")
    runtime = store_all(store, sides)
    with store.transaction() as tx:
        for ref in ((STRIPE, "cus_1"), (HUBSPOT, "1"), (HUBSPOT, "2")):
            tx.records.set_note(*ref, Note(NoteCode.AMBIGUOUS, "ambiguous: 2 contacts carry its e-mail"))
    return runtime


@pytest.fixture(name="linker")
def make_linker(runtime: Runtime) -> Linker:
    return Linker(runtime, ANNA, InstantClock())


def states(store: Store) -> dict[tuple[str, str], LinkState]:
    with store.reading() as tx:
        links = tx.links.of_ids(["1", "2", "3"], [])
    return {(link.hubspot_id, link.stripe_id): link.state for link in links}


def test_ambiguous_records_are_listed_with_what_they_may_belong_to(store: Store, runtime: Runtime) -> None:
    found, total, more = list_ambiguous(store, 2)
    assert ([one.stored.id for one in found], total, more) == (["1", "2"], 3, "hubspot:2")
    rest, _, end = list_ambiguous(store, 2, more or "")
    assert ([one.stored.id for one in rest], end) == (["cus_1"], None)
    assert [each.id for each in rest[0].candidates] == ["1", "2"]
    one = describe_ambiguous(store, (HUBSPOT, "1"))
    assert one is not None
    assert ([each.id for each in one.candidates], [each.id for each in one.rivals]) == (["cus_1"], ["2"])
    assert describe_ambiguous(store, (HUBSPOT, "9")) is None


def test_a_preview_shows_what_is_filled_and_what_differs(store: Store, linker: Linker) -> None:
    preview = linker.preview_link("1", "cus_1")
    assert (preview.written, preview.kept_apart) == ([("phone", HUBSPOT, "", "112")], ["city"])
    assert (preview.refused, preview.already, preview.second, states(store)) == ("", False, False, {})


def test_two_records_are_linked_and_audited(store: Store, linker: Linker) -> None:
    linker.link("2", "cus_1")
    assert states(store) == {("2", "cus_1"): LinkState.ACTIVE}
    assert (HUBSPOT, "contact:2") in finish_jobs(store)
    with store.reading() as tx:
        (audit,) = tx.audit.find(AuditFilter(), 10)
        assert tx.records.get_many([(HUBSPOT, "2")])[HUBSPOT, "2"].note is None
    assert (audit.operator, audit.action, audit.subject) == (ANNA, "decision.apply", "2 cus_1")
    assert linker.preview_link("2", "cus_1").already


def test_a_customer_of_another_contact_must_be_unlinked_first(linker: Linker) -> None:
    linker.link("2", "cus_1")
    assert "linked with another contact" in linker.preview_link("1", "cus_1").refused
    with pytest.raises(ConfigError, match="linked with another contact"):
        linker.link("1", "cus_1")


def test_an_unlinked_pair_stays_apart_until_it_is_linked_again(store: Store, runtime: Runtime, linker: Linker) -> None:
    linker.link("2", "cus_1")
    assert not linker.preview_unlink("2", "cus_1").refused
    linker.unlink("2", "cus_1")
    assert states(store) == {("2", "cus_1"): LinkState.RELEASED}
    assert linker.preview_unlink("2", "cus_1").already
    finish_jobs(store)
    assert compare(runtime).to_link == 0
    linker.link("2", "cus_1")
    assert states(store) == {("2", "cus_1"): LinkState.ACTIVE}


def test_a_second_customer_gets_nothing_written(linker: Linker) -> None:
    linker.link("3", "cus_3")
    preview = linker.preview_link("3", "cus_1")
    assert (preview.second, preview.written) == (True, [])


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        (("9", "cus_1"), "unknown contact"),
        (("1", "cus_9"), "unknown customer"),
        (("cus_1", "1"), "the contact comes first, then the customer: 1 cus_1"),
    ],
)
def test_what_cannot_be_linked_is_refused(linker: Linker, pair: tuple[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        linker.link(*pair)


def test_two_that_are_no_pair_cannot_be_unlinked(linker: Linker) -> None:
    with pytest.raises(ConfigError, match="no pair"):
        linker.unlink("3", "cus_1")


def test_a_locked_record_is_left(store: Store, linker: Linker) -> None:
    lock_by_another(store, "contact:1")
    with pytest.raises(GuardError, match="nothing was changed: another process holds its lock"):
        linker.link("1", "cus_1")
    assert states(store) == {}
