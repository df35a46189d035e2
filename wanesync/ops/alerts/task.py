"""What every process that runs on does about alerts: evaluates in turn with the others, and delivers what waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog

from wanesync.core.errors import DatabaseUnavailable, DeliveryFailed
from wanesync.core.operating.alarms import Alarm, Level

if TYPE_CHECKING:
    from wanesync.ops.alerts.deliverer import Deliverer
    from wanesync.ops.alerts.evaluator import Evaluator, Round
    from wanesync.store.database import Store, Tx

EVALUATE_S = 10.0
"""Seconds between two rounds: with the longest wait of a rule (30 s) everything is noticed within a minute."""
DELIVER_S = 5.0
"""Seconds between two looks at what another process queued, or what is to be tried again (our choice)."""
REPORT_MS = 300_000
"""How often a process looks at what it alone can see: its certificates, and that of its broker."""
HEARTBEAT_MS = 60_000
"""How often ``heartbeat_url`` is called, the period of the usual services for it (our choice)."""
STOP_S = 2.0
"""How long the end of the process waits for each thread: much longer than a transaction (our choice)."""

log = structlog.get_logger()


def _see_nothing() -> Sequence[Alarm]:
    return ()


@dataclass(slots=True)
class AlertTask:
    """The rounds of one process until ``stopping`` is set. ``find_local``: alarms that it alone can see.

    ``call_heartbeat``: calls ``heartbeat_url``, None without one; raises ``DeliveryFailed``.
    """

    store: Store
    evaluator: Evaluator
    deliverer: Deliverer
    stopping: threading.Event
    find_local: Callable[[], Sequence[Alarm]] = _see_nothing
    call_heartbeat: Callable[[], None] | None = None
    _queued: threading.Event = field(default_factory=threading.Event)
    _reported_ms: int = 0
    _reported: bool = False
    _unreached_ms: int = -(2**62)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Run both in threads. Daemons: a recipient may keep one waiting, and what is not stored is sent again."""
        self._threads = [
            threading.Thread(target=self.evaluate, name="alerts", daemon=True),
            threading.Thread(target=self.deliver, name="notices", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Set ``stopping``, and wait for what is at the database; a delivery under way is not waited for to its end."""
        self.stopping.set()
        self._queued.set()
        for thread in self._threads:
            thread.join(STOP_S)

    def evaluate(self) -> None:
        """Evaluate until ``stopping`` is set, then give the claim back."""
        while not self.stopping.wait(EVALUATE_S):
            self._attempt(self.evaluate_once)
        self._attempt(self.evaluator.release)

    def deliver(self) -> None:
        """Deliver, and call ``heartbeat_url``, until ``stopping`` is set."""
        while not self.stopping.is_set():
            self._attempt(self.deliverer.run_round)
            self._attempt(self.show_life)
            self._queued.wait(DELIVER_S)
            self._queued.clear()

    def evaluate_once(self) -> Round | None:
        """Report what this process alone can see, and evaluate if no other process does."""
        self._report()
        done = self.evaluator.run_round()
        if done is None:
            return None
        if done.notices:
            self._queued.set()
        return done

    def _report(self) -> None:
        now_ms = self.store.now_ms()
        if self._reported_ms and 0 <= now_ms - self._reported_ms < REPORT_MS:
            return
        self._reported_ms = now_ms
        found = self.find_local()
        if found or self._reported:
            self.store.run(lambda tx: tx.alerts.report(self.evaluator.name, found))
        self._reported = bool(found)

    def show_life(self) -> None:
        """Call ``heartbeat_url`` once a minute while rules are evaluated and nothing critical stands.

        Its silence is an alarm elsewhere. A process that did not reach it leaves it to the others for a while: a part
        may have no way out of its network. Raises ``DatabaseUnavailable``.
        """
        now_ms = self.store.now_ms()
        if self.call_heartbeat is None or 0 <= now_ms - self._unreached_ms < 2 * HEARTBEAT_MS:
            return
        if not self.store.run(_take_turn):
            return
        failure = ""
        try:
            self.call_heartbeat()
        except DeliveryFailed as error:
            failure, self._unreached_ms = str(error), now_ms
            log.warning("heartbeat_url not reached", reason=failure)
        self.store.run(partial(_store_heartbeat, failure))

    def _attempt(self, work: Callable[[], object]) -> None:
        try:
            work()
        except DatabaseUnavailable as error:
            log.info("alerts wait for the database", reason=str(error))
        except Exception as error:  # noqa: BLE001 - a defect must not end all later rounds
            # At the end of the program the database is closed while a round may still run.
            if not self.stopping.is_set():
                log.error("alerts failed in our own code", error=type(error).__name__)


def _take_turn(tx: Tx) -> bool:
    if any(state.level == Level.CRITICAL for state in tx.alerts.states()):
        return False
    return tx.alerts.take_heartbeat(HEARTBEAT_MS)


def _store_heartbeat(error: str, tx: Tx) -> None:
    tx.alerts.put_heartbeat(error)
