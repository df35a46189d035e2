"""Reads the secrets of a running process again, regularly, and stores what is wrong with them for the alarms."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from wanesync.core.errors import WanesyncError
from wanesync.ops.health.secret_troubles import store_troubles

if TYPE_CHECKING:
    from wanesync.config.secret_source import SecretSource
    from wanesync.store.database import Store

POLL_INTERVAL_S = 2.0
"""How often a process looks whether a refresh is due, or something is wrong that was not stored yet (our choice)."""
MIN_VALID_S = 600
"""How long a trouble counts at least, after which it is stored again."""

log = structlog.get_logger()


@dataclass(slots=True)
class SecretRefresh:
    """Reads the secrets again every ``interval_s`` (0: never) until ``stopping`` is set.

    ``store``: None for a process without a database, which can only log what is wrong. ``process``: what it is called
    in the alarms' entries.
    """

    source: SecretSource
    interval_s: float
    stopping: threading.Event
    store: Store | None
    process: str
    monotonic_s: Callable[[], float] = time.monotonic
    _refreshed_s: float = field(init=False)
    _stored: tuple[dict[str, str], float] = ({}, 0.0)

    def __post_init__(self) -> None:
        """The start has just read them."""
        self._refreshed_s = self.monotonic_s()

    def run(self) -> None:
        """Work until ``stopping`` is set; runs in a thread beside the work itself."""
        if not any(map(self.source.is_renewable, self.source.written)):
            return
        while not self.stopping.wait(POLL_INTERVAL_S):
            self.run_round()

    def run_round(self) -> None:
        """Refresh if it is due, and store what is wrong if that changed."""
        if self.interval_s and self.monotonic_s() >= self._refreshed_s + self.interval_s:
            self._refreshed_s = self.monotonic_s()
            for key in sorted(self.source.refresh()):
                log.info("secret changed", secret_name=key)
            for listener in self.source.listeners:
                listener()
        self._store_troubles()

    def _store_troubles(self) -> None:
        troubles, now_s = dict(self.source.troubles), self.monotonic_s()
        stored, at_s = self._stored
        valid_s = max(MIN_VALID_S, 2 * self.interval_s)
        if troubles == stored and (not troubles or now_s < at_s + valid_s / 2):
            return
        for key in sorted(troubles.keys() - stored.keys()):
            log.warning("secret not read again", secret_name=key, reason=troubles[key])
        mine, valid_ms = list(self.source.written), int(valid_s * 1000)
        store = self.store
        if store is None:
            self._stored = troubles, now_s
            return
        try:
            store.run(lambda tx: store_troubles(tx, self.process, mine, troubles, valid_ms))
        except WanesyncError as error:
            # Stored in one of the next rounds.
            log.warning("secret troubles not stored", reason=str(error))
            return
        self._stored = troubles, now_s
