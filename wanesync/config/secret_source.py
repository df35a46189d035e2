"""The secrets of a running process: what was resolved last, and how to ask for each again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from wanesync.config.references import is_renewable
from wanesync.core.errors import ConfigError

ASK_INTERVAL_S = 60.0
"""A new connection looks for a new password at most so often (our choice): it may ask a secrets manager."""

Values = tuple[str, ...]
"""The plain texts of one secret: several for webhook secrets and encryption keys, the newest first."""


def _keep(_key: str, text: str) -> list[str]:
    return [text]


def _accept(_key: str, _values: Values) -> None:
    """Accept any value."""


@dataclass(slots=True)
class SecretSource:
    """The secrets that one process uses, by key of the configuration (``stripe.api_key``). Thread-safe.

    ``written``: the texts of each in the configuration, references among them. ``look_up``: returns the values that one
    text of a secret stands for. ``check``: checks all values of a secret. Both raise ``ConfigError``. ``listeners``:
    called after each regular refresh, whether something changed or not.
    """

    written: Mapping[str, Values] = field(default_factory=dict)
    values: dict[str, Values] = field(default_factory=dict, repr=False, compare=False)
    look_up: Callable[[str, str], list[str]] = field(default=_keep, repr=False, compare=False)
    check: Callable[[str, Values], None] = field(default=_accept, repr=False, compare=False)
    listeners: list[Callable[[], None]] = field(default_factory=list, repr=False, compare=False)
    _troubles: dict[str, str] = field(default_factory=dict, compare=False)
    _turns: dict[str, threading.Lock] = field(default_factory=dict, repr=False, compare=False)

    def current(self, key: str) -> Values:
        """Return the values of a secret as they were resolved last; none if this process has it not."""
        return self.values.get(key, ())

    def is_renewable(self, key: str) -> bool:
        """Return whether a secret may change while the process runs."""
        return any(map(is_renewable, self.written.get(key, ())))

    def refresh(self, keys: Collection[str] | None = None) -> frozenset[str]:
        """Ask for secrets (None: all) again; return the keys of those that changed.

        One that cannot be resolved, or is not what it should be, keeps its value and is named in ``troubles``. For each
        secret one thread asks at a time: a slow manager holds up no other secret. Never raises.
        """
        asked = [key for key in self.written if self.is_renewable(key) and (keys is None or key in keys)]
        return frozenset(key for key in asked if self._renew(key))

    def _renew(self, key: str) -> bool:
        with self._turns.setdefault(key, threading.Lock()):
            return self._ask(key)

    def _ask(self, key: str) -> bool:
        try:
            found = tuple(value for text in self.written[key] for value in self.look_up(key, text))
            self.check(key, found)
        except ConfigError as error:
            self._troubles[key] = "; ".join(error.problems)
            return False
        self._troubles.pop(key, None)
        before, self.values[key] = self.values.get(key), found
        return found != before

    @property
    def troubles(self) -> Mapping[str, str]:
        """Secret -> one line about why it could not be read again, without its value."""
        return dict(self._troubles)

    def report(self, key: str, trouble: str) -> None:
        """Name a secret that was read and cannot be used, such as the key of another account."""
        self._troubles[key] = trouble


@dataclass(slots=True)
class ConnectionSecrets:
    """Secrets that each new connection needs: read again when one is made, at most once a minute. Thread-safe."""

    source: SecretSource
    keys: Collection[str]
    monotonic_s: Callable[[], float] = time.monotonic
    _asked_s: float = field(init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """The start has just read them."""
        self._asked_s = self.monotonic_s()

    def renew(self) -> None:
        """Read them again if that is due; to be called before a connection is made. Never raises."""
        with self._turn:
            if self.monotonic_s() >= self._asked_s + ASK_INTERVAL_S:
                self._asked_s = self.monotonic_s()
                self.source.refresh(self.keys)

    def current(self, key: str) -> str:
        """Return the first value of a secret, "" without one."""
        return next(iter(self.source.current(key)), "")
