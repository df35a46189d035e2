"""Stored values that cannot be decrypted any more."""

from __future__ import annotations

from wanesync.store.database import Store


def damage(store: Store, table: str, column: str, condition: str) -> None:
    """Change one byte of encrypted values."""
    with store._database.session(store._context, writing=True) as session:
        rows = session.execute(f"SELECT {column} FROM {table} WHERE {condition}").fetchall()
        for (blob,) in rows:
            spoiled = bytes([*blob[:-1], blob[-1] ^ 1]).hex()
            literal = f"X'{spoiled}'" if store.dialect == "sqlite" else f"'\\x{spoiled}'::bytea"
            session.execute(f"UPDATE {table} SET {column} = {literal} WHERE {condition}")
    assert rows
