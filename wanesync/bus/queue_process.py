"""The queue process: both sides of the queue, what wakes the workers, and a heartbeat.

docs/mqtt.md#queue says what a lost queue process costs.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from wanesync.bus.client import BusOptions
from wanesync.bus.envelope import Seal
from wanesync.bus.side_queue import SideQueue
from wanesync.bus.work_notices import WorkNotices
from wanesync.core.errors import DatabaseUnavailable, FieldMapChanged
from wanesync.core.ids import make_id
from wanesync.core.model import Side
from wanesync.core.operating.figures import Figure
from wanesync.core.purchases import Sink
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.sync.intake import Intake

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx

QUEUE = "queue"
"""What a heartbeat names the lanes of a queue process."""
HEARTBEAT_S = 2.0
"""As often as every other process."""
LONE_SESSION_S = 3_600
"""How long the broker keeps what arrives while the only queue process is away."""
SHARED_SESSION_S = 1
"""The same where several share the topics: soon after one is gone, all goes to the others."""

log = structlog.get_logger()


@dataclass(slots=True)
class QueueProcess:
    """Stores what the handlers publish. ``options``: with the session of a lone queue process (``LONE_SESSION_S``).

    ``sink``: how purchases are recorded, as configured; None: as the workers chose.
    """

    store: Store
    intake: Intake
    seal: Seal
    options: BusOptions
    sink: Sink | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    sides: dict[Side, SideQueue] = field(init=False)
    notices: WorkNotices = field(init=False)
    _failure: FieldMapChanged | None = None
    _counts: Counter[tuple[Side, Outcome]] = field(default_factory=Counter)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Make the sides; they connect in ``run``."""
        self.intake.count = self._count
        self.sides = {side: self._make_side(side) for side in Side}
        clients = {side: one.client for side, one in self.sides.items()}
        self.notices = WorkNotices(self.store, clients, self.seal, self.stopping, self.sink)

    def _make_side(self, side: Side) -> SideQueue:
        options = replace(self.options, client_id=f"{self.options.client_id}-{side}")
        return SideQueue(side, self.store, self.intake, self.seal, options, self.stopping, self._fail)

    def run(self) -> None:
        """Work until ``stopping`` is set. Raises ``FieldMapChanged``."""
        name, started_ms = make_id(self.store.now_ms(), random.SystemRandom()), self.store.now_ms()
        notices = threading.Thread(target=self.notices.run, name="work-notices")
        notices.start()
        # Before it connects: one that joins others has a short session from the first moment.
        self._beat(name, started_ms)
        for side in self.sides.values():
            side.start()
        try:
            while not self.stopping.wait(HEARTBEAT_S):
                self._beat(name, started_ms)
                self._store_counts()
        finally:
            self.stopping.set()
            self.store.wake_workers()
            for side in self.sides.values():
                side.stop()
            notices.join()
            self._store_counts()
            try:
                self.store.run(lambda tx: tx.processes.remove(name))
            except DatabaseUnavailable as error:
                log.warning("database unavailable", reason=str(error))
        if self._failure is not None:
            raise self._failure

    def _beat(self, name: str, started_ms: int) -> None:
        """Write a heartbeat, and agree on the sessions with the broker by how many queue processes there are."""
        try:
            self.store.sync_clock()
            self.store.refresh_keys()
            alone = self.store.run(partial(_beat, name=name, started_ms=started_ms))
        except FieldMapChanged as error:
            self._fail(error)
        except DatabaseUnavailable as error:
            log.warning("database unavailable", reason=str(error))
        else:
            for side in self.sides.values():
                side.client.keep_session(LONE_SESSION_S if alone else SHARED_SESSION_S)

    def _fail(self, error: FieldMapChanged) -> None:
        self._failure = error
        self.stopping.set()

    def _count(self, side: Side, outcome: Outcome, number: int) -> None:
        """Count outcomes of elements; they are stored with the next heartbeat."""
        self.store.figures.add(Figure.WEBHOOKS, side, outcome, number=number)
        with self._guard:
            self._counts[side, outcome] += number

    def _store_counts(self) -> None:
        """Store what was counted; they are for people, and what cannot be stored now is stored later."""
        with self._guard:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            self.store.run(lambda tx: tx.webhook_counts.add(counts))
        except DatabaseUnavailable as error:
            log.warning("counts not stored", reason=str(error))
            with self._guard:
                self._counts += counts


def _beat(tx: Tx, name: str, started_ms: int) -> bool:
    """Write a heartbeat; return whether no other queue process is alive."""
    tx.settings.check_field_map()
    tx.processes.beat(name, QUEUE, started_ms)
    return not any(row.lanes == QUEUE and row.name != name for row in tx.processes.alive())
