"""What the command line, the pages and the API do about alerts."""

from __future__ import annotations

import pytest

from tests.support.alert_messengers import BOOK, FakeMessenger, notice
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.errors import ConfigError, DeliveryFailed, TooManyTests
from wanesync.core.operating.alerts import AlertPolicy, Message
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.recipients import RecipientBook, parse_recipient
from wanesync.ops.alerts.changes import MAX_TESTS, TESTS_SPAN_MS
from wanesync.ops.alerts.desk import AlertDesk, NoMessenger
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def make(store: Store, book: RecipientBook = BOOK, messenger: FakeMessenger | None = None) -> AlertDesk:
    return AlertDesk(store, AlertPolicy(), lambda: book, messenger or FakeMessenger(), "desk")


@on_sqlite
def test_a_test_goes_to_every_address_or_to_one_place(store: Store) -> None:
    messenger = FakeMessenger()
    desk = make(store, messenger=messenger)
    assert [one.place for one in desk.test(ADA)] == ["warn 1", "critical 1"]
    assert [one.place for one in desk.test(ADA, "critical 1")] == ["critical 1"]
    assert [kind for kind, _ in messenger.sent] == ["slack", "email", "email"]
    with store.reading() as tx:
        rows = tx.audit.find(AuditFilter(), 9)
    assert [(row.operator, row.action) for row in rows] == [(ADA, "alert.test")] * 2


@on_sqlite
def test_without_recipients_or_at_an_unknown_place_it_says_what_to_set(store: Store) -> None:
    with pytest.raises(ConfigError, match="names no recipient"):
        make(store, RecipientBook()).test(ADA)
    with pytest.raises(ConfigError, match="there is no recipient 'warn 9': warn 1, critical 1"):
        make(store).test(ADA, "warn 9")


@on_sqlite
def test_every_rule_is_listed_also_while_all_is_well(store: Store) -> None:
    found = make(store).read()
    assert {rule.worst.label for rule in found.rules} == {"ok"}
    assert found.recipients == [("warn 1", "slack hooks.slack.com"), ("critical 1", "email o…@example.com")]


def test_what_is_not_wired_sends_nothing() -> None:
    with pytest.raises(DeliveryFailed):
        NoMessenger().send(parse_recipient("run:true"), Message("i", 0, notice()))


@on_sqlite
def test_tests_are_few_in_ten_minutes_whoever_sends_them(store: Store, clock: Clock) -> None:
    """Each is a message to people, and an account of a mail or chat service has limits of its own."""
    messenger = FakeMessenger()
    desk = make(store, messenger=messenger)
    for number in range(MAX_TESTS):
        desk.test(Operator(f"operator {number % 3}", Via.API), "warn 1")
    clock.advance(60_000)
    with pytest.raises(TooManyTests) as refused:
        desk.test(ADA, "warn 1")
    assert refused.value.retry_after_s == TESTS_SPAN_MS // 1000 - 60
    assert len(messenger.sent) == MAX_TESTS
    clock.advance(TESTS_SPAN_MS)
    desk.test(ADA, "warn 1")
    assert len(messenger.sent) == MAX_TESTS + 1
