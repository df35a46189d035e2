"""Figures from memory into the store."""

from __future__ import annotations

import threading

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.operating.figures import HOUR_MS, MINUTE_MS, Amount, Figure
from wanesync.store import Store
from wanesync.store.figure_counts import MAX_MINUTES, FigureCounts, store_figures, storing_figures

WEBHOOKS = Figure.WEBHOOKS


def _count_of(store: Store, figure: Figure = WEBHOOKS) -> int:
    with store.reading() as tx:
        rows = tx.figures.read(figure, 0, tx.now_ms + MINUTE_MS, MINUTE_MS)
        hours = tx.figures.read(figure, 0, tx.now_ms + MINUTE_MS, HOUR_MS)
        ever = sum((amount.count for (name, _), amount in tx.figures.read_all_time().items() if name is figure), 0)
    counted = sum(row.amount.count for row in rows)
    assert sum(row.amount.count for row in hours) == counted == ever, "the three spans agree"
    return counted


def test_what_two_processes_and_many_threads_count_and_store_at_once_is_all_there(
    store: Store, other_store: Store
) -> None:
    def work(one: Store) -> None:
        for _ in range(5):
            for _ in range(40):
                one.figures.add(WEBHOOKS, "stripe", "accepted")
                one.figures.add(Figure.JOBS_ENDED, "hubspot", "read", "done")
                one.figures.observe(Figure.WEBHOOK_ANSWER, "stripe", ms=7)
            store_figures(one)

    threads = [threading.Thread(target=work, args=(one,)) for one in (store, other_store) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in (store, other_store):
        store_figures(one)
    for figure in (WEBHOOKS, Figure.JOBS_ENDED, Figure.WEBHOOK_ANSWER):
        assert _count_of(store, figure) == 1_200


def test_a_count_belongs_to_the_minute_in_which_it_was_made(store: Store, clock: Clock) -> None:
    start_ms = store.now_ms() // MINUTE_MS * MINUTE_MS
    store.figures.add(WEBHOOKS, "stripe", "accepted")
    clock.advance(MINUTE_MS)
    store.figures.add(WEBHOOKS, "stripe", "accepted", number=2)
    store.figures.add(WEBHOOKS, "hubspot", "clock")
    store_figures(store)
    with store.reading() as tx:
        rows = tx.figures.read(WEBHOOKS, start_ms, store.now_ms() + 1, MINUTE_MS)
    assert [(row.start_ms, row.labels["side"], row.amount) for row in rows] == [
        (start_ms, "stripe", Amount(1)),
        (start_ms + MINUTE_MS, "hubspot", Amount(1)),
        (start_ms + MINUTE_MS, "stripe", Amount(2)),
    ]


def test_what_cannot_be_stored_is_stored_the_next_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.figures.add(WEBHOOKS, "stripe", "accepted")

    def fail(_work: object) -> None:
        raise DatabaseUnavailable("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(store, "run", fail)
        with pytest.raises(DatabaseUnavailable):
            store_figures(store)
    store.figures.add(WEBHOOKS, "stripe", "accepted")
    store_figures(store)
    assert _count_of(store) == 2


def test_a_database_that_stays_away_does_not_fill_the_memory() -> None:
    now = [0]
    counts = FigureCounts(lambda: now[0])
    for _ in range(3 * MAX_MINUTES):
        counts.add(WEBHOOKS, "stripe", "accepted")
        counts.give_back(counts.take())
        now[0] += MINUTE_MS
    taken = counts.take()
    assert len(taken) == MAX_MINUTES
    assert sum(amount.count for amount in taken.values()) == 3 * MAX_MINUTES


def test_a_process_that_never_stores_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wanesync.store.figure_counts.MAX_KEYS", 2 * MAX_MINUTES)
    now = [0]
    counts = FigureCounts(lambda: now[0])
    for _ in range(20 * MAX_MINUTES):
        counts.add(WEBHOOKS, "stripe", "accepted")
        counts.observe(Figure.WEBHOOK_ANSWER, "stripe", ms=7)
        now[0] += MINUTE_MS
    pending = counts.pending()
    assert {amount.count for amount in pending.values()} == {20 * MAX_MINUTES}
    assert len(counts.take()) <= 2 * MAX_MINUTES + 2


def test_a_clean_end_stores_what_was_counted(store: Store) -> None:
    with storing_figures(store, flush_s=3_600):
        store.figures.add(WEBHOOKS, "stripe", "accepted")
    assert _count_of(store) == 1


def test_nothing_counted_means_no_transaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []
    monkeypatch.setattr(store, "run", written.append)
    with storing_figures(store):
        pass
    assert not written, "a read-only role cannot write"


def test_a_time_by_a_clock_that_was_set_back_counts_as_none(store: Store) -> None:
    store.figures.observe(Figure.END_TO_END, "stripe", "write", ms=-5_000)
    amount = store.figures.pending()[Figure.END_TO_END, "side=stripe,kind=write"]
    assert (amount.count, amount.total_ms, amount.buckets[0]) == (1, 0, 1)
