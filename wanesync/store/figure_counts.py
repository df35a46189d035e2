"""Figures of one process on their way into the store: counted in memory, stored every few seconds by one thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

import structlog

from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.operating.figures import BUCKETS, MINUTE_MS, Amount, Figure, encode_labels, find_bucket

if TYPE_CHECKING:
    from wanesync.core.jobs import JobReport
    from wanesync.store.database import Store

FLUSH_S = 10.0
"""How often a process stores what it counted (our choice): a process that is killed loses that much."""
MAX_MINUTES = 60
"""Minutes that are kept apart while the database is unavailable; what is older counts to the oldest of them."""
MAX_ENTRIES = 4_096
"""So many entries at most stand in line: the thread that brings the next one sums them up (our choice)."""
MAX_KEYS = 20_000
"""From so many counts of so many minutes on the old ones are merged also where nothing stores them: 60 busy minutes."""
MAX_BATCH_ROWS = 500
"""Figures that one transaction stores; its rows are locked until its commit."""

FigureKey = tuple[int, Figure, str]
"""Start of a minute in ms, figure, labels (``encode_labels``)."""
FigureBatch = Mapping[FigureKey, Amount]
_Entry = tuple[int, Figure, tuple[str, ...], int, Sequence[float]]
"""Time in ms, figure, values of its labels, a number to add, times in ms to count."""

log = structlog.get_logger()


class FigureCounts:
    """What this process counted since it was last taken, by minute. Every method may be called in any thread.

    Counting is cheap where it happens, among other work: an entry is put in line, without a lock and without a hash.
    The entries are summed up by the thread that takes them, all at once.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._entries: deque[_Entry] = deque()
        # [count, sum in ms, buckets …]; a figure without times has the count alone.
        self._pending: dict[FigureKey, list[int]] = {}
        self._guard = threading.Lock()

    def add(self, figure: Figure, *labels: str, number: int = 1) -> None:
        """Count; ``labels``: values in the order of ``core.operating.figures.LABELS``."""
        self._put((self._now_ms(), figure, labels, number, ()))

    def observe(self, figure: Figure, *labels: str, ms: float) -> None:
        """Count one time of a histogram; one below 0, by a clock that was set back, counts as 0."""
        self._put((self._now_ms(), figure, labels, 0, (ms,)))

    def observe_all(self, figure: Figure, *labels: str, times_ms: Sequence[float]) -> None:
        """Count times of a histogram (``observe``)."""
        if times_ms:
            self._put((self._now_ms(), figure, labels, 0, times_ms))

    def put(self, figure: Figure, *labels: str, amount: Amount) -> None:
        """Count what another process counted, in the present minute."""
        now_ms = self._now_ms()
        with self._guard:
            self._sum_up()
            self._merge((now_ms - now_ms % MINUTE_MS, figure, encode_labels(figure, *labels)), amount)

    def count_endings(self, reports: Iterable[JobReport]) -> None:
        """Count how jobs ended; those of one commit are mostly of one kind."""
        for (lane, kind, ending), group in groupby(reports, key=_name_ending):
            self.add(Figure.JOBS_ENDED, lane, kind, ending, number=sum(1 for _ in group))

    def _put(self, entry: _Entry) -> None:
        self._entries.append(entry)
        if len(self._entries) >= MAX_ENTRIES:
            with self._guard:
                self._sum_up()

    def _sum_up(self) -> None:
        """Add what stands in line to what is pending; under the guard."""
        while self._entries:
            now_ms, figure, labels, number, times_ms = self._entries.popleft()
            key = now_ms - now_ms % MINUTE_MS, figure, encode_labels(figure, *labels)
            found = self._pending.get(key)
            if found is None:
                found = self._begin(key, BUCKETS + 2 if times_ms else 1)
            found[0] += number
            for ms in times_ms:
                found[0] += 1
                found[1] += round(ms) if ms > 0 else 0
                found[find_bucket(ms) + 2] += 1

    def take(self) -> dict[FigureKey, Amount]:
        """Return what was counted since the last call."""
        with self._guard:
            self._sum_up()
            taken, self._pending = self._pending, {}
        return {key: _as_amount(numbers) for key, numbers in taken.items()}

    def give_back(self, batch: FigureBatch) -> None:
        """Take back what could not be stored."""
        with self._guard:
            for key, amount in batch.items():
                self._merge(key, amount)
            self._merge_old()

    def pending(self) -> dict[tuple[Figure, str], Amount]:
        """Return what was counted and not taken yet, without the minutes."""
        sums: dict[tuple[Figure, str], Amount] = {}
        with self._guard:
            self._sum_up()
            for (_, figure, labels), numbers in self._pending.items():
                sums[figure, labels] = sums.get((figure, labels), Amount()) + _as_amount(numbers)
        return sums

    def _begin(self, key: FigureKey, numbers: int) -> list[int]:
        if len(self._pending) >= MAX_KEYS:
            # Nothing takes them.
            self._merge_old()
        self._pending[key] = begun = [0] * numbers
        return begun

    def _merge_old(self) -> None:
        """Count what is older than the newest minutes that are kept apart to the oldest of these."""
        minutes = sorted({minute_ms for minute_ms, _, _ in self._pending})
        if len(minutes) > MAX_MINUTES:
            oldest_ms = minutes[-MAX_MINUTES]
            for key in [key for key in self._pending if key[0] < oldest_ms]:
                self._merge((oldest_ms, *key[1:]), _as_amount(self._pending.pop(key)))

    def _merge(self, key: FigureKey, amount: Amount) -> None:
        numbers = [amount.count, amount.total_ms, *amount.buckets] if amount.buckets else [amount.count]
        known = self._pending.get(key)
        self._pending[key] = [a + b for a, b in zip(known, numbers, strict=True)] if known else numbers


def _name_ending(report: JobReport) -> tuple[str, str, str]:
    return report.lane, report.kind, report.ending


def _as_amount(numbers: list[int]) -> Amount:
    return Amount(numbers[0], numbers[1], tuple(numbers[2:])) if len(numbers) > 1 else Amount(numbers[0])


def store_figures(store: Store) -> None:
    """Store what this process counted. Raises ``DatabaseUnavailable``; then it is kept for the next time.

    A commit whose acknowledgement is lost is counted twice: figures are for people, and a lost count would be worse.
    """
    left = sorted(store.figures.take().items())
    try:
        while left:
            batch = dict(left[:MAX_BATCH_ROWS])
            store.run(lambda tx, batch=batch: tx.figures.add(batch))  # type: ignore[misc] # binds the loop's value
            left = left[MAX_BATCH_ROWS:]
    except BaseException:
        store.figures.give_back(dict(left))
        raise


@contextmanager
def storing_figures(store: Store, flush_s: float = FLUSH_S) -> Iterator[None]:
    """While the context lasts, store what this process counts every ``flush_s``, and the rest at its end."""
    ending = threading.Event()

    def store_regularly() -> None:
        while not ending.wait(flush_s):
            try_to_store_figures(store)

    thread = threading.Thread(target=store_regularly, name="figures", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        try_to_store_figures(store)


def try_to_store_figures(store: Store) -> None:
    """Store what this process counted; what cannot be stored now is kept. Never raises."""
    try:
        store_figures(store)
    except DatabaseUnavailable as error:
        log.warning("figures not stored", reason=str(error))
    except Exception as error:  # noqa: BLE001 - figures never end a process that works
        log.error("figures not stored", error=type(error).__name__)
