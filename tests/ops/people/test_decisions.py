"""What carries decisions out is made once, when it is first needed."""

from __future__ import annotations

import pytest

from tests.support.reconcile_harness import make_runtime
from wanesync.core.errors import WanesyncError
from wanesync.core.operating.operators import SYSTEM
from wanesync.ops.people.decisions import DecisionDesk
from wanesync.store import Store
from wanesync.sync.runtime import Runtime


def test_the_runtime_is_made_once(store: Store) -> None:
    made: list[Runtime] = []

    def make() -> Runtime:
        made.append(make_runtime(store))
        return made[-1]

    desk = DecisionDesk(make)
    assert not made
    assert desk.make_settler(SYSTEM).runtime is desk.make_linker(SYSTEM).runtime
    assert len(made) == 1


def test_without_wiring_it_says_so() -> None:
    with pytest.raises(WanesyncError, match="carries no decisions out"):
        DecisionDesk().make_linker(SYSTEM)
