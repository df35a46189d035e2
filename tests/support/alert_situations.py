"""Twenty things that go wrong, each with its end, and four processes that watch for them by a clock of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from tests.support.core_builders import link
from tests.support.lanes import bury
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.change_guard import HeldValue, HoldKind, HoldState, field_source
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Conflict, Parked, ParkReason, Side
from wanesync.core.operating.alarms import Alarm, AlarmCode
from wanesync.core.operating.alerts import AlertPolicy, Notice, NoticeKind, Thresholds
from wanesync.core.operating.recipients import RecipientBook, make_book
from wanesync.core.rate_limits import DAILY
from wanesync.ops.alarms import WEB
from wanesync.ops.alerts.evaluator import Evaluator
from wanesync.ops.alerts.situation import SituationReader
from wanesync.ops.alerts.task import EVALUATE_S
from wanesync.ops.health.secret_troubles import store_troubles
from wanesync.ops.health.side_checks import SideCheck, store_check
from wanesync.ops.pauses import pause_sides, resume_sides
from wanesync.ratelimit.quotas import write_daily_remaining
from wanesync.reconcile.missed_count import store_missed
from wanesync.store import Store, Tx
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.store.tables.settings import RESTORED
from wanesync.sync.loader import LISTED
from wanesync.sync.lost_updates import HOT_RECORD

H, S = Side.HUBSPOT, Side.STRIPE
BOOK = make_book(["https://hooks.slack.com/services/T/B/warn"], ["mailto:oncall@example.com"], [])
POLICY = AlertPolicy(thresholds=Thresholds(differ_warn=1), digest_hour=None, remind_ms={})
ROUND_MS = int(EVALUATE_S * 1000)
HOUR_MS = 3_600_000

Change = Callable[[Store], object]


@dataclass(frozen=True, slots=True)
class Planted:
    """One thing that goes wrong: the alert it makes, how it begins and how it ends."""

    code: AlarmCode
    subject: str
    begin: Change
    end: Change

    @property
    def key(self) -> tuple[str, str]:
        return str(self.code), self.subject


def in_tx(work: Callable[[Tx], object]) -> Change:
    return lambda store: store.run(work)


def set_setting(name: str, value: Callable[[Tx], str]) -> Change:
    return in_tx(lambda tx: tx.settings.put(name, value(tx)))


def check(side: Side, failure: str = "", error_ms: int = 0) -> Change:
    def work(tx: Tx) -> None:
        store_check(tx, side, SideCheck(tx.now_ms, failure, "401", tx.now_ms if failure else 0, error_ms))

    return in_tx(work)


def troubles(text: str) -> Change:
    found = {"stripe.api_key": text} if text else {}
    return in_tx(lambda tx: store_troubles(tx, "worker 1", ["stripe.api_key"], found, HOUR_MS))


def hold_values(store: Store) -> None:
    def work(tx: Tx) -> None:
        tx.links.put(link("9", "cus_9"))
        hold_id, _ = tx.holds.open("hubspot:IMPORT/7", HoldKind.BRAKE)
        tx.holds.put(link("9", "cus_9").id, "city", HeldValue(H, "Ulm", "Bonn", hold_id))

    store.run(work)


def close_holds(kind: HoldKind) -> Change:
    def work(tx: Tx) -> None:
        for row in tx.holds.all():
            if row.kind == kind:
                tx.holds.close(row.id, HoldState.RELEASED)

    return in_tx(work)


def retry_dead(store: Store) -> None:
    def work(tx: Tx) -> None:
        for job in tx.dead_letters.latest():
            tx.jobs.put(JobRequest(job.lane, job.kind, job.key, due_ms=tx.now_ms + 99 * HOUR_MS))

    store.run(work)


def finish_reads(tx: Tx) -> None:
    for job in tx.jobs.claim(S, [JobKind.READ], 5, "w1"):
        tx.jobs.finish(job)


def park(reason: ParkReason | None) -> Change:
    parked = {"city": Parked(H, "Bonn", reason)} if reason else {}

    def work(tx: Tx) -> None:
        (found,) = tx.links.get_many([link("8", "cus_8").id]) or [link("8", "cus_8")]
        tx.links.put(replace(found, parked=parked, version=found.version + 1))

    return in_tx(work)


def count(side: Side, outcome: Outcome, number: int) -> Change:
    return in_tx(lambda tx: tx.webhook_counts.add({(side, outcome): number}))


def report(*alarms: Alarm) -> Change:
    return in_tx(lambda tx: tx.alerts.report("another process", alarms))


def end_conflicts(store: Store) -> None:
    def work(tx: Tx) -> None:
        for row in tx.conflicts.of_record(H, "7"):
            tx.conflicts.close([row.id])

    store.run(work)


CERTIFICATE = Alarm(AlarmCode.CERTIFICATE_ENDS, "the certificate door.pem ends", "renew it", "certificate door.pem")
PAUSE = "stripe:customers.create"
PLANTED: Sequence[Planted] = (
    Planted(AlarmCode.NO_WORKER, H, lambda _: None, lambda _: None),  # the harness takes the lane away
    Planted(
        AlarmCode.DEAD_LETTERS, S, lambda store: bury(store, JobRequest(S, JobKind.WRITE, "contact:1")), retry_dead
    ),
    Planted(
        AlarmCode.OLDEST_JOB,
        S,
        in_tx(lambda tx: tx.jobs.put(JobRequest(S, JobKind.READ, "cus_old", arrived_ms=tx.now_ms - 301_000))),
        in_tx(finish_reads),
    ),
    Planted(
        AlarmCode.SIDE_PAUSED,
        H,
        lambda store: pause_sides(store, [H], ADA),
        lambda store: resume_sides(store, [H], ADA),
    ),
    Planted(
        AlarmCode.SIDE_UNREACHABLE,
        S,
        in_tx(lambda tx: tx.pauses.set("stripe", "timed out", True, 0)),
        in_tx(lambda tx: tx.pauses.clear("stripe")),
    ),
    Planted(
        AlarmCode.OPERATION_PAUSED,
        PAUSE,
        in_tx(lambda tx: tx.pauses.set(PAUSE, "403", False, 0)),
        in_tx(lambda tx: tx.pauses.clear(PAUSE)),
    ),
    Planted(AlarmCode.CHANGES_HELD, "*", hold_values, close_holds(HoldKind.BRAKE)),
    Planted(
        AlarmCode.FIELD_PAUSED,
        "*",
        in_tx(lambda tx: tx.holds.open(field_source("street"), HoldKind.FIELD)),
        close_holds(HoldKind.FIELD),
    ),
    Planted(AlarmCode.KEY_REFUSED, H, check(H, "unauthorised"), check(H)),
    Planted(AlarmCode.CLOCK_WRONG, S, check(S, error_ms=120_000), check(S)),
    Planted(AlarmCode.SECRET_UNREADABLE, "stripe.api_key", troubles("file:key is gone"), troubles("")),
    Planted(AlarmCode.WRONG_SIGNATURES, H, count(H, Outcome.SIGNATURE, 1), count(H, Outcome.ACCEPTED, 1)),
    Planted(
        AlarmCode.CHANGES_MISSED,
        S,
        in_tx(lambda tx: store_missed(tx, S, 3)),
        in_tx(lambda tx: store_missed(tx, S, 0)),
    ),
    Planted(
        AlarmCode.QUOTA_USED_UP,
        "hubspot:daily",
        in_tx(lambda tx: write_daily_remaining(tx, 10, tx.now_ms)),
        in_tx(lambda tx: write_daily_remaining(tx, None, tx.now_ms)),
    ),
    Planted(
        AlarmCode.BATCH_FAILING,
        "stripe.claim",
        lambda store: [store.run(lambda tx: tx.failed_batches.note("stripe.claim", "w1", "25P03")) for _ in range(3)],
        in_tx(lambda tx: tx.failed_batches.clear("stripe.claim", "w1")),
    ),
    Planted(
        AlarmCode.SIDES_DIFFER,
        "",
        in_tx(lambda tx: tx.conflicts.put(Conflict(H, "7", "city", "differ", "Ulm"), "")),
        end_conflicts,
    ),
    Planted(
        AlarmCode.DATABASE_RESTORED,
        "",
        set_setting(RESTORED, lambda tx: f"{tx.now_ms} an older copy"),
        in_tx(lambda tx: tx.settings.drop(RESTORED)),
    ),
    Planted(
        AlarmCode.RECORD_LOOPING,
        "hubspot 123",
        set_setting(HOT_RECORD[H], lambda tx: f"{tx.now_ms} 123"),
        set_setting(HOT_RECORD[H], lambda tx: f"{tx.now_ms - HOUR_MS} 123"),
    ),
    Planted(AlarmCode.FIELD_REFUSED, "", park(ParkReason.PORTAL_RULE), park(None)),
    Planted(AlarmCode.CERTIFICATE_ENDS, CERTIFICATE.subject, report(CERTIFICATE), report()),
)
"""Twenty; ``*`` stands for an id."""


@dataclass
class Watch:
    """Processes that evaluate in turn, every ten seconds, and what each of them noticed."""

    clock: Clock
    stores: Sequence[Store]
    policy: AlertPolicy = POLICY
    book: RecipientBook = BOOK
    lanes: str = "hubspot,stripe"
    served: bool = True
    noticed: list[tuple[int, str, Notice]] = field(default_factory=list)
    evaluators: list[Evaluator] = field(init=False)

    def __post_init__(self) -> None:
        self.evaluators = [
            Evaluator(store, f"p{n}", self.policy, lambda: self.book, SituationReader(store, self.policy))
            for n, store in enumerate(self.stores)
        ]
        self.stores[0].run(_list_and_limit)
        self.beat()

    @property
    def store(self) -> Store:
        return self.stores[0]

    def beat(self) -> None:
        """The processes are alive."""

        def work(tx: Tx) -> None:
            tx.processes.remove("w1")
            tx.processes.beat("w1", self.lanes, 1)
            if self.served:
                tx.processes.beat("d1", WEB, 1)
            else:
                tx.processes.remove("d1")

        self.store.run(work)

    def tick(self, *, without: Sequence[str] = ()) -> None:
        """Ten seconds later each process has its round; the next time another one begins."""
        self.clock.advance(ROUND_MS)
        self.beat()
        turn = self.clock.ms // ROUND_MS % len(self.evaluators)
        for evaluator in [*self.evaluators[turn:], *self.evaluators[:turn]]:
            if evaluator.name in without:
                continue
            done = evaluator.run_round()
            for notice in done.notices if done else ():
                self.noticed.append((self.clock.ms, evaluator.name, notice))

    def ticks(self, seconds: int, *, without: Sequence[str] = ()) -> None:
        for _ in range(seconds * 1000 // ROUND_MS):
            self.tick(without=without)

    def kinds(self) -> list[tuple[str, str]]:
        """(kind, code) of each notice so far, in order."""
        return [(str(notice.kind), notice.code) for _, _, notice in self.noticed]

    def find(self, planted: Planted, kind: NoticeKind) -> Iterator[tuple[int, str]]:
        """When, and by which process, a planted thing was noticed."""
        for at_ms, name, notice in self.noticed:
            if notice.kind is kind and notice.code == planted.code and planted.subject in ("*", notice.subject):
                yield at_ms, name


def _list_and_limit(tx: Tx) -> None:
    tx.settings.put(LISTED, "1")
    tx.rates.set_limit(DAILY, 0.5)


def replant(watch: Watch, planted: Planted, *, ended: bool) -> None:
    """Begin or end one of them."""
    if planted.code == AlarmCode.NO_WORKER:
        watch.lanes = "hubspot,stripe" if ended else "stripe"
        watch.beat()
    (planted.end if ended else planted.begin)(watch.store)


plant = partial(replant, ended=False)
mend = partial(replant, ended=True)
