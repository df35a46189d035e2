"""Waits while the database is unavailable: for long-running programs, at their start and during a bulk run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from wanesync.core.errors import DatabaseUnavailable
from wanesync.store.session import TransactionConflict

RETRY_S = 1.0
"""Pause between two attempts (our choice)."""
RUN_PATIENCE_S = 300.0
"""How long a bulk run waits for the database: a restart or a failover takes less."""

_T = TypeVar("_T")
log = structlog.get_logger()


@dataclass(slots=True)
class Patience:
    """How long to wait; ``stopping`` ends it. ``max_s``: of one wait, without limit by default."""

    stopping: threading.Event = field(default_factory=threading.Event)
    max_s: float = float("inf")
    retry_s: float = RETRY_S
    monotonic_s: Callable[[], float] = time.monotonic

    def call(self, work: Callable[[], _T]) -> _T:
        """Do some work again until the database is available. Raises DatabaseUnavailable when the time is over.

        A conflict was repeated already, and what only an operator can mend is reported at once.
        """
        began_s = self.monotonic_s()
        while True:
            try:
                return work()
            except DatabaseUnavailable as error:
                over = self.monotonic_s() - began_s >= self.max_s
                if error.lasts or over or isinstance(error, TransactionConflict):
                    raise
                log.warning("waiting for the database", reason=str(error))
                if self.stopping.wait(self.retry_s):
                    raise
