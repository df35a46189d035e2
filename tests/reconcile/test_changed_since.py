"""Only what changed is read, and no more than was allowed; what webhooks missed of it is counted."""

from __future__ import annotations

import pytest

from tests.support.core_builders import link
from tests.support.reconcile_harness import Sides, compare, ignore, make_reconcile, make_runtime
from wanesync.core.errors import GuardError
from wanesync.core.model import Event, Side
from wanesync.reconcile.catch_up import STRIPE_HISTORY_MS
from wanesync.reconcile.changed_since import Changes, ChangesReader
from wanesync.reconcile.page_store import PageStore
from wanesync.reconcile.requests import Requests
from wanesync.reconcile.snapshot.file import MEMORY, Snapshot
from wanesync.store.database import Store
from wanesync.sync.runtime import Runtime

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
LATER_MS = 10_000


@pytest.fixture
def sides(store: Store) -> Sides:
    made = Sides(store.now_ms())
    made.add_contact("1", email="ana@example.com", phone="112")
    made.add_customer("cus_1", email="ana@example.com", phone="112")
    made.add_contact("2", email="ben@example.com")
    made.add_customer("cus_2", email="ben@example.com")
    return made


@pytest.fixture
def runtime(store: Store, sides: Sides) -> Runtime:
    """Both pairs are stored and linked; from now on the sides change."""
    made = make_runtime(store, sides)
    make_reconcile(made).queue(compare(made))
    store.run(lambda tx: tx.links.put_many([link("1", "cus_1"), link("2", "cus_2", id="l2")]))
    sides.now_ms += LATER_MS
    sides.calls.clear()
    return made


def read(runtime: Runtime, sides: Sides, limit: int | None = None) -> tuple[Changes, Snapshot]:
    """What changed since the runtime was made."""
    snapshot = Snapshot.resume(MEMORY, runtime.store.encryption, {}, 0)
    page_store, requests = PageStore(runtime, snapshot), Requests(limit)
    # The sides' time is ahead of the store's: a negative grace counts their newest changes.
    reader = ChangesReader(runtime, runtime.pacers, page_store, snapshot, requests, readers=1, grace_ms=-2 * LATER_MS)
    return reader.run(sides.now_ms - LATER_MS // 2, ignore), snapshot


def event(sides: Sides, customer_id: str, kind: str = "updated") -> Event:
    return Event(f"e-{customer_id}-{kind}", STRIPE, kind, customer_id, sides.now_ms)


def test_where_nothing_changed_nothing_is_read(runtime: Runtime, sides: Sides) -> None:
    changes, _ = read(runtime, sides)
    assert sides.calls == {"list_events": 1, "search_modified": 1}
    assert (changes.requests, changes.read, changes.losses.rows()) == (2, {HUBSPOT: 0, STRIPE: 0}, [])


def test_a_change_webhooks_missed_is_read_and_counted(runtime: Runtime, sides: Sides) -> None:
    sides.add_contact("1", email="ana@example.com", phone="113")
    changes, snapshot = read(runtime, sides)
    assert (changes.changed, changes.read) == ({HUBSPOT: {"1"}, STRIPE: set()}, {HUBSPOT: 1, STRIPE: 0})
    assert snapshot.changed_after(HUBSPOT, "", 10)["1"].record.values["phone"] == "113"
    assert set(changes.losses.missed(HUBSPOT)) == {"phone"}


def test_a_hit_that_does_not_show_when_it_changed_is_read(runtime: Runtime, sides: Sides) -> None:
    sides.search_modified = lambda since_ms, above_id: [("1", 0)]  # type: ignore[method-assign] # noqa: ARG005 - in place of the answer
    changes, _ = read(runtime, sides)
    assert (sides.calls["read_contacts"], changes.read[HUBSPOT]) == (1, 1)


def test_a_customer_is_read_once_for_all_its_events(runtime: Runtime, sides: Sides) -> None:
    sides.add_customer("cus_1", email="ana@example.com", phone="114")
    sides.events = [event(sides, "cus_1"), event(sides, "cus_1", "created")]
    changes, snapshot = read(runtime, sides)
    assert (sides.calls["read_customer"], changes.read[STRIPE]) == (1, 1)
    assert snapshot.changed_after(STRIPE, "", 10)["cus_1"].record.values["phone"] == "114"


def test_a_deleted_customer_needs_no_read(runtime: Runtime, sides: Sides) -> None:
    del sides.customers["cus_2"]
    sides.events = [event(sides, "cus_2", "deleted")]
    changes, _ = read(runtime, sides)
    assert sides.calls["read_customer"] == 0
    assert changes.deleted == changes.deleted_stored == [(STRIPE, "cus_2")]
    assert changes.changed[STRIPE] == set()


def test_a_new_customer_that_is_deleted_again_was_never_stored(runtime: Runtime, sides: Sides) -> None:
    sides.events = [event(sides, "cus_9", "created")]
    changes, _ = read(runtime, sides)
    assert (changes.deleted, changes.deleted_stored) == ([(STRIPE, "cus_9")], [])


def test_more_reads_than_allowed_are_refused_before_the_first(runtime: Runtime, sides: Sides) -> None:
    sides.add_contact("1", email="ana@example.com", phone="113")
    sides.events = [event(sides, "cus_1"), event(sides, "cus_2")]
    with pytest.raises(GuardError, match="5 requests or more are needed, 2 of them were made"):
        read(runtime, sides, limit=4)
    assert sides.calls["read_customer"] + sides.calls["read_contacts"] == 0


def test_beyond_stripes_history_nothing_is_requested(runtime: Runtime, sides: Sides) -> None:
    snapshot = Snapshot.resume(MEMORY, runtime.store.encryption, {}, 0)
    reader = ChangesReader(runtime, runtime.pacers, PageStore(runtime, snapshot), snapshot, readers=1)
    assert reader.run(runtime.store.now_ms() - STRIPE_HISTORY_MS, ignore).too_old
    assert sides.calls.total() == 0
