"""Intake: a webhook becomes stored events and read jobs in one transaction, or nothing at all.

A 2xx means durably stored (docs/correctness.md#web-door).
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import structlog

from wanesync.core.change_guard import BulkSources
from wanesync.core.errors import DatabaseUnavailable, WanesyncError
from wanesync.core.ids import OWN_KEY
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Event, RecordRef, Side
from wanesync.core.operating.tracing import NO_TRACING, Tracing
from wanesync.core.ports import ParsedWebhook, WebhookPort
from wanesync.core.posts import Post, Settle, settle_together
from wanesync.core.purchases import Purchase
from wanesync.store.database import Store, Tx
from wanesync.store.queries import Dialect
from wanesync.store.session import TransactionConflict
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.sync.bad_rows import find_fault, in_halves
from wanesync.sync.failpoints import Failpoint, commit, no_failpoint
from wanesync.sync.group_commit import GroupCommit
from wanesync.sync.loop_commit import LoopCommit
from wanesync.sync.restored import check_events

log = structlog.get_logger()

ECHOES_MS = 500
"""Echoes of our own writes are read in batches this many ms apart, so that one read covers many of them."""
MAX_COMMITS = {Dialect.SQLITE: 1, Dialect.POSTGRES: 2}
"""Commits at once in one process: one file has one writer; on Postgres one flushes while the next is prepared (our
choice)."""
GATHER_S = {Dialect.SQLITE: 0.03, Dialect.POSTGRES: 0.01}
"""How long a POST waits for others to share its commit, while commits follow one another. On Postgres commits keep
neither one another nor the workers waiting, but each costs CPU: 0.6 ms for a contact of a burst (measured)."""
PATIENT = (0.05, 16)
"""The same in a queue process, and how many POSTs wait for no more: several of them share what one web server would
commit, and each commit costs as much (our choice)."""


def _count_nothing(_side: Side, _outcome: Outcome, _number: int) -> None:
    """Count nothing, where no web server shows the counts."""


@dataclass(slots=True, eq=False)
class ParsedPost(Post):
    """A POST whose elements are read. ``trace``: that it belongs to, "" for none."""

    parsed: ParsedWebhook = field(kw_only=True)
    trace: str = field(default="", kw_only=True)


@dataclass(slots=True)
class Intake:
    """Verifies, parses and stores webhooks. Holds webhook secrets (inside ``hooks``), never an API key.

    ``count`` is called with numbers of elements that were dropped or cost a read. ``tracing`` begins a trace with each
    webhook. ``sleep``: as of ``GroupCommit``. ``is_patient``: POSTs wait longer for others (``PATIENT``).
    ``in_messages``: on Postgres, ``store_prepared`` is called in an event loop and commits there (``loop_commit``).
    """

    store: Store
    hooks: Mapping[Side, WebhookPort]
    failpoint: Failpoint = no_failpoint
    bulk_sources: BulkSources = field(default_factory=BulkSources)
    count: Callable[[Side, Outcome, int], None] = _count_nothing
    sleep: Callable[[float], None] | None = None
    tracing: Tracing = NO_TRACING
    is_patient: bool = False
    in_messages: bool = False
    commits: GroupCommit[ParsedPost] = field(init=False, repr=False)
    _messages: LoopCommit[ParsedPost] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Make what commits; its threads begin with the first POST."""
        dialect = self.store.dialect
        gather_s, enough = PATIENT if self.is_patient else (GATHER_S[dialect], 2)
        self.commits = GroupCommit(
            self._commit, _count_events, MAX_COMMITS[dialect], self.sleep, gather_s=gather_s, enough=enough
        )

    def accept(self, side: Side, body: bytes, headers: Mapping[str, str], url: str) -> int:
        """Verify, parse and store one POST; returns how many events were new.

        Raises ``BadSignature``, ``InvalidPayload``, and ``DatabaseUnavailable``, for which the answer is 503.
        """
        now_ms = self.store.now_ms()
        self.hooks[side].verify(body, headers, url, now_ms)
        return self.store_verified(side, body, now_ms)

    def store_verified(self, side: Side, body: bytes, received_ms: int) -> int:
        """Parse and store a POST whose signature was verified; returns how many events were new.

        Raises ``InvalidPayload``, and ``DatabaseUnavailable``, for which the answer is 503.
        """
        settled = threading.Event()
        with self.tracing.webhook(side) as trace:
            parsed = self.hooks[side].parse(body, received_ms)
            post = ParsedPost(side, lambda _posts: settled.set(), parsed=parsed, trace=trace)
            self.commits.put([post])
            settled.wait()
            if post.error is not None:
                raise post.error
        return post.new

    def prepare(
        self, side: Side, body: bytes, headers: Mapping[str, str], url: str, settle: Settle
    ) -> ParsedPost | None:
        """Verify and parse one POST without a wait, to be stored by ``store_prepared``; None: it is for ``accept``.

        That is a POST which no secret at hand has signed, because others may have to be read, and one that is traced.
        Raises ``InvalidPayload``.
        """
        now_ms = self.store.now_ms()
        hook = self.hooks[side]
        if self.tracing.is_on or not hook.is_signed(body, headers, url, now_ms):
            return None
        return ParsedPost(side, settle, parsed=hook.parse(body, now_ms))

    def prepare_verified(self, side: Side, body: bytes, received_ms: int, settle: Settle) -> ParsedPost | None:
        """Parse one POST whose signature was verified, to be stored by ``store_prepared``.

        None: it is traced, and for ``store_verified``. Raises ``InvalidPayload``.
        """
        if self.tracing.is_on:
            return None
        return ParsedPost(side, settle, parsed=self.hooks[side].parse(body, received_ms))

    def store_prepared(self, posts: Sequence[ParsedPost]) -> None:
        """Have POSTs stored; returns at once, and ``settle`` of each is called later."""
        if self.in_messages and self.store.dialect is Dialect.POSTGRES:
            plain: list[ParsedPost] = []
            others: list[ParsedPost] = []
            for post in posts:
                (plain if _is_plain(post) else others).append(post)
            if plain:
                self._find_messages().put(plain)
            posts = others
        if posts:
            self.commits.put(posts)

    def _find_messages(self) -> LoopCommit[ParsedPost]:
        loop = asyncio.get_running_loop()
        if self._messages is None or self._messages.loop is not loop:
            self._messages = LoopCommit(
                self.store, loop, self.bulk_sources, _list_events, self.commits.put, self._end_message, self.failpoint
            )
        return self._messages

    def _end_message(self, posts: Sequence[ParsedPost], new: set[str]) -> None:
        for post in posts:
            post.new = _take_own(post, new)
        self._settle(posts)

    def _count_elements(self, side: Side, parsed: ParsedWebhook) -> None:
        """Count what was dropped, and the events whose object is of no use: each costs a read."""
        counts = {Outcome.FOREIGN: parsed.foreign, Outcome.IGNORED: parsed.ignored, Outcome.REREAD: parsed.reread}
        for outcome, number in counts.items():
            if number:
                self.count(side, outcome, number)

    def store_parsed(self, tx: Tx, side: Side, parsed: ParsedWebhook) -> int:
        """Store what was parsed and set aside the rest, inside a transaction; return how many events were new."""
        new = store_events(tx, parsed.events, self.bulk_sources)
        store_purchases(self.store, tx, parsed.purchases)
        store_set_aside(tx, side, parsed.set_aside, parsed.named)
        return len(new)

    def _commit(self, posts: Sequence[ParsedPost]) -> None:
        """Store POSTs in one transaction; each succeeds or fails by itself."""
        try:
            commit(self.store, self.failpoint, "intake", lambda tx: self._keep_together(tx, posts))
        except Exception as error:  # noqa: BLE001 - it is the outcome of every POST of this commit
            alone = not _is_down(error) or (len(posts) > 1 and isinstance(error, TransactionConflict))
            for post in posts:
                post.error = error
                if alone:
                    self._commit_alone(post)
        self._settle(posts)

    def _settle(self, posts: Sequence[ParsedPost]) -> None:
        """Count what was in POSTs and hand their outcomes on."""
        for post in posts:
            if post.error is None:
                self._count_elements(post.side, post.parsed)
        settle_together(posts)

    def _commit_alone(self, post: ParsedPost) -> None:
        """Store one POST of those whose common transaction failed."""
        try:
            post.error = None
            commit(self.store, self.failpoint, "intake", lambda tx: self._keep_alone(tx, post))
        except Exception as error:  # noqa: BLE001 - it is the outcome of this POST
            post.error = error

    def _keep_together(self, tx: Tx, posts: Sequence[ParsedPost]) -> None:
        """Store POSTs as if they were one: what a statement costs is paid once for all of them."""
        # Events parsed with another field map are not stored: the sender repeats them to a process with this one.
        tx.settings.check_field_map()
        new = store_events(tx, [event for post in posts for event in post.parsed.events], self.bulk_sources)
        store_purchases(self.store, tx, [purchase for post in posts for purchase in post.parsed.purchases])
        for post in posts:
            store_set_aside(tx, post.side, post.parsed.set_aside, post.parsed.named)
            post.new = _take_own(post, new)
            store_trace(tx, post.parsed, post.trace)

    def _keep_alone(self, tx: Tx, post: ParsedPost) -> None:
        tx.settings.check_field_map()
        try:
            with tx.savepoint():
                post.new = self.store_parsed(tx, post.side, post.parsed)
                store_trace(tx, post.parsed, post.trace)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one element that cannot be stored must not stop the others
            self._keep_elements(tx, post, error)

    def _keep_elements(self, tx: Tx, post: ParsedPost, error: Exception) -> None:
        """Store what can be stored of a POST, and set the other elements aside."""
        try:
            with tx.savepoint():
                post.new = store_in_halves(self.store, tx, post.parsed.events, post.parsed.purchases)
                self.store_parsed(tx, post.side, replace(post.parsed, events=(), purchases=()))
        except DatabaseUnavailable:
            raise
        except Exception:  # noqa: BLE001 - one POST that cannot be stored must not stop the others
            log.error("POST not stored", side=post.side, error=type(error).__name__)
            post.error = error


