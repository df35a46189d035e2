"""The table of figures: rows that processes share, and what is removed with age."""

from __future__ import annotations

from tests.support.store_fixtures import Clock
from wanesync.core.operating.figures import DAY_MS, HOUR_MS, MINUTE_MS, Amount, Figure, encode_labels
from wanesync.store import Store
from wanesync.store.figure_counts import store_figures
from wanesync.store.tables.retention import RetentionPolicy
from wanesync.worker.retention import RetentionTask

LABELS = encode_labels(Figure.JOBS_ENDED, "stripe", "write", "done")


def test_every_addition_goes_to_its_minute_its_hour_and_all_time(store: Store) -> None:
    start_ms = store.now_ms() // HOUR_MS * HOUR_MS
    for minute in (0, 1, 59, 60):
        key = (start_ms + minute * MINUTE_MS, Figure.JOBS_ENDED, LABELS)
        for _ in range(2):
            store.run(lambda tx, key=key: tx.figures.add({key: Amount(3)}))  # type: ignore[misc] # binds the loop's value
    with store.reading() as tx:
        minutes = tx.figures.read(Figure.JOBS_ENDED, start_ms, start_ms + 2 * HOUR_MS, MINUTE_MS)
        hours = tx.figures.read(Figure.JOBS_ENDED, start_ms, start_ms + 2 * HOUR_MS, HOUR_MS)
        assert tx.figures.read_all_time() == {(Figure.JOBS_ENDED, LABELS): Amount(24)}
        assert tx.figures.sum(Figure.JOBS_ENDED, start_ms, start_ms + HOUR_MS)[0][1] == Amount(18)
    assert [(row.start_ms - start_ms) // MINUTE_MS for row in minutes] == [0, 1, 59, 60]
    assert [(row.start_ms - start_ms, row.amount.count) for row in hours] == [(0, 18), (HOUR_MS, 6)]


def test_minutes_are_kept_8_days_hours_90_and_the_sums_for_ever(store: Store, clock: Clock) -> None:
    def spans() -> list[int]:
        with store.reading() as tx:
            return [row[0] for row in tx._session.execute("SELECT span_ms FROM figures ORDER BY span_ms").fetchall()]

    def prune() -> None:
        RetentionTask(store, RetentionPolicy()).prune()

    store.figures.add(Figure.JOBS_ENDED, "stripe", "write", "done")
    store_figures(store)
    clock.advance(8 * DAY_MS - MINUTE_MS)
    prune()
    assert spans() == [0, MINUTE_MS, HOUR_MS]
    clock.advance(2 * MINUTE_MS)
    prune()
    assert spans() == [0, HOUR_MS]
    clock.advance(83 * DAY_MS)
    prune()
    assert spans() == [0]
