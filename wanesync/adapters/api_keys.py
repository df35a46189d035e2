"""The key that a side is called by: it may be replaced while the process runs, also because the side refuses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from wanesync.core.errors import CallError, Failure
from wanesync.core.ports import ApiKey

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FixedKey:
    """A key that never changes."""

    value: str = field(repr=False)

    def current(self) -> str:
        """Return the key."""
        return self.value

    def renew(self, refused: str) -> bool:  # noqa: ARG002 - as every key
        """Return that there is no other."""
        return False


def call_with_newest(key: ApiKey, call: Callable[[], _T]) -> _T:
    """Make a request; once more if the side refuses the key (401) and there is another one now.

    A request with a refused key has no effect, so that it can be repeated whatever it does. Raises ``CallError``.
    """
    used = key.current()
    try:
        return call()
    except CallError as error:
        if error.failure is not Failure.UNAUTHORISED or not key.renew(used):
            raise
    return call()
