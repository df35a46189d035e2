"""What tests read of a store beyond what the program itself needs."""

from __future__ import annotations

from collections.abc import Collection

from wanesync.core.jobs import JobKind
from wanesync.core.model import Conflict, Link, PendingWrite, Side
from wanesync.core.purchases import Purchase, PurchaseState
from wanesync.store import Tx
from wanesync.store.tables.settings import INDEX_KEY


def all_links(tx: Tx) -> list[Link]:
    """Every link in any state, in order of their ids."""
    ids = [outline.id for outline in tx.links.outlines("", 1_000_000)]
    return sorted(tx.links.get_many(ids), key=lambda link: link.id)


def all_settings(tx: Tx) -> dict[str, str]:
    """Every setting but the index key."""
    rows = tx.settings._session.execute("SELECT name, value FROM settings").fetchall()
    return {name: value for name, value in rows if name != INDEX_KEY}


def count_events(tx: Tx, without: Collection[str] = ()) -> dict[str, int]:
    """How many events are stored, unread, unjudged, and open: unread or unjudged; ``without`` those of some records."""
    rows = tx.events._session.execute("SELECT is_read, is_judged, record_id FROM events").fetchall()
    marks = [(read, judged) for read, judged, record_id in rows if record_id not in without]
    return {
        "total": len(marks),
        "unread": sum(not read for read, _ in marks),
        "unjudged": sum(not judged for _, judged in marks),
        "open": sum(not (read and judged) for read, judged in marks),
    }


def count_done(tx: Tx, lane: Side, since_ms: int) -> int:
    """How many jobs of a lane were done since a time, without superseded ones."""
    return sum(tx.jobs.done_since(lane, kind, since_ms)[0] for kind in JobKind)


def open_writes(tx: Tx, limit: int) -> list[PendingWrite]:
    """Pending writes without a result, the oldest first."""
    return [write for write in _all_writes(tx) if write.result is None][:limit]


def find_write(tx: Tx, write_id: str) -> PendingWrite | None:
    """The pending write of an id, whether or not it has a result; None without one."""
    return next((write for write in _all_writes(tx) if write.id == write_id), None)


def _all_writes(tx: Tx) -> list[PendingWrite]:
    rows = tx.pending_writes._session.execute(
        "SELECT id, side, kind, link_key, source_id, target_id, idempotency_key, data, link_id, sent_ms, result,"
        " generation, landed_ms FROM pending_writes ORDER BY id"
    ).fetchall()
    return [tx.pending_writes._write(row) for row in rows]


def list_purchases(tx: Tx, state: PurchaseState) -> list[Purchase]:
    """Purchases in a state, the oldest first."""
    rows = tx.purchases._session.execute("SELECT payment_id, state FROM purchases").fetchall()
    found = tx.purchases.get_many([payment_id for payment_id, stored in rows if stored == state]).values()
    return sorted(found, key=lambda row: (row.created_ms, row.payment_id))


def held_locks(tx: Tx, token: str) -> set[str]:
    """The keys that a token holds."""
    rows = tx.locks._session.execute("SELECT key, token FROM locks").fetchall()
    return {key for key, holder in rows if holder == token}


def every_conflict(tx: Tx) -> list[Conflict]:
    """Every conflict that is stored, closed ones too."""
    rows = tx.conflicts._session.execute(
        "SELECT id, link_id, side, record_id, field, kind, value, at_ms FROM conflicts"
    ).fetchall()
    return [tx.conflicts._conflict(row).conflict for row in rows]


ENCRYPTED = {
    "records": ("side || ':' || id", ("content",)),
    "links": ("id", ("base", "parked", "put_back")),
    "events": ("key", ("data",)),
    "rejected": ("id", ("body",)),
    "pending_writes": ("id", ("data",)),
    "purchases": ("payment_id", ("data",)),
    "conflicts": ("id", ("value",)),
    "journal": ("id", ("data",)),
    "held_fields": ("link_id || '/' || field", ("data",)),
}
"""Table -> how its encrypted columns name their row, and those columns."""
PLAIN = ("settings", "jobs", "open_creates", "emails", "tombstones", "pauses", "holds", "overwrites", "webhook_counts")


def read_everything(tx: Tx) -> dict[str, list[str]]:
    """Every value of the database as text, decrypted, by table."""
    session = tx.settings._session
    found: dict[str, list[str]] = {}
    for table, (name, columns) in ENCRYPTED.items():
        place = "held" if table == "held_fields" else table
        for row_id, *blobs in session.execute(f"SELECT {name}, {', '.join(columns)} FROM {table}").fetchall():
            plain = [
                session.encryption.decrypt(blob, place, row_id, column).decode()
                for column, blob in zip(columns, blobs, strict=True)
                if blob
            ]
            found.setdefault(table, []).extend(plain)
    for table in (*ENCRYPTED, *PLAIN):
        for row in session.execute(f"SELECT * FROM {table}").fetchall():
            found.setdefault(table, []).append(" ".join(str(value) for value in row if not isinstance(value, bytes)))
    return found
