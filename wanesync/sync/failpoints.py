"""Named failpoints: places where a test kills or stops this very process, to see that nothing is lost or doubled.

``NAME:N`` kills the process with SIGKILL when it passes NAME for the N-th time; ``NAME:N:stop`` stops it with SIGSTOP
instead, until it gets SIGCONT. Every commit has one inside its transaction and one after it, every call one before its
request and one after its answer.

Nothing in this package arms one: no option, no variable of the environment. The tests start the program by an entry
point of their own (``tests/support/forker.py``), which calls ``arm_failpoint`` before the program is run
(docs/security.md#the-doors).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from wanesync.core.errors import ConfigError
from wanesync.store.database import Store, Tx

_T = TypeVar("_T")
COMMITS = (
    "hubspot.claim",
    "stripe.claim",
    "outcomes",
    "heartbeat",
    "sweep",
    "release",
    "intake",
    "listing.begin",
    "listing.page",
    "reconcile.adopt",
    "reconcile.queue",
    "reconcile.done",
    "baseline.chunk",
    "baseline.end",
    "decisions",
    "proposal",
    "catch_up.page",
    "catch_up.cursor",
)
OPERATIONS = (
    "contacts.archived",
    "contacts.batch_read",
    "contacts.batch_create",
    "contacts.batch_update",
    "contacts.retrieve",
    "customers.create",
    "customers.update",
    "customers.retrieve",
    "customers.list",
    "events.definitions",
    "events.send",
    "notes.create",
    "notes.read",
)
FAILPOINTS = tuple(f"{place}.{moment}" for place in (*COMMITS, *OPERATIONS) for moment in ("before", "after"))

Failpoint = Callable[[str], None]


def no_failpoint(_name: str) -> None:
    """The failpoint of a process that is not under test."""


@dataclass(slots=True)
class Trap:
    """Sends ``signal_number`` to this process at the ``times``-th pass of ``name``."""

    name: str
    times: int
    signal_number: signal.Signals
    _passed: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, name: str) -> None:
        """Pass a failpoint."""
        if name != self.name:
            return
        with self._guard:
            self._passed += 1
            if self._passed == self.times:
                os.kill(os.getpid(), self.signal_number)


def parse_failpoint(text: str) -> Trap:
    """Return the trap that a text describes. Raises ConfigError for a failpoint that does not exist."""
    name, _, rest = text.partition(":")
    times, _, act = rest.partition(":")
    if name not in FAILPOINTS:
        raise ConfigError([f"there is no failpoint {name!r}; there are {', '.join(FAILPOINTS)}"])
    if not (times or "1").isdecimal() or int(times or 1) < 1 or act not in ("", "stop"):
        raise ConfigError([f"failpoint {text!r} is not NAME, NAME:N or NAME:N:stop with N from 1"])
    return Trap(name, int(times or 1), signal.SIGSTOP if act else signal.SIGKILL)


_ARMED: list[Failpoint] = []


def arm_failpoint(text: str) -> None:
    """Arm the failpoint of this process; called by the entry point of the tests and by nothing in this package."""
    _ARMED[:] = [parse_failpoint(text)]


def armed_failpoint() -> Failpoint:
    """Return the failpoint of this process, which does nothing unless a test armed one."""
    return _ARMED[0] if _ARMED else no_failpoint


def commit(store: Store, failpoint: Failpoint, place: str, work: Callable[[Tx], _T]) -> _T:
    """Run one transaction, with a failpoint as the last step inside it and another one after its commit."""

    def run(tx: Tx) -> _T:
        result = work(tx)
        failpoint(f"{place}.before")
        return result

    result = store.run(run)
    failpoint(f"{place}.after")
    return result
