"""The writes switch: while it is off, everything runs but no change is sent to HubSpot or Stripe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wanesync.core.jobs import WaitCode
from wanesync.sync.writes.writer import WRITES

if TYPE_CHECKING:
    from wanesync.core.operating.operators import Operator
    from wanesync.store.database import Store, Tx

ON, OFF = "on", "off"


def read_switch(tx: Tx) -> str:
    """Return ``on`` or ``off``; before the first start, ``off``."""
    return tx.settings.get(WRITES) or OFF


def read_writes(store: Store) -> str:
    """Return ``on`` or ``off``."""
    return store.read(read_switch)


def switch_writes(store: Store, operator: Operator, *, on: bool) -> int:
    """Allow or forbid writes in every process, from its next transaction on. Returns how many waiting jobs became due.

    Setting what is set already changes nothing and is not written to the journal.
    """
    wanted = ON if on else OFF

    def switch(tx: Tx) -> int:
        if tx.settings.get(WRITES) == wanted:
            return 0
        tx.settings.put(WRITES, wanted)
        tx.journal.add("writes", None, "", "", {"writes": wanted}, operator=operator)
        due = tx.jobs.make_due(WaitCode.WRITES_OFF) if on else 0
        tx.audit.add(operator, "writes.switch", "writes", {"writes": OFF if on else ON}, {"writes": wanted})
        return due

    return store.run(switch)
