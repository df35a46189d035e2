"""The address of a Postgres whose password is kept elsewhere, and may be replaced while the process runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from wanesync.config.secret_source import ConnectionSecrets, SecretSource
from wanesync.core.setup.database_address import join_login


@dataclass(slots=True)
class DatabaseAddress:
    """The address for each new connection. ``first``: that of the start. Thread-safe."""

    KEYS: ClassVar = ("database", "database_password")

    source: SecretSource
    first: str = field(repr=False)
    monotonic_s: Callable[[], float] = time.monotonic
    _secrets: ConnectionSecrets = field(init=False)

    def __post_init__(self) -> None:
        """Begin with what the start has read."""
        self._secrets = ConnectionSecrets(self.source, self.KEYS, self.monotonic_s)

    def find(self) -> str:
        """Return the address with the password of the moment. Never raises."""
        self._secrets.renew()
        address, password = map(self._secrets.current, self.KEYS)
        if not address:
            return self.first
        return (join_login(address, password) if password else None) or address
