"""The queue as operators look through it: one state at a time, filtered, page by page, with suggestions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.errors import ConfigError
from wanesync.core.model import Side, contact_key, customer_key, guest_key, normalise_email, split_key
from wanesync.core.operating.queue_filter import (
    FAR_MS,
    READY_STATES,
    JobSelection,
    ListedJob,
    QueueFilter,
    QueueState,
    Suggestions,
    ValueCount,
    suggest,
)
from wanesync.store.tables.operating.job_lists import MAX_COUNTED, Position, position_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wanesync.store.database import Store, Tx

MAX_PAGE = 200
"""Most jobs of one page of a list (our choice)."""
MAX_IDS = 20
"""Most ids of one person in a filter (our choice): a contact with its customers."""
MAX_PURCHASES = 500
"""Most payments of a person whose jobs are looked for (our choice)."""


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many jobs are in a state; ``is_more``: at least so many."""

    count: int
    is_more: bool = False


@dataclass(frozen=True, slots=True)
class QueuePage:
    """One page of the jobs that a filter shows.

    ``after``: the position its successor begins behind, None on the last page. ``counts``: number of jobs by state, of
    all but finished ones. ``now_ms``: time of the reading.
    """

    wanted: QueueFilter
    jobs: Sequence[ListedJob]
    after: Position | None
    suggestions: Suggestions
    counts: Mapping[QueueState, StateCount]
    now_ms: int


def read_queue(store: Store, wanted: QueueFilter, after: Position | None = None, limit: int = 50) -> QueuePage:
    """Read one page of the jobs a filter shows. Raises ConfigError for a filter that cannot be carried out."""
    limit = max(1, min(limit, MAX_PAGE))
    with store.reading() as tx:
        selection = select_jobs(store, tx, wanted)
        found = tx.job_lists.page(selection, after, limit + 1)
        page = found[:limit]
        values, is_more = _count_values(tx, wanted, selection)
        return QueuePage(
            wanted=wanted,
            jobs=page,
            after=position_of(selection, page[-1]) if len(found) > limit else None,
            suggestions=suggest(wanted, values, is_more=is_more),
            counts=_count_states(tx, wanted, values if selection.keys is None else None),
            now_ms=tx.now_ms,
        )


def read_queue_up_to(store: Store, wanted: QueueFilter, limit: int) -> tuple[list[ListedJob], int]:
    """Read the first jobs a filter shows, ``limit`` at most, and the time of the reading in ms, at one moment.

    Raises ConfigError for a filter that cannot be carried out.
    """
    with store.reading() as tx:
        return tx.job_lists.page(select_jobs(store, tx, wanted), None, limit), tx.now_ms


def select_jobs(store: Store, tx: Tx, wanted: QueueFilter) -> JobSelection:
    """Return the jobs a filter stands for now. Raises ConfigError for a filter that cannot be carried out."""
    if wanted.person and wanted.state in {QueueState.DONE, QueueState.DISCARDED}:
        text = "finished and discarded jobs are not found by person: the history of the person shows what was done"
        raise ConfigError([text])
    return JobSelection(
        state=wanted.state,
        side=wanted.side,
        kind=wanted.kind,
        dead_class=wanted.dead_class or "",
        waits_for=wanted.waits_for,
        reason=wanted.reason,
        since_ms=tx.now_ms - wanted.newer_ms if wanted.newer_ms else 0,
        until_ms=tx.now_ms - wanted.older_ms if wanted.older_ms else FAR_MS,
        keys=find_job_keys(store, tx, wanted.person) if wanted.person else None,
    )


def find_job_keys(store: Store, tx: Tx, person: str) -> frozenset[str]:
    """Return the keys of the jobs of a person: by e-mail address, or by ids with commas between.

    An id is that of a contact, a customer, a payment or a charge, or the key of a guest (``guest:`` and the keyed
    hash).
    """
    refs: set[tuple[Side, str]] = set()
    keys: set[str] = set()
    for name in (part for one in person.split(",")[:MAX_IDS] if (part := one.strip())):
        if "@" in name:
            hmac = store.hmac(normalise_email(name))
            refs |= tx.records.by_hmacs([hmac]).get(hmac, set())
            keys |= {guest_key(hmac), *tx.purchases.waiting_for_hmacs([hmac])}
        elif split_key(name)[0] == "guest":
            keys |= {name, *tx.purchases.waiting_for_hmacs([split_key(name)[1]])}
        else:
            refs |= {(side, name) for side in Side}
            for payment in tx.purchases.of_payment(name):
                keys.add(payment.payment_id)
                refs |= {(Side.HUBSPOT, payment.contact_id)} if payment.contact_id else set()
                refs |= {(Side.STRIPE, payment.customer_id)} if payment.customer_id else set()
    for link in tx.links.of_records(sorted(refs)):
        refs |= {(Side.HUBSPOT, link.hubspot_id), (Side.STRIPE, link.stripe_id)}
    contacts = sorted(record_id for side, record_id in refs if side is Side.HUBSPOT)
    customers = sorted(record_id for side, record_id in refs if side is Side.STRIPE)
    keys |= {*contacts, *customers, *map(contact_key, contacts), *map(customer_key, customers)}
    keys |= {payment.payment_id for payment in tx.purchases.of_people(contacts, customers, MAX_PURCHASES)}
    return frozenset(keys)


def name_person(store: Store, text: str) -> str:
    """Return a person as the address of a page may hold one: an e-mail address as ids, or as the key of a guest."""
    if "@" not in text:
        return text.strip()
    hmac = store.hmac(normalise_email(text.strip()))
    with store.reading() as tx:
        found = tx.records.by_hmacs([hmac]).get(hmac, set())
    return ",".join(sorted({record_id for _, record_id in found})) or guest_key(hmac)


def _count_values(tx: Tx, wanted: QueueFilter, selection: JobSelection) -> tuple[list[ValueCount], bool]:
    if selection.keys is None:
        return tx.job_lists.values(wanted.state)
    found = tx.job_lists.of_keys(selection.keys)
    return [tx.job_lists.count_one(one) for one in found], False


def _count_states(tx: Tx, wanted: QueueFilter, values: Sequence[ValueCount] | None) -> dict[QueueState, StateCount]:
    """Count the jobs of each state but finished ones; ``values``: what was counted for the state that is shown."""
    counts: dict[QueueState, StateCount] = {}
    for state in (QueueState.DUE, QueueState.RUNNING, QueueState.DISCARDED):
        group = READY_STATES if state in READY_STATES else {state}
        rows = values if values is not None and wanted.state in group else tx.job_lists.values(state)[0]
        is_more = sum(row.count for row in rows) >= MAX_COUNTED
        for member in group:
            counts[member] = StateCount(sum(row.count for row in rows if row.state is member), is_more)
    dead = sum(row.count for row in tx.dead_letters.count())
    return counts | {QueueState.DEAD: StateCount(dead)}
