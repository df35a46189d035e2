"""Holds: changes that the change guard keeps back until an operator releases or discards them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wanesync.core.change_guard import HoldKind, HoldState, show_source
from wanesync.core.errors import NotFound
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import contact_key
from wanesync.core.operating.operators import Operator
from wanesync.store.database import Store, Tx
from wanesync.store.tables.holds import HeldRow, HoldRow

ALL = "all"
"""Chooses every hold where the id of one could stand."""
PAGE_ROWS = 200
"""Held values read and queued in one transaction: it stays short, and the workers go on in between."""
_START = ("", "")


@dataclass(frozen=True, slots=True)
class HoldListing:
    """One hold, its age in ms, and the first values it keeps back."""

    hold: HoldRow
    age_ms: int
    first: Sequence[HeldRow]


def list_holds(store: Store, values: int) -> list[HoldListing]:
    """List open holds, and closed ones whose values still wait for a worker; the oldest first.

    ``values``: how many held values are read of each.
    """
    with store.reading() as tx:
        return [
            HoldListing(row, tx.now_ms - row.since_ms, tx.holds.page(row, _START, values) if values else [])
            for row in tx.holds.all()
        ]


def read_held(store: Store, hold_id: str, after: tuple[str, str], limit: int) -> list[HeldRow]:
    """Return the held changes of a hold behind a (link id, field), ("", "") for the first, in that order.

    Raises NotFound for an id that no hold has.
    """
    with store.reading() as tx:
        hold = next((row for row in tx.holds.all() if row.id == hold_id), None)
        if hold is None:
            raise unknown_hold(hold_id)
        return tx.holds.page(hold, after, limit)


def unknown_hold(which: str) -> NotFound:
    """Return the error for an id that no hold has."""
    return NotFound(f"no hold has the id {which}: wanesync hold list shows them")


def describe_hold(hold: HoldRow) -> str:
    """Name the source of a hold in words; an e-mail address of a user is masked."""
    _, _, name = hold.source.partition(":")
    match hold.kind:
        case HoldKind.LOOP:
            return f"{name}: update loop between HubSpot and Stripe"
        case HoldKind.FIELD:
            return f"{name}, paused by an operator"
        case _:
            return show_source(hold.source)


def choose_holds(store: Store, which: str, state: HoldState) -> list[HoldRow]:
    """Return the holds that can be closed as ``state``: the one with the id ``which``, or every one for ``all``.

    A hold that was closed as ``state`` before is among them: closing it again queues what a crash left behind.
    Raises NotFound for an id that no hold has.
    """
    with store.reading() as tx:
        rows = tx.holds.all()
    found = rows if which == ALL else [row for row in rows if row.id == which]
    if not found and which != ALL:
        raise unknown_hold(which)
    return [row for row in found if row.state in (HoldState.OPEN, state)]


def close_holds(store: Store, holds: Iterable[HoldRow], state: HoldState, operator: Operator) -> int:
    """Release or discard several holds. Returns the number of people queued."""
    return sum(close_hold(store, hold, state, operator) for hold in holds)


def close_hold(store: Store, hold: HoldRow, state: HoldState, operator: Operator) -> int:
    """Release or discard what a hold keeps back; workers carry it out. Returns the number of people queued.

    Each page of values is a transaction of its own. After a crash in between, running it again is safe: a job that is
    queued already is not queued twice.
    """

    def close(tx: Tx) -> None:
        source = tx.holds.close(hold.id, state)
        if source is not None:
            data = {"hold": hold.id, "source": source, "people": hold.people, "fields": hold.fields}
            tx.journal.add(f"hold {state}", None, "", "", data, operator=operator)
            after = {"state": str(state), "people": hold.people, "fields": hold.fields}
            tx.audit.add(operator, "hold.close", hold.id, {"state": str(hold.state)}, after)

    store.run(close)
    queued: set[str] = set()
    after = _START
    while True:
        last, keys = store.run(lambda tx, a=after: _queue_page(tx, hold, a))  # type: ignore[misc] # binds the loop's value
        if last is None:
            return len(queued)
        after = last
        queued |= keys


def _queue_page(tx: Tx, hold: HoldRow, after: tuple[str, str]) -> tuple[tuple[str, str] | None, set[str]]:
    """Queue the jobs for one page of held values: its last (link id, field), None past the end, and its link ids."""
    rows = tx.holds.page(hold, after, PAGE_ROWS)
    requests = {
        JobRequest(row.held.side.other, JobKind.WRITE, contact_key(row.hubspot_id), Priority.BULK) for row in rows
    }
    tx.jobs.put_many(list(requests))
    return ((rows[-1].link_id, rows[-1].field) if rows else None), {row.link_id for row in rows}
