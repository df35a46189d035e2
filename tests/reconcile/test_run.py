"""A whole run: both sides are listed and compared, guards are checked, and the selected jobs are queued."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.core_builders import FIELDS
from tests.support.reconcile_harness import CREATED_MS, Sides, compare, ignore, make_reconcile, make_runtime
from tests.support.store_fixtures import Clock
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import GuardError
from wanesync.core.jobs import JobKind
from wanesync.core.model import Link, Record, Side
from wanesync.core.ports import CustomerAnswer, SetAside, Timing
from wanesync.reconcile.baseline import Baseline
from wanesync.reconcile.requests import Requests
from wanesync.reconcile.run import MAX_LISTING_AGE_MS, Selection
from wanesync.store.database import Store
from wanesync.store.tables.settings import LAST_RUN, RESTORED, UNCONFIRMED
from wanesync.sync.loader import LISTED
from wanesync.sync.record_versions import RecordWriter
from wanesync.sync.restored import await_confirmation, may_create, suspect
from wanesync.sync.runtime import Runtime

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
DAY_MS = 86_400_000


@pytest.fixture
def sides(store: Store) -> Sides:
    """A pair that is the same, a pair with a blank to fill, and a record of each side that is alone."""
    made = Sides(store.now_ms())
    made.add_contact("1", email="same@example.com")
    made.add_customer("cus_1", email="same@example.com")
    made.add_contact("2", email="fill@example.com", city="Lyon")
    made.add_customer("cus_2", email="fill@example.com")
    made.add_contact("3", email="contact@example.com")
    made.add_customer("cus_4", email="customer@example.com")
    return made


@pytest.fixture
def runtime(store: Store, sides: Sides) -> Runtime:
    return make_runtime(store, sides)


def queued(runtime: Runtime, selection: Selection | None = None) -> dict[tuple[Side, str], JobKind]:
    """What a run with this selection queues: (lane, key) -> kind."""
    _, number = make_reconcile(runtime).queue(compare(runtime), selection)
    jobs: dict[tuple[Side, str], JobKind] = {}
    for side in Side:
        with runtime.store.transaction() as tx:
            claimed = tx.jobs.claim(side, None, 50, runtime.name)
        jobs |= {(side, job.key): job.kind for job in claimed}
    assert len(jobs) == number
    return jobs


def setting(store: Store, name: str) -> str | None:
    with store.reading() as tx:
        return tx.settings.get(name)


def test_every_record_has_its_class(runtime: Runtime) -> None:
    report = compare(runtime)
    assert +report.counts == {
        DifferenceClass.IN_SYNC: 1,
        DifferenceClass.UPDATE_CUSTOMER: 1,
        DifferenceClass.CREATE_CUSTOMER: 1,
        DifferenceClass.CREATE_CONTACT: 1,
    }
    assert (report.actionable, report.to_link, report.jobs, report.requests) == (3, 2, 4, 2)


def test_a_complete_run_is_noted_and_queues_everything(runtime: Runtime, store: Store) -> None:
    jobs = queued(runtime)
    assert jobs == dict.fromkeys(
        [(HUBSPOT, "contact:1"), (STRIPE, "contact:2"), (STRIPE, "contact:3"), (HUBSPOT, "customer:cus_4")],
        JobKind.WRITE,
    )
    assert setting(store, LISTED) == setting(store, LAST_RUN) is not None


@pytest.mark.parametrize(
    ("selection", "keys"),
    [
        (Selection(only=frozenset({DifferenceClass.CREATE_CONTACT})), {"customer:cus_4"}),
        (Selection(limit=1), {"contact:2"}),
        (Selection(avoid=frozenset({"contact:1", "contact:2"})), {"contact:3", "customer:cus_4"}),
        (Selection(keys=frozenset({"contact:3"})), {"contact:3"}),
    ],
    ids=["only", "limit", "avoid", "keys"],
)
def test_a_restricted_run_leaves_the_rest_and_is_not_noted_as_complete(
    runtime: Runtime, store: Store, selection: Selection, keys: set[str]
) -> None:
    assert {key for _, key in queued(runtime, selection)} == keys
    assert setting(store, LAST_RUN) is None


RESTRICTED = [
    Selection(limit=1),
    Selection(only=frozenset({DifferenceClass.CREATE_CONTACT})),
    Selection(keys=frozenset({"contact:3"})),
    Selection(avoid=frozenset({"customer:cus_4"})),
]


def know_cus_4_with_an_older_address(runtime: Runtime, sides: Sides) -> None:
    old = "old@example.com"
    record = replace(sides.customers["cus_4"], values={"email": old}, emails=frozenset({old}))
    with runtime.store.transaction() as tx, RecordWriter(runtime, tx) as records:
        records.store_customer(CustomerAnswer(record, Timing(1, 1)), 0)


@pytest.mark.parametrize("selection", RESTRICTED, ids=["limit", "only", "keys", "avoid"])
@pytest.mark.parametrize("is_restored", [True, False])
def test_a_restricted_run_that_completes_a_listing_has_stored_every_copy(
    runtime: Runtime, sides: Sides, store: Store, clock: Clock, selection: Selection, *, is_restored: bool
) -> None:
    know_cus_4_with_an_older_address(runtime, sides)
    clock.advance(1)
    if is_restored:
        store.run(lambda tx: tx.settings.put(LISTED, "1"))
        store.run(lambda tx: suspect(tx, "a backup"))
    make_reconcile(runtime).queue(compare(runtime), replace(selection, max_creations=9))
    with store.reading() as tx:
        assert (may_create(tx), tx.settings.get(RESTORED)) == (True, None)
        carriers = tx.records.by_hmacs([store.hmac("customer@example.com")])
    assert list(carriers.values()) == [{(STRIPE, "cus_4")}], "a contact with this address gets no second customer"


@pytest.mark.parametrize("selection", RESTRICTED, ids=["limit", "only", "keys", "avoid"])
def test_a_restricted_run_leaves_what_waits_for_a_catch_up(
    runtime: Runtime, store: Store, selection: Selection
) -> None:
    store.run(lambda tx: tx.settings.put(LISTED, "1"))
    store.run(lambda tx: await_confirmation(tx, "no process ran for 3 d"))
    make_reconcile(runtime).queue(compare(runtime), replace(selection, max_creations=9))
    assert setting(store, UNCONFIRMED)
    make_reconcile(runtime).queue(compare(runtime))
    assert setting(store, UNCONFIRMED) is None, "a full run has shown everything"


def test_a_run_that_compared_changes_only_ends_no_wait(runtime: Runtime, store: Store) -> None:
    store.run(lambda tx: tx.settings.put(LISTED, "1"))
    store.run(lambda tx: await_confirmation(tx, "no process ran for 3 d"))
    reconcile = make_reconcile(runtime)
    for finish in (reconcile.queue, lambda report: Baseline(runtime).run(report, ignore)):
        report = reconcile.compare_changes(store.now_ms() - 3_600_000, ignore, ignore)
        assert report is not None
        # What shows an older state may come while the run is at work.
        store.run(lambda tx: suspect(tx, "a backup"))
        finish(report)
        with store.transaction() as tx:
            assert (tx.settings.get(LISTED), may_create(tx)) == (None, False)
            assert {RESTORED, UNCONFIRMED} <= tx.settings.get_many([RESTORED, UNCONFIRMED]).keys()
            tx.settings.put(LISTED, "1")


@pytest.mark.parametrize(("last_ms", "is_moved"), [(7_200_000, False), (3_600_000, True), (None, False)])
def test_a_run_that_looked_back_less_far_than_the_last_one_skips_nothing_for_the_next(
    runtime: Runtime, store: Store, last_ms: int | None, *, is_moved: bool
) -> None:
    store.run(lambda tx: tx.settings.put(LISTED, "1"))
    last = None if last_ms is None else str(store.now_ms() - last_ms)
    if last is not None:
        store.run(lambda tx: tx.settings.put(LAST_RUN, last))
    reconcile = make_reconcile(runtime)
    report = reconcile.compare_changes(store.now_ms() - 3_600_000, ignore, ignore)
    assert report is not None
    reconcile.queue(report, Selection(max_creations=9))
    assert (setting(store, LAST_RUN) != last) == is_moved


def test_more_creations_than_allowed_are_refused_before_anything_is_queued(runtime: Runtime, store: Store) -> None:
    with pytest.raises(GuardError, match="2 people would be created"):
        queued(runtime, Selection(max_creations=1))
    assert setting(store, LISTED) is None
    assert len(queued(runtime, Selection(max_creations=2))) == 4


def test_a_canary_within_the_allowed_creations_needs_no_confirmation(runtime: Runtime) -> None:
    assert len(queued(runtime, Selection(limit=1, max_creations=1))) == 1


def test_force_overrides_the_share_of_overwrites(runtime: Runtime) -> None:
    report = compare(runtime)
    report.volume.links, report.volume.overwritten = 1000, 900
    reconcile = make_reconcile(runtime)
    with pytest.raises(GuardError):
        reconcile.check_guards(report, Selection())
    reconcile.check_guards(report, Selection(force=True))


def test_an_interrupted_listing_is_continued(runtime: Runtime, sides: Sides, tmp_path: Path) -> None:
    sides.page_size = 1
    reconcile = make_reconcile(runtime, str(tmp_path / "snapshot"))
    with pytest.raises(GuardError, match="next run goes on"):
        reconcile.compare(ignore, ignore, Requests(4))
    assert reconcile.compare(ignore, ignore).actionable == 3
    # Three pages a side, each once.
    assert sides.calls == {"list_contacts": 3, "list_customers": 3}


def test_an_old_or_foreign_listing_is_not_continued(runtime: Runtime, sides: Sides, tmp_path: Path) -> None:
    sides.page_size = 1
    path = str(tmp_path / "snapshot")
    with pytest.raises(GuardError):
        make_reconcile(runtime, path).compare(ignore, ignore, Requests(4))
    foreign = replace(make_reconcile(runtime, path), identity={"pin_portal": "another"})
    assert foreign.open_snapshot(path).count(HUBSPOT) == 0
    assert MAX_LISTING_AGE_MS < DAY_MS


def test_a_record_that_changes_during_the_listing_is_read_again_when_the_run_will_write(
    runtime: Runtime, sides: Sides
) -> None:
    contact = sides.contacts["3"]

    def change(side: Side, _count: int) -> None:
        sides.contacts["3"] = replace(contact, values={**contact.values, "city": "Leeds"}, modified_ms=sides.now_ms + 1)

    report = make_reconcile(runtime).compare(change, ignore, fresh=True)
    (created,) = report.differences(DifferenceClass.CREATE_CUSTOMER)
    assert created.fields["city"].hubspot == "Leeds"


def test_changes_alone_are_compared_after_a_full_run_only(runtime: Runtime, sides: Sides, store: Store) -> None:
    reconcile, since_ms = make_reconcile(runtime), store.now_ms() - 1000
    assert reconcile.compare_changes(since_ms, ignore, ignore) is None
    assert sides.calls.total() == 0
    queued(runtime)
    sides.contacts["3"] = replace(sides.contacts["3"], modified_ms=CREATED_MS)
    sides.calls.clear()
    report = reconcile.compare_changes(since_ms, ignore, ignore)
    assert report is not None
    assert sides.calls == {"list_events": 1, "search_modified": 1}
    assert report.lost is not None
    assert reconcile.compare_changes(since_ms - 40 * DAY_MS, ignore, ignore) is None, "Stripe keeps no such events"


@pytest.mark.case(7)
def test_a_record_set_aside_is_named_and_is_neither_gone_nor_written(runtime: Runtime, sides: Sides) -> None:
    queued(runtime)
    link = Link("l1", "2", "cus_2", True, {}, 1)
    runtime.store.run(lambda tx: tx.links.put(link))
    for side, record_id in ((HUBSPOT, "2"), (STRIPE, "cus_2")):
        records = sides.contacts if side is HUBSPOT else sides.customers
        kept = records.pop(record_id)
        sides.aside[side] = [SetAside(record_id, "set aside: city holds U+0000")]
        report = compare(runtime)
        assert list(report.set_aside) == [(side, record_id, "set aside: city holds U+0000")]
        assert report.unlisted == 0
        assert not [d for d in report.differences() if record_id in (d.hubspot_id, d.stripe_id)]
        records[record_id] = kept
        sides.aside[side] = []


@pytest.mark.parametrize("side", Side)
def test_nobody_is_created_again_whose_record_was_set_aside(runtime: Runtime, sides: Sides, side: Side) -> None:
    new_id, address = ("9", "customer@example.com") if side is HUBSPOT else ("cus_9", "contact@example.com")
    remains = Record(side, new_id, emails=frozenset({address}), unknown=frozenset(FIELDS.by_name))
    sides.aside[side] = [SetAside(new_id, "set aside: city holds U+0000", remains)]
    report = compare(runtime)
    creates = {HUBSPOT: DifferenceClass.CREATE_CONTACT, STRIPE: DifferenceClass.CREATE_CUSTOMER}
    assert report.counts[creates[side]] == 0
    assert report.counts[creates[side.other]] == 1
