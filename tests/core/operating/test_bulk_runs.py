"""How far a bulk run is."""

from __future__ import annotations

from dataclasses import replace

from wanesync.core.operating.bulk_runs import BulkAction, BulkRun, BulkState
from wanesync.core.operating.operators import SYSTEM
from wanesync.core.operating.queue_filter import JobSelection

RUN = BulkRun(
    "r", BulkAction.RETRY, BulkState.RUNNING, JobSelection(), SYSTEM, 200, 120, 3, 9, 0, "", "w", 0, 1, 0, ""
)  # fmt: skip


def test_the_share_is_whole_only_at_the_end() -> None:
    assert (RUN.handled, RUN.percent, RUN.gone) == (123, 61, 0)
    assert replace(RUN, changed=400).percent == 99
    done = replace(RUN, state=BulkState.DONE)
    assert (done.percent, done.gone) == (100, 77)
    assert replace(RUN, total=0).percent == 100
