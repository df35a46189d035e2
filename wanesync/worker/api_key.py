"""The API key of one side in a process that runs: a new one is used once the side has confirmed its account.

A key that the side refuses (401), or that belongs to another account, never takes the place of one that works
(docs/secrets.md#rotation).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from wanesync.core.errors import CallError, ConfigError, Failure, WrongAccount

if TYPE_CHECKING:
    from wanesync.config.secret_source import SecretSource
    from wanesync.core.model import Side

ASK_INTERVAL_S = 5.0
"""Shortest time between two looks for another key because the side refuses this one (our choice)."""
REFUSALS = (Failure.UNAUTHORISED, Failure.FORBIDDEN)

log = structlog.get_logger()


@dataclass(slots=True)
class RenewedKey:
    """The key of a side (``core.ports.ApiKey``). Thread-safe.

    ``name``: its key in the configuration. ``check``: makes one request with a key and raises ``WrongAccount`` or
    ``CallError`` unless it may be used. ``replaced``: called after another key took its place.
    """

    side: Side
    name: str
    source: SecretSource
    check: Callable[[str], None]
    replaced: Callable[[], None] = lambda: None
    monotonic_s: Callable[[], float] = time.monotonic
    _value: str = field(init=False, repr=False)
    _asked_s: float = float("-inf")
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Begin with the key of the start."""
        (self._value,) = self.source.current(self.name)

    def current(self) -> str:
        """Return the key to be used now."""
        return self._value

    def renew(self, refused: str) -> bool:
        """Return whether there is another key than the one that the side refused; looks for one if not. Never raises.

        Threads whose calls were refused at the same time wait for the first one.
        """
        with self._turn:
            if self._value != refused:
                return True
            if not self.source.is_renewable(self.name) or self.monotonic_s() < self._asked_s + ASK_INTERVAL_S:
                return False
            self._asked_s = self.monotonic_s()
            self.source.refresh([self.name])
            return self._adopt()

    def adopt(self) -> None:
        """Use what the source has now, if that is another key that may be used. Never raises."""
        with self._turn:
            self._adopt()

    def _adopt(self) -> bool:
        (found,) = self.source.current(self.name) or (self._value,)
        if found == self._value:
            return False
        try:
            self.check(found)
        except (CallError, WrongAccount, ConfigError) as error:
            if not isinstance(error, CallError) or error.failure in REFUSALS:
                reason = error.reason if isinstance(error, CallError) else str(error)
                text = f"the new value is not used, {self.side} or this database does not accept it: {reason}"
                self.source.report(self.name, text)
            log.warning("new key not used", side=self.side, reason=type(error).__name__)
            return False
        except Exception as error:  # noqa: BLE001 - whatever fails, the call that was refused has its own error
            log.warning("new key not checked", side=self.side, error=type(error).__name__)
            return False
        self._value = found
        log.info("key replaced", side=self.side)
        self.replaced()
        return True
