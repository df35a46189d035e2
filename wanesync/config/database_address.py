"""The address of a Postgres whose password is kept elsewhere, and may be replaced while the process runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from wanesync.config.secret_source import SecretSource
from wanesync.core.setup.database_address import join_login

ASK_INTERVAL_S = 60.0
"""A new connection looks for a new password at most so often (our choice): it may ask a secrets manager."""


@dataclass(slots=True)
class DatabaseAddress:
    """The address for each new connection. ``first``: that of the start. Thread-safe."""

    KEYS: ClassVar = ("database", "database_password")

    source: SecretSource
    first: str = field(repr=False)
    monotonic_s: Callable[[], float] = time.monotonic
    _asked_s: float = field(init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """The start has just read it."""
        self._asked_s = self.monotonic_s()

    def find(self) -> str:
        """Return the address with the password of the moment. Never raises."""
        with self._turn:
            if self.monotonic_s() >= self._asked_s + ASK_INTERVAL_S:
                self._asked_s = self.monotonic_s()
                self.source.refresh(self.KEYS)
        address = next(iter(self.source.current("database")), "")
        password = next(iter(self.source.current("database_password")), "")
        if not address:
            return self.first
        return (join_login(address, password) if password else None) or address
