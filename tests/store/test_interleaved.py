"""Two transactions that read the same row and then store: on Postgres they really run side by side."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.support.core_builders import FIELDS, RULES
from tests.support.reconcile_harness import InstantClock
from tests.support.store_reads import find_write
from tests.support.store_rows import a_link, a_stored, an_update
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.core.diff.decisions import Decision, Verdict
from wanesync.core.ids import make_id
from wanesync.core.jobs import Job, JobKind, JobRequest, JobState, Priority
from wanesync.core.model import BY_DECISION, WANTED, Conflict, Link, Note, NoteCode, Record, Side, WriteResult
from wanesync.core.plan import Plan, PlanContext
from wanesync.core.ports import CustomerAnswer, Timing
from wanesync.core.purchases import Purchase, PurchaseState, Sink
from wanesync.core.rate_limits import set_by_hand
from wanesync.reconcile.apply_decisions import DecisionApplier
from wanesync.store import LeaseLost, Store, TransactionConflict, Tx, make_key, open_store
from wanesync.store.session import ConstraintViolated
from wanesync.store.tables.links import LinkMoved
from wanesync.store.tables.rates import QuotaUse
from wanesync.store.tables.records import RecordMoved
from wanesync.store.tables.settings import LISTED, Settings
from wanesync.sync import reader
from wanesync.sync.loader import load_contexts
from wanesync.sync.plan_effects import Planned, apply_plans
from wanesync.sync.reader import Reader
from wanesync.sync.record_versions import RecordWriter
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions
from wanesync.worker import generation
from wanesync.worker.generation import GenerationMarker

H, S = Side.HUBSPOT, Side.STRIPE
CUS = (S, "cus_1")
KEY = make_key("k001")
Pair = tuple[Store, Store]


@pytest.fixture
def stores(postgres_url: str) -> Iterator[Pair]:
    """Two processes on one Postgres."""
    with ExitStack() as stack:
        opened = [open_store(postgres_url, [KEY], migrate=True, rng=random.Random(n)) for n in range(2)]
        for store in opened:
            stack.callback(store.close)
        yield opened[0], opened[1]


def runtime_of(store: Store) -> Runtime:
    return Runtime(store, RULES, FieldTranslator(FIELDS), SyncOptions("1"), random.Random(1), ProcessState("w1"))


def person(city: str, modified_ms: int) -> Record:
    return Record(H, "1", {"city": city}, frozenset({"ann@example.com"}), modified_ms=modified_ms)


def customer(city: str) -> Record:
    return Record(S, "cus_1", {"city": city}, frozenset({f"{city.lower()}@example.com"}))


def while_other_waits(first: Store, hold: Callable[[Tx], object], other: Store, work: Callable[[Tx], object]) -> None:
    """Runs ``hold`` in a transaction, begins ``work`` in another, and commits the first while that one waits."""
    begun = threading.Event()

    def run(tx: Tx) -> object:
        begun.set()
        return work(tx)

    with ThreadPoolExecutor(1) as pool:
        with first.transaction() as tx:
            hold(tx)
            waiting = pool.submit(other.run, run)
            assert begun.wait(20)
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
        waiting.result(20)


@pytest.mark.case(45)
def test_records_a_store_whose_revision_has_moved_is_refused(stores: Pair) -> None:
    one, two = stores
    one.run(lambda tx: tx.records.put_many([a_stored(*CUS, "h1")]))
    newer = replace(a_stored(*CUS, "h2", revision=2), record=customer("Lyon"))
    with pytest.raises(RecordMoved), one.transaction() as tx:  # noqa: PT012 - another one runs inside
        old = tx.records.get(*CUS)
        assert old is not None
        two.run(lambda tx2: tx2.records.put_many([newer], {CUS: old}))
        tx.records.put_many([replace(old, revision=2)], {CUS: old})
    with one.reading() as tx:
        assert tx.records.get(*CUS) == newer
    with pytest.raises(RecordMoved), one.transaction() as tx:  # noqa: PT012 - another one runs inside
        assert tx.records.get(S, "cus_2") is None
        two.run(lambda tx2: tx2.records.put_many([a_stored(S, "cus_2", "h3")], {(S, "cus_2"): None}))
        tx.records.put_many([a_stored(S, "cus_2", "h4")], {(S, "cus_2"): None})


@pytest.mark.parametrize("verdict", [Verdict.EXCLUDE, Verdict.CREATE])
def test_records_a_decision_that_is_committed_beside_a_read_stays(stores: Pair, verdict: Verdict) -> None:
    one, two = stores
    runtime, other = runtime_of(one), runtime_of(two)
    before = None if verdict is Verdict.EXCLUDE else BY_DECISION
    one.run(lambda tx: tx.records.put_many([replace(a_stored(H, "1"), record=person("Rome", 5), note=before)]))
    tries: list[int] = []

    def commit_read(tx: Tx) -> None:
        tries.append(1)
        with RecordWriter(runtime, tx) as records:
            records.load(H, ["1"])
            if len(tries) == 1:
                applier = DecisionApplier(other, InstantClock())
                checked, _ = applier.examine([Decision(1, "1", "", "", verdict)])
                assert sum(applier.apply(checked, "run", lambda _: None).done.values()) == 1
            records.store_contact(person("Lyon", 9))

    one.run(commit_read)
    with one.reading() as tx:
        stored = tx.records.get(H, "1")
    assert stored is not None
    assert stored.note == (BY_DECISION if verdict is Verdict.EXCLUDE else WANTED)
    assert (stored.record.values["city"], stored.revision, len(tries)) == ("Lyon", 2, 2)


@pytest.mark.parametrize("code", [NoteCode.BY_DECISION, NoteCode.DAMAGED, NoteCode.AMBIGUOUS])
def test_records_any_note_that_is_stored_beside_a_read_stays(stores: Pair, code: NoteCode) -> None:
    one, two = stores
    note = Note(code, "stored beside")
    one.run(lambda tx: tx.records.put_many([a_stored(*CUS, "h1")]))
    with pytest.raises(RecordMoved), one.transaction() as tx:  # noqa: PT012 - another one runs inside
        old = tx.records.get(*CUS)
        assert old is not None
        two.run(lambda tx2: tx2.records.set_note(*CUS, note))
        tx.records.put_many([replace(old, revision=2)], {CUS: old})
    with one.reading() as tx:
        stored = tx.records.get(*CUS)
    assert stored is not None
    assert (stored.note, stored.revision) == (note, 1)


@pytest.mark.parametrize("decision", [BY_DECISION, WANTED])
def test_records_a_plan_from_before_a_decision_does_not_replace_it(stores: Pair, decision: Note) -> None:
    one, two = stores
    one.run(lambda tx: tx.records.put_many([a_stored(*CUS, "h1"), a_stored(S, "cus_2", "h2")]))
    rival = Note(NoteCode.AMBIGUOUS, "2 contacts carry its e-mail")
    made = Plan(notes={CUS: rival, (S, "cus_2"): rival})
    job = Job("j1", S, JobKind.WRITE, "contact:1", JobState.RUNNING, Priority.LIVE, 0, 0)
    with one.transaction() as tx:
        assert tx.records.get(*CUS)
        two.run(lambda tx2: tx2.records.set_note(*CUS, decision))
        apply_plans(tx, [Planned(made, Priority.LIVE, job)])
    with one.reading() as tx:
        stored = tx.records.get_many([CUS, (S, "cus_2")])
    assert [stored[ref].note for ref in sorted(stored)] == [decision, rival]
    one.run(lambda tx: apply_plans(tx, [Planned(Plan(notes={CUS: None}), Priority.BULK)]))
    with one.reading() as tx:
        assert tx.records.get_many([CUS])[CUS].note is None, "what an operator decides later counts"


def test_records_an_answer_that_lacks_a_field_is_a_version_of_its_own(stores: Pair) -> None:
    one, two = stores
    lacking = replace(person("Rome", 5), unknown=frozenset({"phone"}))
    one.run(lambda tx: tx.records.put_many([replace(a_stored(H, "1"), record=lacking)]))

    def read(runtime: Runtime) -> Callable[[Tx], None]:
        def work(tx: Tx) -> None:
            with RecordWriter(runtime, tx) as records:
                records.store_contact(replace(lacking, modified_ms=4))

        return work

    while_other_waits(one, read(runtime_of(one)), two, read(runtime_of(two)))
    with one.reading() as tx:
        stored = tx.records.get(H, "1")
    assert stored is not None
    assert (stored.unanswered, stored.revision) == (2, 3)


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("moment", ["after its id was made", "after the marker was read"])
def test_two_processes_that_renew_the_marker_at_once_do_not_suspect_a_restored_database(
    stores: Pair, tmp_path: Path, moment: str, is_new: bool
) -> None:
    one, two = (GenerationMarker(store, tmp_path / "state.generation", threading.Event()) for store in stores)
    stores[0].run(lambda tx: tx.settings.put(LISTED, str(tx.now_ms)))
    if not is_new:
        one.check()
    make, read, overtaken = make_id, Settings.get, list[str]()

    def overtake(at: str) -> None:
        if at == moment and not overtaken:
            overtaken.append(at)
            two.check()

    def make_and_be_overtaken(now_ms: int, rng: random.Random) -> str:
        made = make(now_ms, rng)
        overtake("after its id was made")
        return made

    def read_and_be_overtaken(settings: Settings, name: str) -> str | None:
        value = read(settings, name)
        overtake("after the marker was read")
        return value

    with (
        patch.object(generation, "make_id", make_and_be_overtaken),
        patch.object(Settings, "get", read_and_be_overtaken),
    ):
        one.check()
    assert overtaken
    one.check()
    with stores[0].reading() as tx:
        assert tx.settings.get(LISTED), "an older marker over a newer one looks like an older state"


@pytest.mark.case(45)
def test_an_answer_that_meets_a_newer_event_marks_the_record_stale_and_keeps_the_edit(stores: Pair) -> None:
    one, two = stores
    runtime, other = runtime_of(one), runtime_of(two)
    one.run(lambda tx: tx.records.put_many([replace(a_stored(*CUS), record=customer("Rome"))]))
    tries: list[int] = []

    def commit_answer(tx: Tx) -> None:
        with RecordWriter(runtime, tx) as records:
            records.load(S, ["cus_1"])
            tries.append(1)
            if len(tries) == 1:
                two.run(commit_event)
            records.store_customer(CustomerAnswer(customer("Oslo"), Timing(1, 2)), 1)

    def commit_event(tx: Tx) -> None:
        with RecordWriter(other, tx) as records:
            records.store_customer_event(customer("Lyon"), 5)

    one.run(commit_answer)
    with one.reading() as tx:
        stored = tx.records.get(*CUS)
        assert tx.jobs.pending_keys(S, JobKind.READ, ["cus_1"]) == {"cus_1"}
        assert set(tx.records.by_hmacs([one.hmac("lyon@example.com"), one.hmac("oslo@example.com")])) == {
            one.hmac("lyon@example.com")
        }
    assert stored is not None
    assert (stored.record.values["city"], stored.stale, stored.revision, len(tries)) == ("Lyon", True, 3, 2)


def test_links_a_version_is_stored_once(stores: Pair) -> None:
    one, two = stores
    one.run(lambda tx: tx.links.put(a_link("k1", "1", "cus_1")))
    with pytest.raises(LinkMoved), one.transaction() as tx:  # noqa: PT012 - another one runs inside
        link = tx.links.get("k1")
        assert link is not None
        two.run(lambda tx2: tx2.links.put(replace(link, version=2, base={"city": ("a", "b")})))
        tx.links.put(replace(link, version=2))
    with pytest.raises(ConstraintViolated), one.transaction() as tx:  # noqa: PT012 - another one runs inside
        assert tx.links.of_records([(S, "cus_2")]) == []
        two.run(lambda tx2: tx2.links.put(a_link("k2", "2", "cus_2")))
        tx.links.put(a_link("k3", "3", "cus_2"))


def test_pending_writes_a_known_result_is_not_replaced_by_lost_nor_undone(stores: Pair) -> None:
    one, two = stores
    one.run(lambda tx: tx.pending_writes.put(an_update("w1")))
    with one.transaction() as tx:
        assert tx.pending_writes.open_ids(["w1"]) == {"w1"}
        two.run(lambda tx2: tx2.pending_writes.record_result("w1", WriteResult.OK))
        tx.pending_writes.record_result("w1", WriteResult.LOST)
        tx.pending_writes.put(an_update("w1"))
    with one.reading() as tx:
        write = find_write(tx, "w1")
    assert write is not None
    assert write.result is WriteResult.OK


def test_pending_writes_what_is_found_of_their_authorship_is_not_lost(stores: Pair) -> None:
    one, two = stores

    def note(name: str) -> Callable[[Tx], None]:
        def work(tx: Tx) -> None:
            (write,) = tx.pending_writes.lock_unanswered(S, "cus_1")
            found = {**write.authorship, name: (1, True)}
            tx.pending_writes.record_authorship(replace(write, authorship=found))

        return work

    one.run(lambda tx: tx.pending_writes.put(replace(an_update("w1"), sent_ms=1)))
    while_other_waits(one, note("city"), two, note("phone"))
    with one.reading() as tx:
        (write,) = tx.pending_writes.unanswered(S, "cus_1")
    assert set(write.authorship) == {"city", "phone"}


def test_jobs_an_end_and_a_rescue_of_one_job_exclude_each_other(stores: Pair) -> None:
    one, two = stores
    with one.transaction() as tx:
        tx.processes.beat("w", "all", 1)
        tx.jobs.put(JobRequest(H, JobKind.READ, "k"))
        (job,) = tx.jobs.claim(H, [JobKind.READ], 1, "w")
    with pytest.raises(LeaseLost), one.transaction() as tx:  # noqa: PT012 - another one runs inside
        assert job.id
        two.run(lambda tx2: tx2.jobs.release("w"))
        tx.jobs.finish(job)


def test_rates_a_lowered_limit_is_not_lost(stores: Pair) -> None:
    one, two = stores
    with pytest.raises(TransactionConflict), one.transaction() as tx:  # noqa: PT012 - another one runs inside
        assert tx.rates.lock("stripe") is None
        two.run(lambda tx2: tx2.rates.set_limit("stripe", 5))
        tx.rates.put(set_by_hand(None, "stripe", 100), is_new=True)

    def lower(tx: Tx) -> None:
        before = tx.rates.lock("stripe")
        assert before is not None
        tx.rates.put(replace(before, effective=before.effective / 2))

    while_other_waits(one, lower, two, lower)
    with one.reading() as tx:
        assert tx.rates.all()["stripe"].effective == set_by_hand(None, "stripe", 5).effective / 4


def test_quotas_uses_of_two_processes_add_up(stores: Pair) -> None:
    one, two = stores
    use = QuotaUse("stripe", "day", 0, 3, 1)
    while_other_waits(one, lambda tx: tx.rates.add_uses([use]), two, lambda tx: tx.rates.add_uses([use]))
    with one.reading() as tx:
        assert tx.rates.used_since("day", 0) == {"stripe": (6, 2)}


def test_pauses_one_process_probes_and_a_pause_that_ended_does_not_return(stores: Pair) -> None:
    one, two = stores
    one.run(lambda tx: tx.pauses.set("stripe", "away", away=True, probe_at_ms=5))
    with one.transaction() as tx:
        assert tx.pauses.get_all()["stripe"].probe_ms == 5
        assert two.run(lambda tx2: tx2.pauses.move_probe("stripe", 5, 30))
        assert not tx.pauses.move_probe("stripe", 5, 31)
    with one.transaction() as tx:
        assert tx.pauses.get_all()["stripe"].probe_ms == 30
        two.run(lambda tx2: tx2.pauses.clear("stripe"))
        assert not tx.pauses.move_probe("stripe", 30, 60)
        assert tx.pauses.get_all() == {}


def test_settings_of_two_that_compare_one_swaps(stores: Pair) -> None:
    one, two = stores
    one.run(lambda tx: tx.settings.put("turn", "0"))
    with one.transaction() as tx:
        assert tx.settings.get("turn") == "0"
        assert two.run(lambda tx2: tx2.settings.swap("turn", "0", "2"))
        assert not tx.settings.swap("turn", "0", "1")
        two.run(lambda tx2: tx2.settings.add("mode", "live"))
        assert tx.settings.add("mode", "test") == "live"


def test_conflicts_one_value_is_kept_once_and_closed_once(stores: Pair) -> None:
    one, two = stores
    conflict = Conflict(H, "1", "city", "Paris", "policy")
    with one.transaction() as tx:
        assert two.run(lambda tx2: tx2.conflicts.put(conflict, ""))
        assert not tx.conflicts.put(conflict, "")
        ids = [row.id for row in tx.conflicts.list()]
        assert two.run(lambda tx2: tx2.conflicts.close(ids)) == 1
        assert tx.conflicts.close(ids) == 0


def test_locks_two_jobs_do_not_hold_one(stores: Pair) -> None:
    one, two = stores
    one.run(lambda tx: [tx.processes.beat(name, "all", 1) for name in "ab"])
    far_ms = one.now_ms() + 60_000
    with one.transaction() as tx:
        assert tx.locks.take_all(["contact:1"], "t1", "a", far_ms)
        assert not two.run(lambda tx2: tx2.locks.take_all(["contact:1"], "t2", "b", far_ms))


def paid(payment_id: str = "pi_1") -> Purchase:
    return Purchase(payment_id, "ch_1", "cus_1", "", "", 500, "eur", 1)


def merge(store: Store) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        with RecordWriter(runtime_of(store), tx) as records:
            records.merge_away("1", "2")

    return work


def test_purchases_one_that_is_just_given_a_contact_moves_with_its_merge(stores: Pair) -> None:
    one, two = stores
    one.run(lambda tx: tx.records.put_many([a_stored(H, "1"), a_stored(H, "2")]))
    one.run(lambda tx: tx.purchases.put(paid()))

    def give(tx: Tx) -> None:
        assert tx.purchases.lock_many(["pi_1"])["pi_1"].contact_id == ""
        assert tx.records.hold_contacts({"1"}) == {"1": "1"}
        tx.purchases.set_state("pi_1", PurchaseState.TODO, contact_id="1", sink=Sink.PROPERTIES)

    while_other_waits(one, give, two, merge(two))
    with one.reading() as tx:
        assert tx.purchases.get_many(["pi_1"])["pi_1"].contact_id == "2"
    with one.transaction() as tx:
        assert tx.records.hold_contacts({"1"}) == {"1": "2"}, "a merge that was committed before is seen"


def test_purchases_an_answer_that_meets_a_merge_leaves_the_roll_up_to_be_computed_anew(stores: Pair) -> None:
    one, two = stores
    given = replace(paid(), contact_id="1", sink=Sink.PROPERTIES)
    one.run(lambda tx: tx.records.put_many([a_stored(H, "1"), a_stored(H, "2")]))
    one.run(lambda tx: tx.purchases.put(given))

    def answer(tx: Tx) -> None:
        assert tx.purchases.lock_many(["pi_1"])["pi_1"].contact_id == "1"
        tx.purchases.set_state("pi_1", PurchaseState.SENT)

    while_other_waits(one, answer, two, merge(two))
    with one.reading() as tx:
        purchase = tx.purchases.get_many(["pi_1"])["pi_1"]
        assert tx.jobs.pending_keys(H, JobKind.PURCHASE, ["pi_1"]) == {"pi_1"}
    assert (purchase.contact_id, purchase.state) == ("2", PurchaseState.TODO)


def test_purchases_a_sent_one_is_not_opened_again_by_a_late_finding(stores: Pair) -> None:
    one, two = stores
    one.run(lambda tx: tx.purchases.put(paid()))
    with one.transaction() as tx:
        assert tx.purchases.get_many(["pi_1"])["pi_1"].state is PurchaseState.TODO
        two.run(lambda tx2: tx2.purchases.set_state("pi_1", PurchaseState.SENT))
        tx.purchases.set_state("pi_1", PurchaseState.TODO, contact_id="9")
    with one.reading() as tx:
        assert tx.purchases.get_many(["pi_1"])["pi_1"].state is PurchaseState.SENT


@pytest.mark.parametrize("order", ["both read before either commits", "the read of the customer is committed first"])
def test_two_reads_of_a_pair_that_are_committed_side_by_side_lose_no_edit(stores: Pair, order: str) -> None:
    # The contact's plan waits for the read of the stale customer, whose plan does not see the contact's copy yet.
    one, two = stores
    runtime, other = runtime_of(one), runtime_of(two)
    base = {spec.name: ("", "") for spec in FIELDS.specs} | {"city": ("Rome", "Rome")}

    def record(side: Side, record_id: str, city: str, modified_ms: int) -> Record:
        return Record(side, record_id, {"city": city}, frozenset({"ann@example.com"}), modified_ms=modified_ms)

    def prepare(tx: Tx) -> list[Job]:
        hmacs = frozenset({one.hmac("ann@example.com")})
        contact, lost = record(H, "1", "Rome", 10), record(S, "cus_1", "Rome", 0)
        tx.records.put_many(
            [
                replace(a_stored(H, "1"), record=contact, hmacs=hmacs),
                replace(a_stored(*CUS, revision=2), record=lost, hmacs=hmacs, stale=True),
            ]
        )
        tx.links.put(Link("k1", "1", "cus_1", True, base, 1))
        tx.processes.beat("w1", "all", 1)
        tx.jobs.put_many([JobRequest(H, JobKind.READ, "1"), JobRequest(S, JobKind.READ, "cus_1")])
        return [job for side in Side for job in tx.jobs.claim(side, [JobKind.READ], 1, "w1")]

    of_contact, of_customer = one.run(prepare)

    def end_contact(tx: Tx) -> None:
        with RecordWriter(other, tx) as records:
            records.store_contact(record(H, "1", "Lyon", 20))
        Reader(other).end(tx, [of_contact])

    def end_customer(tx: Tx) -> None:
        with RecordWriter(runtime, tx) as records:
            records.store_customer(CustomerAnswer(record(S, "cus_1", "Rome", 0), Timing(1, 2)), 2)
        Reader(runtime).end(tx, [of_customer])

    def load(tx: Tx, keys: Sequence[str]) -> dict[str, PlanContext]:
        patched.stop()
        found = load_contexts(tx, keys)
        one.run(end_customer)
        return found

    patched = patch.object(reader, "load_contexts", load)
    if order == "both read before either commits":
        with one.transaction() as tx:
            end_customer(tx)
            two.run(end_contact)
    else:
        patched.start()
        two.run(end_contact)
    with one.reading() as tx:
        assert [row["kind"] for row in tx.jobs.depth()] == [JobKind.WRITE]
