"""Log lines that the database keeps: found by each of their marks, in the order of time, and bounded in number."""

from __future__ import annotations

import pytest

from tests.support.store_fixtures import Clock
from wanesync.store import Store
from wanesync.store.tables.operating.log_lines import NEWEST, LogLine, LogLineFilter
from wanesync.store.tables.retention import DAY_MS, RetentionPolicy
from wanesync.worker.retention import RetentionTask


def a_line(at_ms: int, seq: int, event: str = "job done", level: str = "info", **marks: str) -> LogLine:
    facts = {"logger": "wanesync.worker", "process": "worker 7", "side": "", "record_id": "", "correlation_id": ""}
    return LogLine(at_ms, seq, level, event, **facts | marks, data={"number": seq})


def find(store: Store, limit: int = 100, **wanted: object) -> list[int]:
    with store.reading() as tx:
        found = tx.log_lines.find(LogLineFilter(**wanted), NEWEST, limit)  # type: ignore[arg-type] # a test names the fields it needs
    return [line.seq for line in found]


@pytest.fixture
def lines(store: Store) -> None:
    made = [
        a_line(1_000, 1),
        a_line(1_000, 2, level="debug"),
        a_line(2_000, 3, "side unreachable", "warning", side="stripe", correlation_id="req_1"),
        a_line(2_000, 4, "job failed", "error", record_id="cus_1", correlation_id="req_2"),
        a_line(3_000, 5, "job failed", "critical", record_id="7"),
    ]
    store.run(lambda tx: tx.log_lines.add(made))


@pytest.mark.usefixtures("lines")
def test_lines_are_found_by_each_mark_the_newest_first(store: Store) -> None:
    assert find(store) == [5, 4, 3, 2, 1]
    assert find(store, since_ms=2_000) == [5, 4, 3]
    assert find(store, level="info") == [5, 4, 3, 1]
    assert find(store, level="warning") == [5, 4, 3]
    assert find(store, level="error", event="job failed") == [5, 4]
    assert find(store, event="job done") == [2, 1]
    assert find(store, correlation_id="req_1") == [3]
    assert find(store, record_ids=("cus_1", "7")) == [5, 4]
    assert find(store, record_ids=("cus_1",), level="critical") == []
    assert find(store, event="unknown") == []


@pytest.mark.usefixtures("lines")
def test_pages_follow_one_another_without_a_gap(store: Store) -> None:
    place, seen = NEWEST, []
    while True:
        with store.reading() as tx:
            page = tx.log_lines.find(LogLineFilter(), place, 2)
        if not page:
            break
        seen += [line.seq for line in page]
        place = page[-1].position
    assert seen == [5, 4, 3, 2, 1]
    with store.reading() as tx:
        assert tx.log_lines.find(LogLineFilter(), NEWEST, 1)[0].data == {"number": 5}


def test_they_are_kept_as_long_and_as_many_as_configured(store: Store, clock: Clock) -> None:
    now_ms = store.now_ms()
    store.run(lambda tx: tx.log_lines.add([a_line(now_ms + number, number) for number in range(30)]))
    assert RetentionTask(store, RetentionPolicy(), max_log_lines=30).trim_log_lines() == 0
    assert RetentionTask(store, RetentionPolicy()).trim_log_lines() == 0
    assert RetentionTask(store, RetentionPolicy(), max_log_lines=10).trim_log_lines() == 20
    assert find(store) == [*range(29, 19, -1)]
    clock.advance(5 * DAY_MS)
    task = RetentionTask(store, RetentionPolicy(log_days=4))
    assert task.prune()["log lines"] == 10
    assert find(store) == []
