"""Every column that holds ciphertexts: with which key each row is encrypted, and how it is encrypted with another.

A ciphertext shows its key id in its header (``store.encryption``), so rows are counted without decryption.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from wanesync.core.errors import DecryptionFailed
from wanesync.store.encryption import Encryption
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table

RowKey = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table with ciphertexts. ``columns``: also their purposes. ``place``: the table name that is authenticated.

    ``keys``: how many columns its primary key has. ``joint``: joins them to the row name that is authenticated.
    """

    name: str
    columns: tuple[str, ...]
    scan: str
    read: str
    swap: str
    keys: int = 1
    place: str = ""
    joint: str = ""


SEALED_TABLES = (
    SealedTable(
        "records", ("content",), "key_ids_in_records", "sealed_records", "reseal_records", 2, joint=":"
    ),
    SealedTable("links", ("base", "parked", "put_back"), "key_ids_in_links", "sealed_links", "reseal_links"),
    SealedTable("events", ("data",), "key_ids_in_events", "sealed_events", "reseal_events"),
    SealedTable("rejected", ("body",), "key_ids_in_rejected", "sealed_rejected", "reseal_rejected"),
    SealedTable(
        "pending_writes", ("data",), "key_ids_in_pending_writes", "sealed_pending_writes", "reseal_pending_writes"
    ),
    SealedTable("purchases", ("data",), "key_ids_in_purchases", "sealed_purchases", "reseal_purchases"),
    SealedTable("conflicts", ("value",), "key_ids_in_conflicts", "sealed_conflicts", "reseal_conflicts"),
    SealedTable("journal", ("data",), "key_ids_in_journal", "sealed_journal", "reseal_journal"),
    SealedTable(
        "held_fields", ("data",), "key_ids_in_held_fields", "sealed_held_fields", "reseal_held_fields", 2, "held", "/",
    ),
    SealedTable("log_lines", ("data",), "key_ids_in_log_lines", "sealed_log_lines", "reseal_log_lines"),
    SealedTable(
        "reconcile_items", ("data",), "key_ids_in_reconcile_items", "sealed_reconcile_items", "reseal_reconcile_items"
    ),
    SealedTable("admin_users", ("secrets",), "key_ids_in_admin_users", "sealed_admin_users", "reseal_admin_users"),
)  # fmt: skip
"""All of them; besides there is the index key, in the setting ``index_key``."""


@dataclass(frozen=True, slots=True)
class KeyMark:
    """The ids of the keys in one row, one for each column that is not empty."""

    key: RowKey
    key_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Resealing:
    """What becomes of some rows: the parameters of the swaps, and the rows that cannot be decrypted."""

    swaps: Sequence[dict[str, Value]]
    damaged: Sequence[str]


class SealedRows(Table):
    """All tables with ciphertexts, by ``SealedTable``."""

    __slots__ = ()

    def marks(self, table: SealedTable, after: RowKey, limit: int) -> list[KeyMark]:
        """The key ids in the rows above ``after`` (() for the first ones), in the order of their keys."""
        bounds: dict[str, Value] = {"after": after[0] if after else "", "limit": limit}
        if table.keys == 2:
            bounds["after_2"] = after[1] if after else ""
        return [_mark(table, row) for row in self._session.rows(table.scan, **bounds)]

    def read(self, table: SealedTable, keys: Collection[RowKey]) -> list[Row]:
        """The rows of some keys: the key's columns, then the ciphertexts."""
        return self._session.each(table.read, [_parameters(key) for key in keys])

    def swap(self, table: SealedTable, swaps: Sequence[dict[str, Value]]) -> int:
        """Replaces ciphertexts that are still the ones that were read; how many rows were.

        A row that another transaction changed meanwhile, or has locked, stays as it is.
        """
        return len(self._session.each(table.swap, swaps))


def reseal(encryption: Encryption, table: SealedTable, rows: Sequence[Row]) -> Resealing:
    """Encrypts the contents of rows with the key that encrypts now."""
    swaps, damaged = [], []
    for row in rows:
        key: RowKey = tuple(row[: table.keys])
        place, name = table.place or table.name, table.joint.join(key)
        swap = _parameters(key)
        try:
            for column, blob in zip(table.columns, row[table.keys :], strict=True):
                plain = encryption.decrypt(blob, place, name, column) if blob else b""
                swap[column], swap[f"new_{column}"] = (
                    blob,
                    encryption.encrypt(plain, place, name, column) if blob else b"",
                )
        except DecryptionFailed:
            damaged.append(name)
        else:
            swaps.append(swap)
    return Resealing(swaps, damaged)


def _mark(table: SealedTable, row: Row) -> KeyMark:
    found = (bytes(part) for part in row[table.keys :] if part)
    return KeyMark(tuple(row[: table.keys]), frozenset(part.decode("ascii", "replace") for part in found))


def _parameters(key: RowKey) -> dict[str, Value]:
    return dict(zip(("first", "second"), key, strict=False))
