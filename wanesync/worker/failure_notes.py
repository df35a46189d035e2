"""Notes in the database that a batch fails over and over, for ``status`` (docs/correctness.md#bad-rows)."""

from __future__ import annotations

from dataclasses import dataclass, field

from wanesync.core.errors import DatabaseUnavailable
from wanesync.sync.runtime import Runtime


@dataclass(slots=True)
class FailureNotes:
    """The failures of one place of this process; ``place``: what is committed there."""

    runtime: Runtime
    place: str
    _names: set[str] = field(default_factory=set)

    def add(self, reason: str) -> bool:
        """Note one more failure; return whether the database took the note: then it works."""
        name = self.runtime.name
        try:
            self.runtime.store.run(lambda tx: tx.failed_batches.note(self.place, name, reason))
        except DatabaseUnavailable:
            return False
        self._names.add(name)
        return True

    def clear(self) -> None:
        """Forget the failures after a success; without a failure nothing is written."""
        for name in sorted(self._names):
            try:
                self.runtime.store.run(lambda tx, name=name: tx.failed_batches.clear(self.place, name))  # type: ignore[misc] # binds the loop's value
            except DatabaseUnavailable:
                return
            self._names.discard(name)
