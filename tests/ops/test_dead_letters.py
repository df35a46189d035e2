"""Dead letters are chosen, counted and tried again."""

from __future__ import annotations

import pytest

from tests.support.lanes import bury
from wanesync.core.errors import NotFound
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.ops.dead_letters import CHUNK_JOBS, choose_dead_letters, count_classes, retry_dead_letters
from wanesync.store import Store
from wanesync.store.tables.jobs import JobFilter

S = Side.STRIPE


def fill(store: Store, count: int, dead_class: DeadClass = DeadClass.REFUSED) -> list[str]:
    return [bury(store, JobRequest(S, JobKind.READ, f"{dead_class}_{n}"), dead_class).id for n in range(count)]


def test_letters_are_chosen_by_id_or_by_filter(store: Store) -> None:
    refused, gone = fill(store, 2), fill(store, 1, DeadClass.GONE)
    assert [letter.job.id for letter in choose_dead_letters(store, refused[:1], JobFilter())] == refused[:1]
    found = choose_dead_letters(store, [], JobFilter(dead_class=DeadClass.GONE))
    assert [letter.job.id for letter in found] == gone
    assert count_classes(choose_dead_letters(store, [], JobFilter())) == {"gone": 1, "refused": 2}


def test_an_id_of_no_letter_chooses_none_at_all(store: Store) -> None:
    (known,) = fill(store, 1)
    with pytest.raises(NotFound, match="no dead job has the id nonsense"):
        choose_dead_letters(store, [known, "nonsense"], JobFilter())


def test_letters_are_tried_again_in_chunks_and_one_journal_entry(store: Store) -> None:
    with store.transaction() as tx:
        tx.jobs.put_many([JobRequest(S, JobKind.READ, f"cus_{n}") for n in range(CHUNK_JOBS + 1)])
        for job in tx.jobs.claim(S, None, CHUNK_JOBS + 1, "w1"):
            tx.jobs.mark_dead(job, DeadClass.REFUSED, "it said no")
    chosen = choose_dead_letters(store, [], JobFilter())
    steps: list[int] = []
    assert retry_dead_letters(store, chosen, steps.append) == CHUNK_JOBS + 1
    assert steps == [CHUNK_JOBS, 1]
    assert retry_dead_letters(store, chosen) == 0, "they are no dead letters any more"
    with store.reading() as tx:
        assert tx.jobs.dead() == []
        (entry,) = [row for row in tx.journal.latest(10) if row.kind == "retried"]
    assert entry.data == {"jobs": CHUNK_JOBS + 1, "classes": {"refused": CHUNK_JOBS + 1}}
