"""What carries decisions out for an operator: made when it is first needed, because it claims the field map."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wanesync.core.errors import WanesyncError
from wanesync.ops.people.links import Linker
from wanesync.ops.people.settle_conflicts import ConflictSettler

if TYPE_CHECKING:
    from wanesync.core.operating.operators import Operator
    from wanesync.sync.runtime import Runtime


def _refuse() -> Runtime:
    raise WanesyncError("this process carries no decisions out: it was started without the wiring for them")


@dataclass(slots=True)
class DecisionDesk:
    """Settles conflicts and links records for the operators of one process.

    ``make_runtime``: called once; it raises ConfigError where other processes work with another field map.
    """

    make_runtime: Callable[[], Runtime] = _refuse
    _made: Runtime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def make_settler(self, operator: Operator) -> ConflictSettler:
        """Return what settles conflicts for an operator."""
        return ConflictSettler(self._find_runtime(), operator)

    def make_linker(self, operator: Operator) -> Linker:
        """Return what links and unlinks records for an operator."""
        return Linker(self._find_runtime(), operator)

    def _find_runtime(self) -> Runtime:
        with self._lock:
            self._made = self._made or self.make_runtime()
            return self._made
