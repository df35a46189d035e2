"""What leads a worker past the failpoints that are rare: faults of a side, edits in one second, purchases."""

from __future__ import annotations

import random

from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.purchases.sender import SINK
from wanesync.sandbox.faults import Faults

USUAL = Faults(duplicate=0.1, reorder_ms=300)


def prepare(stage: Stage, failpoint: str) -> None:
    """See to it that somebody will come by."""
    faults = {
        "customers.list": (Side.STRIPE, Faults(error_500=0.4)),
        "contacts.retrieve": (Side.HUBSPOT, Faults(lost_answer=0.5)),
        "notes.read": (Side.HUBSPOT, Faults(lost_answer=0.4)),
    }.get(failpoint.rpartition(".")[0])
    if faults is not None:
        set_faults(stage, *faults)
    if failpoint.startswith("events.definitions"):
        stage.store.run(lambda tx: tx.settings.drop(SINK))


def restore(stage: Stage, failpoint: str) -> None:
    """The usual faults are in force again."""
    if failpoint.startswith(("customers.list", "contacts.retrieve", "notes.read")):
        for side in Side:
            set_faults(stage, side, USUAL)


def set_faults(stage: Stage, side: Side, faults: Faults) -> None:
    """From now on."""
    with stage.sandbox.lock:
        stage.sandbox.machines[side].set_faults(faults)


def provoke(stage: Stage, failpoint: str, rng: random.Random) -> None:
    """What leads to the calls that are rare: edits of one customer in one second, of one field again and again."""
    mark = rng.randrange(10**6)
    match failpoint.rpartition(".")[0]:
        case "customers.list":
            email = f"provoked.{mark}@example.com"
            stage.sandbox.edit(Side.HUBSPOT, "create", None, {"email": email, "firstname": "Pro", "lastname": "Voked"})
        case "customers.retrieve" | "contacts.retrieve":
            rows = stage.sandbox.records(Side.STRIPE)
            customer = rows[0 if failpoint.startswith("contacts") else rng.randrange(len(rows))]["id"]
            for part in range(2):
                stage.sandbox.edit(Side.STRIPE, "update", customer, {"address.city": f"Shift {mark} {part}"})
        case "notes.create" | "notes.read" | "events.send" | "events.definitions":
            customer = rng.choice(stage.sandbox.records(Side.STRIPE))["id"]
            stage.sandbox.edit(Side.STRIPE, "purchase", customer, {"amount": "1999", "currency": "usd"})
        case "contacts.batch_create":
            stage.sandbox.edit(Side.STRIPE, "create", None, {"email": f"new.{mark}@example.com", "name": "New One"})
