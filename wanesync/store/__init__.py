"""The store: what wanesync remembers, on SQLite or Postgres."""

from wanesync.store.db import Collided, RuleBroken
from wanesync.store.jobs import LeaseLost
from wanesync.store.links import LinkMoved
from wanesync.store.seal import Seal, load_keyring, make_key
from wanesync.store.store import Store, Tx, open_store
from wanesync.store.writes import IntentTaken

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
