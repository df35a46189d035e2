"""A note has no id of ours: one whose answer is lost may still arrive, and then the notes must not be read too soon."""

from __future__ import annotations

import pytest

from tests.simulation.test_regressions import stage
from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.core.purchases import Purchase
from wanesync.purchases.sender import MAX_LATENESS_MS, PurchaseSender


@pytest.mark.parametrize(("operation", "waits"), [("notes.create", True), ("events.send", False)])
def test_one_note_of_a_batch_without_an_answer_is_looked_for_late(operation: str, *, waits: bool) -> None:
    with stage() as play:
        worker = play.world.processes[0].worker
        ledger = PurchaseSender(worker.runtime)
        with play.world.store.transaction() as tx:
            tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.PURCHASE, "pi_1", Priority.PURCHASE))
            (job,) = tx.jobs.claim(Side.HUBSPOT, [JobKind.PURCHASE], 1, worker.runtime.name)
            row = Purchase("pi_1", "ch_1", "cus_1", "", "", 500, "eur", tx.now_ms)
            lost = CallError(Side.HUBSPOT, Failure.NO_ANSWER, "the connection broke")
            ledger._settle(tx, job, row, operation, lost)
            due_in_ms = (tx.jobs.next_due_ms(Side.HUBSPOT) or 0) - tx.now_ms
            assert (due_in_ms >= MAX_LATENESS_MS) is waits
