"""A database with ciphertexts in every column that has some, and all of them read through the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.support.store_rows import a_create, a_link, a_stored, an_event
from wanesync.core.change_guard import HeldValue, HoldKind
from wanesync.core.errors import DecryptionFailed
from wanesync.core.model import Change, Conflict, Parked, ParkReason, PutBack, Side
from wanesync.core.operating.operators import OperatorRole
from wanesync.core.purchases import Purchase
from wanesync.store import Store, Tx
from wanesync.store.queries import Value
from wanesync.store.session import Row
from wanesync.store.tables.operating.access import UserSecrets
from wanesync.store.tables.operating.log_lines import NEWEST, LogLine
from wanesync.store.tables.operating.reconcile_runs import ReconcileItem
from wanesync.store.tables.sealed_rows import SEALED_TABLES


def seed(store: Store, number: int, values: dict[str, str] | None = None) -> None:
    """Store one person in every table that has ciphertexts. ``values``: of the person."""
    plain = values or {"email": f"ann{number}@example.com", "name": f"Ann {number}", "phone": "+49301", "city": "Ulm"}
    store.run(lambda tx: _seed(tx, store, f"{number:06d}", plain))


def _seed(tx: Tx, store: Store, name: str, values: dict[str, str]) -> None:
    email, city = values["email"], values["city"]
    hmac = store.hmac(email)
    for side in Side:
        stored = a_stored(side, f"{side}{name}", hmac)
        record = replace(stored.record, values=values, emails=frozenset({email}), carry={"address": city})
        tx.records.put_many([replace(stored, record=record)])
    event = an_event(f"event{name}", f"hubspot{name}")
    tx.events.put_many([replace(event, values=values, previous=values, record=None)])
    parked = {"city": Parked(Side.STRIPE, city, ParkReason.INVALID, 1)}
    put_back = {"phone": PutBack(Side.HUBSPOT, values["phone"], (values["name"], city), contested=False)}
    link = a_link(f"link{name}", f"hubspot{name}", f"stripe{name}")
    tx.links.put(replace(link, base={"email": (email, email)}, parked=parked, put_back=put_back))
    body = f"{values}"
    changes = {"email": Change("", email, email)}
    write = replace(a_create(f"write{name}", hmac, source_id=f"hubspot{name}"), body=body, changes=changes)
    tx.pending_writes.put(write)
    tx.purchases.put(Purchase(f"pi_{name}", f"ch_{name}", "cus_1", email, hmac, 100, "eur", 1, values["name"]))
    tx.conflicts.put(Conflict(Side.HUBSPOT, f"hubspot{name}", "city", city, "policy"), link.id)
    tx.journal.add("updated", Side.HUBSPOT, f"hubspot{name}", link.id, {"fields": {"city": [city, values["phone"]]}})
    tx.rejected.put(Side.STRIPE, "no JSON", f"{values}{name}".encode())
    hold_id, _ = tx.holds.open(f"source{name}", HoldKind.BRAKE)
    tx.holds.put(link.id, "city", HeldValue(Side.STRIPE, city, values["name"], hold_id))
    item = ReconcileItem(1, "update_contact", True, f"hubspot{name}", "", f"{values}")
    tx.reconcile_runs.add_items(f"run{name}", [item])
    tx.admin_users.add(f"user{name}", OperatorRole.VIEWER, UserSecrets(totp=f"{values}"))
    data = {"reason": f"{values}"}
    tx.log_lines.add([LogLine(1, 1, "info", "sent", "wanesync", "worker 7", "stripe", f"stripe{name}", "", data)])


def read_each(store: Store) -> Iterator[tuple[str, str, DecryptionFailed | None]]:
    """Every row with ciphertexts, by its table and key, and why it cannot be read."""
    with store.reading() as tx:
        keys = {
            table.name: [mark.key for mark in tx.sealed_rows.marks(table, (), 1_000_000)] for table in SEALED_TABLES
        }
        for table, found in keys.items():
            for key in found:
                yield table, " ".join(key), _try_read(_READERS[table], tx, key)


def read_row(store: Store, table: str, key: tuple[str, ...]) -> DecryptionFailed | None:
    """Read one row as the program does; why that fails."""
    with store.reading() as tx:
        return _try_read(_READERS[table], tx, key)


def _try_read(read: Callable[[Tx, tuple[str, ...]], object], tx: Tx, key: tuple[str, ...]) -> DecryptionFailed | None:
    try:
        assert read(tx, key) is not None
    except DecryptionFailed as error:
        return error
    return None


def _read_rejected(tx: Tx, key: tuple[str, ...]) -> bytes:
    rows = tx.rejected._session.rows("list_rejected", limit=1_000_000)
    blob = next(row[3] for row in rows if row[0] == key[0])
    return tx.rejected._session.encryption.decrypt(blob, "rejected", key[0], "body")


def _read_conflict(tx: Tx, key: tuple[str, ...]) -> object:
    row = next(
        row for row in tx.conflicts._session.rows("conflicts_page", after="", limit=1_000_000) if row[0] == key[0]
    )
    return tx.conflicts._conflict(row)


def _read_journal(tx: Tx, key: tuple[str, ...]) -> object:
    row = next(row for row in tx.journal._session.rows("latest_journal", limit=1_000_000) if row[0] == key[0])
    return tx.journal._entry(row)


def _read_log_line(tx: Tx, key: tuple[str, ...]) -> object:
    row = next(row for row in _find_log_lines(tx) if row[0] == key[0])
    return tx.log_lines._line(row)


def _find_log_lines(tx: Tx) -> list[Row]:
    everything: dict[str, Value] = {"since_ms": 0, "least": 0, "event": "", "correlation_id": "", "limit": 1_000_000}
    return tx.log_lines._session.rows("log_lines_page", **everything, **NEWEST.as_parameters())


def _read_item(tx: Tx, key: tuple[str, ...]) -> object:
    return next(tx.reconcile_runs.planned(key[0].partition("/")[0]))


_READERS: dict[str, Callable[[Tx, tuple[str, ...]], object]] = {
    "records": lambda tx, key: tx.records.get(Side(key[0]), key[1]),
    "links": lambda tx, key: tx.links.get(key[0]),
    "events": lambda tx, key: tx.events.get(key[0]),
    "rejected": _read_rejected,
    "pending_writes": lambda tx, key: tx.pending_writes.creates_of([(Side.HUBSPOT, f"hubspot{key[0][5:]}")]),
    "purchases": lambda tx, key: tx.purchases.get_many([key[0]]),
    "conflicts": _read_conflict,
    "journal": _read_journal,
    "held_fields": lambda tx, key: tx.holds.of_links([key[0]]),
    "log_lines": _read_log_line,
    "reconcile_items": _read_item,
    "admin_users": lambda tx, key: tx.admin_users.secrets(key[0]),
}
