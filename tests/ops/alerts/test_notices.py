"""The texts of notices: what happened, what to do, since when; no personal data."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from tests.support.alert_situations import HOUR_MS, PLANTED, POLICY, H, Watch, plant
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.operating.alarms import AlarmCode, Level
from wanesync.core.operating.alerts import AlertState, NoticeKind
from wanesync.ops.alerts.notices import name_code, write_digest, write_notice, write_test
from wanesync.ops.pauses import pause_sides
from wanesync.store import Store, Tx

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@on_sqlite
def test_notices_name_no_person_and_link_to_the_page(store: Store, clock: Clock) -> None:
    watch = Watch(clock, [store], replace(POLICY, link="https://admin.example"))
    held = next(planted for planted in PLANTED if planted.code == AlarmCode.CHANGES_HELD)
    plant(watch, held)
    watch.tick()
    ((_, _, notice),) = watch.noticed
    assert "IMPORT" not in notice.body
    assert "1 value of 1 person is held" in notice.body
    assert "What to do: see wanesync hold list" in notice.body
    assert notice.body.endswith("https://admin.example/alerts?code=changes_held")


NOW = 1_800_000_000_000
WHOLE = AlertState("disk_full", "", Level.CRITICAL, NOW, what="the disk is full", way_out="make room")


def test_each_kind_has_its_title_and_says_since_when_in_local_time() -> None:
    policy = replace(POLICY, zone=ZoneInfo("Europe/Berlin"))
    raised = write_notice(NoticeKind.RAISED, WHOLE, policy, NOW)
    assert raised.title == "[critical] The disk is nearly full"
    assert raised.body == "the disk is full\nWhat to do: make room\nSince 2027-01-15 09:00 CET"
    told = replace(WHOLE, told=Level.CRITICAL)
    reminder = write_notice(NoticeKind.REMINDER, told, policy, NOW + 4 * HOUR_MS)
    assert reminder.title == "[still critical] The disk is nearly full"
    assert reminder.body.endswith(", for 4 h")
    changed = write_notice(NoticeKind.CHANGED, replace(told, level=Level.WARN), policy, NOW)
    assert (changed.title, changed.level) == ("[now warn] The disk is nearly full", Level.CRITICAL)
    over = write_notice(NoticeKind.RECOVERED, replace(told, level=Level.OK, subject="x"), policy, NOW)
    assert (over.title, over.level) == ("[recovered] The disk is nearly full: x", Level.CRITICAL)
    assert over.body.startswith("No longer the case: the disk is full\nAt ")


def test_a_code_of_another_release_stands_for_itself() -> None:
    assert name_code("no_longer_known") == "no_longer_known"


def test_a_test_names_who_asked_for_it() -> None:
    notice = write_test(replace(POLICY, link="https://admin.example"), "ada")
    assert (notice.kind, notice.title) == (NoticeKind.TEST, "[test] wanesync")
    assert "Asked for by ada." in notice.body
    assert notice.body.endswith("https://admin.example/alerts")


@on_sqlite
def test_a_digest_counts_and_names_at_most_ten(store: Store, clock: Clock) -> None:
    watch = Watch(clock, [store])

    def pause_many(tx: Tx) -> None:
        for n in range(12):
            tx.pauses.set(f"stripe:{n:02}", "403", False, 0)

    store.run(pause_many)
    pause_sides(store, [H], ADA)
    watch.ticks(20)
    with store.reading() as tx:
        digest = write_digest(tx, POLICY, "2027-01-15")
    assert digest.title == "[digest] wanesync, 2027-01-15: 13 standing"
    lines = digest.body.splitlines()
    assert lines[:2] == ["Alerts of the last 24 h: 0 critical, 13 warnings", "Wrong now: 13"]
    assert "- and 3 more" in lines
    assert lines[-1] == "Jobs waiting: 0; dead letters: 0; people whose sides differ: 0"