def _count_events(post: ParsedPost) -> int:
    return len(post.parsed.events)


def _list_events(post: ParsedPost) -> Sequence[Event]:
    return post.parsed.events


def _take_own(post: ParsedPost, new: set[str]) -> int:
    """Take the keys of a POST out of those that are new: an event that two of the POSTs carry is the first one's."""
    own = {event.key for event in post.parsed.events} & new
    new -= own
    return len(own)


def _is_plain(post: ParsedPost) -> bool:
    """Whether a message can store a POST: events that need no look at what is stored.

    Not an echo: a little later many are read together, and their commits may be shared, too.
    """
    parsed = post.parsed
    if post.trace or parsed.purchases or parsed.set_aside or parsed.named:
        return False
    return not any(
        event.kind == "merged" or event.merged_ids or event.request_key.startswith(OWN_KEY) for event in parsed.events
    )


def _is_down(error: Exception) -> bool:
    return isinstance(error, DatabaseUnavailable)


def store_in_halves(store: Store, tx: Tx, events: Sequence[Event], purchases: Sequence[Purchase]) -> int:
    """Store events and purchases; each that the database does not take is set aside. Returns the number of new events.

    Raises the error of an element that fails for another reason: that is trouble of our own.
    """

    def store_all(some: Sequence[Event | Purchase]) -> list[int]:
        with tx.savepoint():
            store_purchases(store, tx, [one for one in some if isinstance(one, Purchase)])
            return [len(store_events(tx, [one for one in some if isinstance(one, Event)]))]

    def set_aside(element: Event | Purchase, error: Exception) -> list[int]:
        if find_fault(error) is None:
            raise error
        side = element.side if isinstance(element, Event) else Side.STRIPE
        log.warning("element set aside", side=side, error=type(error).__name__)
        named = [(side, element.record_id)] if isinstance(element, Event) else []
        store_set_aside(tx, side, [(_as_json(element), f"cannot be stored: {_describe(error)}")], named)
        return []

    elements: list[Event | Purchase] = [*events, *purchases]
    return sum(in_halves(elements, store_all, set_aside))


