"""What every process does about alerts: in turn, in threads, and it shows that it lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from tests.support.alert_messengers import BOOK, FakeMessenger, deliverer
from tests.support.alert_situations import POLICY, H, Watch
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.errors import DatabaseUnavailable, DeliveryFailed
from wanesync.core.operating.alarms import Alarm, AlarmCode
from wanesync.ops.alerts import task as tasks
from wanesync.ops.alerts.task import HEARTBEAT_MS, REPORT_MS, AlertTask
from wanesync.ops.pauses import pause_sides
from wanesync.store import Store

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
CERTIFICATE = Alarm(AlarmCode.CERTIFICATE_ENDS, "door.pem ends", "renew it", "door.pem")


@pytest.fixture
def watch(store: Store, clock: Clock) -> Watch:
    return Watch(clock, [store], POLICY, BOOK)


def make(
    watch: Watch,
    messenger: FakeMessenger,
    find_local: Callable[[], Sequence[Alarm]] = lambda: (),
    call: Callable[[], None] | None = None,
) -> AlertTask:
    sends = deliverer(watch.store, messenger)
    return AlertTask(watch.store, watch.evaluators[0], sends, threading.Event(), find_local, call)


def test_both_threads_notice_and_deliver(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "EVALUATE_S", 0.01)
    messenger = FakeMessenger()
    task = make(watch, messenger)
    pause_sides(watch.store, [H], ADA)
    task.start()
    arrived = threading.Event()
    for _ in range(500):
        if messenger.sent or arrived.wait(0.02):
            break
    task.stop()
    assert messenger.sent == [("slack", "[warn] A side is paused: hubspot")]


def test_what_one_process_sees_alone_is_reported_until_it_is_mended(watch: Watch, clock: Clock) -> None:
    found = [CERTIFICATE]
    task = make(watch, FakeMessenger(), lambda: list(found))
    done = task.evaluate_once()
    assert done is not None
    assert [notice.code for notice in done.notices] == ["certificate_ends"]
    found.clear()
    clock.advance(REPORT_MS)
    watch.beat()
    task.evaluate_once()
    with watch.store.reading() as tx:
        assert tx.alerts.reported() == []


def test_heartbeat_url_is_called_once_a_minute_while_nothing_critical_stands(watch: Watch, clock: Clock) -> None:
    calls: list[int] = []
    task = make(watch, FakeMessenger(), call=lambda: calls.append(clock.ms))
    other = make(watch, FakeMessenger(), call=lambda: calls.append(clock.ms))

    def pass_time(rounds: int) -> None:
        for _ in range(rounds):
            watch.beat()
            task.evaluate_once()
            task.show_life()
            other.show_life()
            clock.advance(10_000)

    pass_time(13)
    assert [b - a for a, b in pairwise(calls)] == [HEARTBEAT_MS, HEARTBEAT_MS]
    watch.lanes = "stripe"
    pass_time(13)
    assert len(calls) <= 4, "no worker runs, which is critical after half a minute"


def test_without_an_evaluation_no_process_shows_life(watch: Watch, clock: Clock) -> None:
    calls: list[int] = []
    task = make(watch, FakeMessenger(), call=lambda: calls.append(1))
    task.show_life()
    task.evaluate_once()
    clock.advance(HEARTBEAT_MS)
    task.show_life()
    assert calls == []


def test_a_failed_call_is_shown_and_another_process_calls(watch: Watch, clock: Clock) -> None:
    calls: list[int] = []

    def fail() -> None:
        raise DeliveryFailed("no connection")

    task = make(watch, FakeMessenger(), call=fail)
    task.evaluate_once()
    task.show_life()
    assert watch.store.read(lambda tx: tx.alerts.claim()).heartbeat_error == "no connection"
    make(watch, FakeMessenger(), call=lambda: calls.append(1)).show_life()
    task.show_life()
    assert calls == [1]
    assert watch.store.read(lambda tx: tx.alerts.claim()).heartbeat_error == ""


class EndAfter(threading.Event):
    """Stops after some rounds."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds

    def wait(self, timeout: float | None = None) -> bool:
        self.rounds -= 1
        return self.rounds < 0


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), ZeroDivisionError()])
def test_a_failed_round_does_not_end_the_later_ones(
    watch: Watch, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "EVALUATE_S", 0.0)
    failures = [error]

    def find_local() -> Sequence[Alarm]:
        if failures:
            raise failures.pop()
        return ()

    task = make(watch, FakeMessenger(), find_local)
    task.stopping = EndAfter(3)
    task.evaluate()
    with watch.store.reading() as tx:
        assert tx.alerts.claim().evaluated_ms > 0
        assert tx.alerts.claim().until_ms == 0, "given back"
