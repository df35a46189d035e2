"""The store: the state of an installation, on SQLite or Postgres.

Begin with ``database.py`` (``Store``, its transactions) and ``sql/schema.sql``. ``tables/`` has one module per table,
``sql/queries.sql`` every statement they run, and ``session.py`` passes a statement to the driver.
"""

from wanesync.store.database import Store, Tx, open_store
from wanesync.store.encryption import Encryption, load_keyring, make_key
from wanesync.store.session import ConstraintViolated, TransactionConflict, TransactionTooLong
from wanesync.store.tables.jobs import LeaseLost
from wanesync.store.tables.links import LinkMoved
from wanesync.store.tables.pending_writes import EmailIntentTaken

__all__ = [
    "ConstraintViolated",
    "EmailIntentTaken",
    "Encryption",
    "LeaseLost",
    "LinkMoved",
    "Store",
    "TransactionConflict",
    "TransactionTooLong",
    "Tx",
    "load_keyring",
    "make_key",
    "open_store",
]