def _describe(error: Exception) -> str:
    return str(error) if isinstance(error, WanesyncError) else type(error).__name__


def _as_json(element: Event | Purchase) -> bytes:
    """An element as an operator reads it; escapes stand for what is no text."""
    return json.dumps(asdict(element), default=lambda value: sorted(value, key=str)).encode()


def store_set_aside(tx: Tx, side: Side, set_aside: Sequence[tuple[bytes, str]], named: Sequence[RecordRef]) -> None:
    """Keep elements that cannot be used, and queue a read of what they name (docs/correctness.md#vendor-values)."""
    for element, reason in set_aside:
        tx.rejected.put(side, reason, element)
    tx.jobs.put_many([JobRequest(at, JobKind.READ, record_id, Priority.LIVE) for at, record_id in sorted(set(named))])


def store_events(tx: Tx, events: Sequence[Event], bulk_sources: BulkSources | None = None) -> set[str]:
    """Store events not known yet and queue a read of each record they name, those of a bulk source last.

    Returns the keys of those that were new.
    """
    if not events:
        return set()
    new = tx.events.put_many(events)
    from_bulk = _find_bulk_sources(tx, events, bulk_sources) if bulk_sources else frozenset()
    fresh = [event for event in events if event.key in new]
    # Until they are read, a merged contact may not be written to: HubSpot would write to the survivor.
    merged = {i for event in fresh if event.kind == "merged" for i in (event.record_id, *event.merged_ids)}
    tx.records.mark_stale(Side.HUBSPOT, sorted(merged))
    own = {event.request_key for event in fresh if event.request_key.startswith(OWN_KEY)}
    ours = tx.pending_writes.known_keys(Side.STRIPE, own)
    check_events(tx, fresh, ours)
    queued: dict[tuple[Side, str], Priority] = {}
    news: set[tuple[Side, str]] = set()
    for event in fresh:
        priority = Priority.LIVE_BULK if (event.side, event.source) in from_bulk else Priority.LIVE
        for record_id in (event.record_id, *event.merged_ids):
            ref = (event.side, record_id)
            queued[ref] = min(priority, queued.get(ref, priority))
            if event.request_key not in ours:
                news.add(ref)
    # An echo often arrives before the answer to its write: a little later many are read together, and only once.
    echoes_ms = (tx.now_ms // ECHOES_MS + 2) * ECHOES_MS
    tx.jobs.put_many(
        [
            JobRequest(ref[0], JobKind.READ, ref[1], priority, None if ref in news else echoes_ms)
            for ref, priority in sorted(queued.items())
        ]
    )
    return new


def store_trace(tx: Tx, parsed: ParsedWebhook, trace: str) -> None:
    """Store with the jobs of a webhook the trace that they belong to, if it is traced."""
    if trace:
        reads = {(event.side, JobKind.READ, event.record_id): trace for event in parsed.events}
        payments = {(Side.HUBSPOT, JobKind.PURCHASE, purchase.payment_id): trace for purchase in parsed.purchases}
        tx.job_traces.put(reads | payments)


def _find_bulk_sources(tx: Tx, events: Sequence[Event], bulk_sources: BulkSources) -> frozenset[tuple[Side, str]]:
    """Find the sources of these events that change hundreds of records at once (docs/correctness.md#bulk-guards)."""
    records: dict[tuple[Side, str], set[str]] = defaultdict(set)
    for event in events:
        records[event.side, event.source].add(event.record_id)
    names = {f"{side}:{source}": (side, source) for side, source in records}
    found = {name for name, key in names.items() if bulk_sources.note(name, len(records[key]), tx.now_ms)}
    # Other doors may see the rest of a crowd.
    counted = tx.source_counts.add(bulk_sources.take_unshared(names), tx.now_ms - bulk_sources.window_ms)
    found |= {name for name, number in counted.items() if bulk_sources.note_shared(name, number, tx.now_ms)}
    return frozenset(names[name] for name in found)


def store_purchases(store: Store, tx: Tx, purchases: Sequence[Purchase]) -> int:
    """Store a ledger row and a job per payment, ahead of everything; a payment stored already changes nothing.

    Returns how many were new.
    """
    if not purchases:
        return 0
    rows = [replace(purchase, hmac=store.hmac(purchase.email) if purchase.email else "") for purchase in purchases]
    new = tx.purchases.put_many(rows)
    tx.jobs.put_many([JobRequest(Side.HUBSPOT, JobKind.PURCHASE, one, Priority.PURCHASE) for one in sorted(new)])
    return len(new)
