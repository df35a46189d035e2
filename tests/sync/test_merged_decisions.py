"""What an operator decided for a contact holds for the one it is merged into (docs/correctness.md#merges)."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync
from tests.support.reconcile_harness import InstantClock
from wanesync.core.diff.decisions import Decision, Verdict
from wanesync.core.jobs import JobKind
from wanesync.core.model import BY_DECISION, COUNTERPART_EXCLUDED, MERGED_EXCLUDED, LinkState, Note, Record, Side
from wanesync.core.operating.operators import SYSTEM
from wanesync.ops.people.links import Linker
from wanesync.reconcile.apply_decisions import DecisionApplier

ANN = replace(contact("1", "cus_1", email="info@acme.com", city=""), modified_ms=5)
TWIN = replace(contact("3", email="info@acme.com"), modified_ms=5)
CUS = customer("cus_1", "1", email="info@acme.com", name="Bob Fox", city="Bonn")
SURVIVOR = replace(contact("9", "cus_1", email="info@acme.com", city=""), modified_ms=50, merged_ids=("1", "3"))


def make_linker(live: LiveSync) -> Linker:
    return Linker(live.runtime, SYSTEM, InstantClock())


def decide(live: LiveSync, contact_id: str, verdict: Verdict) -> None:
    applier = DecisionApplier(live.runtime, InstantClock())
    checked, problems = applier.examine([Decision(1, contact_id, "", "", verdict)])
    assert problems == []
    applied = applier.apply(checked, "run", lambda _: None)
    assert applied.left == {}


def merge(live: LiveSync, survivor: Record) -> None:
    live.queue(HUBSPOT, survivor.id, JobKind.READ)
    live.hubspot.answer("read_contacts", {survivor.id: survivor})
    live.work(HUBSPOT, JobKind.READ)


def prepare_all(live: LiveSync) -> list[str]:
    """The operations that are planned until nothing is queued any more."""
    found = []
    for _ in range(4):
        found += [call.operation for lane in Side for call in live.prepare(live.claim(lane))]
        live.advance(300)
    return found


def note_of(live: LiveSync, side: Side, record_id: str) -> Note | None:
    with live.store.reading() as tx:
        stored = tx.records.get(side, record_id)
    assert stored is not None
    return stored.note


def test_an_unlinked_pair_stays_apart_when_the_contact_is_merged(live: LiveSync) -> None:
    live.link(ANN, CUS)
    make_linker(live).unlink("1", "cus_1")
    assert prepare_all(live) == []
    merge(live, SURVIVOR)
    assert prepare_all(live) == []
    assert live.links("9") == []
    assert note_of(live, HUBSPOT, "9") == note_of(live, STRIPE, "cus_1") == COUNTERPART_EXCLUDED
    assert make_linker(live).link("9", "cus_1").refused == ""
    assert prepare_all(live) == ["contacts.batch_update"], "a later decision wins"


def test_a_link_that_an_operator_made_after_it_goes_on_after_the_merge(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(TWIN)
    make_linker(live).unlink("1", "cus_1")
    make_linker(live).link("3", "cus_1")
    merge(live, SURVIVOR)
    prepare_all(live)
    assert [(link.state, link.primary, link.decided) for link in live.links("9")] == [(LinkState.ACTIVE, True, True)]


def test_a_link_that_was_made_by_itself_after_it_ends_with_the_merge(live: LiveSync) -> None:
    link = live.link(ANN, CUS)
    live.know(TWIN)
    make_linker(live).unlink("1", "cus_1")
    live.store.run(lambda tx: tx.links.put(replace(link, id="by-itself", hubspot_id="3", version=1)))
    merge(live, SURVIVOR)
    assert prepare_all(live) == []
    assert [link.state for link in live.links("3")] == [LinkState.ORPHANED]
    assert note_of(live, HUBSPOT, "9") == COUNTERPART_EXCLUDED
    assert "orphaned" in live.journal()


def test_nothing_is_created_for_the_survivor_of_excluded_contacts(live: LiveSync) -> None:
    live.know(replace(ANN, other_id=""), TWIN)
    for contact_id in ("1", "3"):
        decide(live, contact_id, Verdict.EXCLUDE)
    prepare_all(live)
    merge(live, replace(SURVIVOR, other_id=""))
    assert prepare_all(live) == []
    assert note_of(live, HUBSPOT, "1") == note_of(live, HUBSPOT, "3") == BY_DECISION
    assert note_of(live, HUBSPOT, "9") == MERGED_EXCLUDED
    decide(live, "9", Verdict.CREATE)
    assert prepare_all(live) == ["customers.create"], "a later decision wins"
    assert note_of(live, HUBSPOT, "1") is note_of(live, HUBSPOT, "3") is None


def test_an_excluded_contact_that_survives_is_left_alone_with_the_customer_of_the_other_one_until_they_are_linked(
    live: LiveSync,
) -> None:
    live.know(replace(ANN, other_id=""))
    decide(live, "1", Verdict.EXCLUDE)
    link = live.link(replace(TWIN, values={**TWIN.values, "city": "Bonn"}), replace(CUS, other_id="3"))
    merge(live, replace(ANN, other_id="", values={**ANN.values, "city": "Rome"}, modified_ms=50, merged_ids=("3",)))
    assert prepare_all(live) == []
    assert [(one.id, one.state) for one in live.links("1")] == [(link.id, LinkState.ACTIVE)]
    preview = make_linker(live).preview_link("1", "cus_1")
    assert (preview.already, [name for name, *_ in preview.written]) == (False, ["city"])
    make_linker(live).link("1", "cus_1")
    assert note_of(live, HUBSPOT, "1") is None
    assert "customers.update" in prepare_all(live)
