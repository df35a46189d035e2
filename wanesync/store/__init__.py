"""The store: what wanesync remembers, on SQLite or Postgres."""

from wanesync.store.database import Store, Tx, open_store
from wanesync.store.encryption import Seal, load_keyring, make_key
from wanesync.store.session import Collided, RuleBroken
from wanesync.store.tables.jobs import LeaseLost
from wanesync.store.tables.links import LinkMoved
from wanesync.store.tables.writes import IntentTaken

__all__ = [
    "Collided",
    "IntentTaken",
    "LeaseLost",
    "LinkMoved",
    "RuleBroken",
    "Seal",
    "Store",
    "Tx",
    "load_keyring",
    "make_key",
    "open_store",
]
