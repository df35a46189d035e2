"""Silences and their end, as operators do them; the audit log names who."""

from __future__ import annotations

import pytest

from tests.support.alert_situations import HOUR_MS, H, S, Watch
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.errors import ConfigError, NotFound
from wanesync.ops.alerts.changes import SilenceRequest, end_silence, silence
from wanesync.ops.pauses import pause_sides, resume_sides
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def watch(store: Store, clock: Clock) -> Watch:
    return Watch(clock, [store])


@on_sqlite
def test_a_silence_ends_by_itself_or_by_hand_and_what_stands_is_told_then(watch: Watch, clock: Clock) -> None:
    silence(watch.store, SilenceRequest("side_paused", "", 120_000, "moving house"), ADA)
    pause_sides(watch.store, [H, S], ADA)
    watch.ticks(60)
    assert watch.noticed == []
    watch.ticks(70)
    assert watch.kinds() == [("raised", "side_paused")] * 2
    lasting = silence(watch.store, SilenceRequest("", "", HOUR_MS), ADA)
    resume_sides(watch.store, [H, S], ADA)
    watch.ticks(120)
    assert len(watch.noticed) == 2
    end_silence(watch.store, lasting, ADA)
    watch.tick()
    assert watch.kinds()[2:] == [("recovered", "side_paused")] * 2


@on_sqlite
@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (SilenceRequest("nonsense", "", HOUR_MS), "there is no alarm nonsense"),
        (SilenceRequest("", "", 59_000), "from 1 minute to 30 days"),
        (SilenceRequest("", "", 31 * 24 * HOUR_MS), "from 1 minute to 30 days"),
        (SilenceRequest("", "", HOUR_MS, "x" * 201), "at most 200 characters"),
        (SilenceRequest("", "x" * 201, HOUR_MS), "subject has at most 200 characters"),
    ],
)
def test_an_absurd_silence_is_refused(store: Store, wanted: SilenceRequest, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        silence(store, wanted, ADA)
    with store.reading() as tx:
        assert tx.alerts.silences() == []


@on_sqlite
def test_a_reason_is_kept_on_one_line_without_addresses_and_controls(store: Store) -> None:
    reason = "asked by jane@leak.example\r\n\x1b[31mred\u202e"
    silence(store, SilenceRequest("disk_full", "", HOUR_MS, reason), ADA)
    with store.reading() as tx:
        kept = [str(tx.alerts.silences()[0].reason), str(tx.audit.find(AuditFilter(), 1)[0].after)]
    for text in kept:
        assert "jane@leak" not in text
        assert not {"\r", "\n", "\x1b", "\u202e"} & set(text)
        assert "asked by" in text


@on_sqlite
def test_the_audit_log_names_who_silenced_what_and_who_ended_it(store: Store) -> None:
    made = silence(store, SilenceRequest("disk_full", "", HOUR_MS, "it is being enlarged"), ADA)
    end_silence(store, made, ADA)
    with pytest.raises(NotFound, match="or it has ended"):
        end_silence(store, made, ADA)
    with store.reading() as tx:
        rows = tx.audit.find(AuditFilter(), 9)
    assert [(row.operator, row.action, row.subject) for row in rows] == [
        (ADA, "alert.end_silence", made),
        (ADA, "alert.silence", made),
    ]
