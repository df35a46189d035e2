"""What may happen to a burst: webhooks that come three times, a worker and a database that are killed in the middle."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from wanesync.bench.stage import OWN_POSTGRES, Running
from wanesync.core.errors import ConfigError, WanesyncError
from wanesync.sandbox.faults import Faults

DISORDER_MS = 2_000
"""Each copy of a webhook comes up to so much later than the event, at random."""
DOWN_S = 1.0


@dataclass(frozen=True, slots=True)
class Mishaps:
    """``deliveries``: how often each webhook comes. The kills happen when half of the load has arrived."""

    deliveries: int = 1
    kill_worker: bool = False
    kill_database: bool = False

    def check(self, database: str | None) -> None:
        """Raise ConfigError when the database to be killed is not the bench's own."""
        if self.kill_database and database != OWN_POSTGRES:
            problem = f"--kill-database needs --database {OWN_POSTGRES}: only a Postgres of the bench's own is killed"
            raise ConfigError([problem])

    @property
    def faults(self) -> Faults:
        """Of the webhooks."""
        return Faults(deliveries=self.deliveries, reorder_ms=DISORDER_MS) if self.deliveries > 1 else Faults()


@dataclass(slots=True)
class Blows:
    """Strikes once, from a thread of its own, so that everything goes on arriving meanwhile."""

    mishaps: Mishaps
    running: Running
    _thread: threading.Thread | None = None
    _errors: list[WanesyncError] = field(default_factory=list)

    def strike(self) -> None:
        """Begin, if there is anything to kill and it was not done yet."""
        if self._thread is None and (self.mishaps.kill_worker or self.mishaps.kill_database):
            self._thread = threading.Thread(target=self._carry_out, name="blows")
            self._thread.start()

    def finish(self) -> None:
        """Wait until everything that was killed runs again; raises what went wrong."""
        if self._thread is not None:
            self._thread.join()
        if self._errors:
            raise self._errors[0]

    def _carry_out(self) -> None:
        try:
            if self.mishaps.kill_worker:
                self._replace_worker()
            cluster = self.running.stage.cluster
            if self.mishaps.kill_database and cluster is not None:
                cluster.crash()
                threading.Event().wait(DOWN_S)
                cluster.start()
        except WanesyncError as error:
            self._errors.append(error)

    def _replace_worker(self) -> None:
        """The next one is started first: at no moment does a worker seem to have ended by itself."""
        killed, fresh = self.running.workers[0], self.running.stage.start("worker")
        self.running.workers[0] = fresh
        self.running.gone_cpu_s.append(killed.cpu_s())
        killed.kill()
        fresh.first_line()
