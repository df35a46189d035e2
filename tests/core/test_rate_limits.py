"""What a refusal, a quiet while, a header, a file and an operator make of a limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side
from wanesync.core.rate_limits import (
    BULK,
    DAILY,
    LOWER_AGAIN_MS,
    MAX_WAITING_CALLS,
    MONTHLY_READS,
    PROBE_FAILS_MS,
    PROBE_HIGHER_MS,
    RECOVERY_QUIET_MS,
    SEARCH,
    VENDOR_ALLOWANCES,
    Limit,
    SlotRequest,
    begin_operation_limit,
    cap,
    day_began_ms,
    day_ends_ms,
    file_limit,
    find_excess,
    find_exhausted_quotas,
    find_refused_scope,
    format_value,
    lower,
    name_change,
    parse_value,
    recover,
    room_left,
    set_by_hand,
    share_of,
)

NOW = 1_800_000_000_000
CREATE = "stripe:customers.create"
RATES = st.floats(min_value=0.1, max_value=1000)


def refused(side: Side, scope: str, failure: Failure = Failure.RATE_LIMITED) -> CallError:
    return CallError(side, failure, "rate_limit, status 429", status=429, scope=scope)


@st.composite
def limits(draw: st.DrawFn) -> Limit:
    configured = draw(RATES)
    scope = draw(st.sampled_from(["hubspot", SEARCH, "stripe", BULK, CREATE]))
    ceiling = draw(st.one_of(st.just(0.0), st.floats(configured * 0.05, 2000)))
    effective = min(configured, ceiling or configured) * draw(st.floats(0.05, 1))
    return Limit(
        scope, configured, max(effective, configured * 0.05), ceiling=ceiling,
        lowered_ms=NOW - draw(st.integers(0, 10**7)), raised_ms=NOW - draw(st.integers(0, 10**7)),
    )  # fmt: skip


class TestBlame:
    @pytest.mark.parametrize(
        ("error", "operation", "scope"),
        [
            (refused(Side.HUBSPOT, "TEN_SECONDLY_ROLLING"), "contacts.batch_read", "hubspot"),
            (refused(Side.HUBSPOT, "SECONDLY"), "contacts.batch_read", "hubspot"),
            (refused(Side.HUBSPOT, "SECONDLY"), "contacts.search", SEARCH),
            (refused(Side.HUBSPOT, "DAILY", Failure.DAILY_LIMIT), "contacts.batch_read", ""),
            (refused(Side.STRIPE, "global-rate"), "customers.create", "stripe"),
            (refused(Side.STRIPE, "global-concurrency"), "customers.create", "stripe"),
            (refused(Side.STRIPE, "endpoint-rate"), "customers.create", CREATE),
            (refused(Side.STRIPE, "endpoint-concurrency"), "customers.update", "stripe:customers.update"),
            (refused(Side.STRIPE, "endpoint-rate"), "", "stripe"),
            (refused(Side.STRIPE, "resource-specific"), "customers.update", ""),
            (refused(Side.STRIPE, ""), "customers.update", "stripe"),
            (refused(Side.STRIPE, "", Failure.BUSY), "customers.update", ""),
        ],
    )
    def test_the_scope_a_refusal_names(self, error: CallError, operation: str, scope: str) -> None:
        assert find_refused_scope(error, operation) == scope


class TestLowering:
    def test_refusals_that_come_together_count_once(self) -> None:
        limit = lower(Limit("stripe", 100, 100), NOW, "refused")
        assert (limit.effective, limit.reason, limit.lowered_ms) == (95, "refused", NOW)
        assert lower(limit, NOW + LOWER_AGAIN_MS - 1, "again") == limit
        assert lower(limit, NOW + LOWER_AGAIN_MS, "again").effective == 47.5

    def test_one_that_comes_alone_costs_one_step_and_others_that_follow_halve(self) -> None:
        """One request too many in a second, bunched on its way, once halved the limit for two minutes."""
        limit = recover(lower(Limit("stripe", 100, 100), NOW, "refused"), NOW + RECOVERY_QUIET_MS)
        assert (limit.effective, limit.reason) == (100, "")
        again = lower(limit, NOW + 2 * RECOVERY_QUIET_MS, "refused")
        assert again.effective == 95
        assert lower(again, NOW + 3 * RECOVERY_QUIET_MS - 1, "refused").effective == 47.5

    @given(limit=limits(), steps=st.lists(st.tuples(st.booleans(), st.integers(0, 400_000)), max_size=60))
    def test_always_between_a_twentieth_and_the_top(self, limit: Limit, steps: list[tuple[bool, int]]) -> None:
        now_ms = NOW
        for is_refused, wait_ms in steps:
            now_ms += wait_ms
            after = lower(limit, now_ms, "refused") if is_refused else recover(limit, now_ms)
            assert limit.configured * 0.05 - 1e-9 <= after.effective <= after.configured + 1e-9
            assert after.effective <= max(after.top, after.configured * 0.05) + 1e-9
            assert after.configured == limit.configured
            if is_refused:
                assert after.effective <= limit.effective
            else:
                assert limit.effective <= after.effective <= limit.effective + 0.05 * limit.configured + 1e-9
            limit = after

    @given(limit=limits())
    def test_it_recovers_wholly_and_in_bounded_time(self, limit: Limit) -> None:
        now_ms, level = NOW, lower(limit, NOW, "refused")
        for _ in range(60):
            now_ms += PROBE_HIGHER_MS
            level = recover(level, now_ms)
        expected = limit.configured if limit.is_operation else limit.top
        assert level.effective == pytest.approx(max(expected, level.lowest))
        if level.effective >= level.configured:
            assert level.reason == ""

    def test_it_recovers_slowly(self) -> None:
        limit = Limit("stripe", 100, 50, reason="refused", lowered_ms=NOW)
        assert recover(limit, NOW + RECOVERY_QUIET_MS - 1) == limit
        limit = recover(limit, NOW + RECOVERY_QUIET_MS)
        assert (limit.effective, limit.reason) == (55, "refused")
        assert recover(limit, NOW + 2 * RECOVERY_QUIET_MS - 1) == limit
        assert recover(limit, NOW + 2 * RECOVERY_QUIET_MS).effective == 60


class TestOperation:
    def test_begins_at_the_default_of_stripe_and_stays_there(self) -> None:
        limit = begin_operation_limit(CREATE, Limit("stripe", 100, 96), NOW, "refused")
        assert (limit.configured, limit.effective, limit.top) == (100, 25, 25)
        assert recover(limit, NOW + PROBE_HIGHER_MS - 1) == limit

    def test_begins_lower_where_no_more_went(self) -> None:
        assert begin_operation_limit(CREATE, Limit("stripe", 20, 20), NOW, "refused").effective == 10

    def test_tries_more_after_a_long_quiet_and_takes_it_back(self) -> None:
        limit = begin_operation_limit(CREATE, Limit("stripe", 100, 100), NOW, "refused")
        tried = recover(limit, NOW + PROBE_HIGHER_MS)
        assert (tried.effective, tried.ceiling) == (30, 30)
        back = lower(tried, NOW + PROBE_HIGHER_MS + 2_000, "refused")
        assert (back.effective, back.ceiling) == (25, 25)
        assert recover(back, NOW + PROBE_HIGHER_MS + 2_000 + RECOVERY_QUIET_MS) == back

    def test_finds_the_true_limit_from_below(self) -> None:
        limit, now_ms = begin_operation_limit(CREATE, Limit("stripe", 100, 100), NOW, "refused"), NOW
        refusals = 0
        for _ in range(2_000):
            now_ms += 2_000
            if limit.effective > 60:
                limit, refusals = lower(limit, now_ms, "refused"), refusals + 1
            else:
                limit = recover(limit, now_ms)
        assert 55 <= limit.effective <= 60
        assert refusals <= 12, "about one try in five minutes"

    def test_refused_where_it_had_held_it_falls_and_expects_less(self) -> None:
        limit = begin_operation_limit(CREATE, Limit("stripe", 100, 100), NOW, "refused")
        later = lower(limit, NOW + PROBE_FAILS_MS, "refused")
        assert (later.effective, later.ceiling) == (12.5, 20)


class TestHeaders:
    def test_they_lower_and_never_raise(self) -> None:
        limit = Limit("hubspot", 15, 15)
        free = cap(limit, 100, 10_000)
        assert (free.effective, free.top) == (9, 9)
        assert free.reason == "HubSpot allows this app 100 requests in 10 s"
        assert cap(limit, 190, 10_000).effective == 15
        assert cap(cap(limit, 100, 10_000), 190, 10_000).top == 15

    def test_what_they_allow_is_not_recovered_above(self) -> None:
        limit = cap(Limit("hubspot", 15, 15), 100, 10_000)
        assert recover(limit, NOW + PROBE_HIGHER_MS) == limit

    @given(limit=limits(), requests=st.integers(-1, 10_000), interval_ms=st.integers(-1, 100_000))
    def test_never_above_configured(self, limit: Limit, requests: int, interval_ms: int) -> None:
        after = cap(limit, requests, interval_ms)
        assert after.effective <= limit.effective
        assert after.top <= limit.configured
        assert cap(after, requests, interval_ms) == after


class TestOperatorAndFile:
    def test_the_operator_wins_until_the_file_says_something_else(self) -> None:
        limit = file_limit(None, "hubspot", 15)
        assert limit == Limit("hubspot", 15, 15, 15)
        mine = set_by_hand(limit, "hubspot", 12)
        assert (mine.configured, mine.effective, mine.filed) == (12, 12, 15)
        assert file_limit(mine, "hubspot", 15) == mine
        assert file_limit(mine, "hubspot", 14) == Limit("hubspot", 14, 14, 14)

    def test_a_restart_keeps_what_refusals_taught(self) -> None:
        lowered = lower(Limit("stripe", 100, 100, 100), NOW, "refused")
        assert file_limit(lowered, "stripe", 100) == lowered

    def test_a_limit_that_left_the_file_is_gone_one_made_by_hand_is_not(self) -> None:
        assert file_limit(Limit(BULK, 40, 40, 40), BULK, None) is None
        assert file_limit(Limit(BULK, 40, 40), BULK, None) == Limit(BULK, 40, 40)
        assert file_limit(None, BULK, None) is None

    def test_what_the_platform_said_holds_for_the_operator_too(self) -> None:
        limit = set_by_hand(cap(Limit("hubspot", 15, 15, 15), 100, 10_000), "hubspot", 12)
        assert (limit.configured, limit.effective) == (12, 9)
        assert limit.reason
        learned = set_by_hand(begin_operation_limit(CREATE, Limit("stripe", 100, 100), NOW, "refused"), CREATE, 40)
        assert (learned.effective, learned.ceiling, learned.reason) == (40, 0, "")

    @pytest.mark.parametrize(
        ("scope", "text", "value"),
        [
            ("hubspot", "12/s", 12),
            ("stripe", " 80 ", 80),
            (SEARCH, "2.5/s", 2.5),
            (CREATE, "25/s", 25),
            (DAILY, "0.5", 0.5),
            (DAILY, "30%", 0.3),
            (MONTHLY_READS, "20000", 20_000),
            (MONTHLY_READS, "20000/month", 20_000),
        ],
    )
    def test_values(self, scope: str, text: str, value: float) -> None:
        assert parse_value(scope, text) == value
        assert find_excess(scope, value, None) == ""

    @pytest.mark.parametrize(
        ("scope", "text", "said"),
        [
            ("hubspott", "12/s", "is no limit: one of hubspot, "),
            ("hubspot", "0", "from 0.1/s to 1000/s"),
            ("hubspot", "-3/s", "such as 12/s"),
            ("hubspot", "1e9", "such as 12/s"),
            ("stripe", "50%", "such as 12/s"),
            ("stripe", "nan", "such as 12/s"),
            (DAILY, "1.2", "0.5 or 50%"),
            (DAILY, "0", "0.5 or 50%"),
            (DAILY, "12/s", "0.5 or 50%"),
            (MONTHLY_READS, "0", "such as 10000"),
            (MONTHLY_READS, "2.5", "such as 10000"),
        ],
    )
    def test_what_is_no_value_is_told(self, scope: str, text: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            parse_value(scope, text)

    def test_more_than_the_platform_allows_is_told(self) -> None:
        assert "Stripe" in find_excess("stripe", 101, Limit("stripe", 100, 100))
        assert "9/s" in find_excess("hubspot", 12, cap(Limit("hubspot", 15, 15), 100, 10_000))
        assert "HubSpot" in find_excess("hubspot", 26, None)
        assert find_excess("hubspot", 25, None) == ""
        assert find_excess(CREATE, 26, begin_operation_limit(CREATE, Limit("stripe", 100, 100), NOW, "refused"))

    @given(
        scope=st.sampled_from([s for s in VENDOR_ALLOWANCES if s not in (DAILY, MONTHLY_READS)]),
        value=st.integers(1, 999),
    )
    def test_a_value_is_written_as_it_is_read(self, scope: str, value: int) -> None:
        assert parse_value(scope, format_value(scope, value)) == value


class TestJournal:
    def test_one_line_down_and_one_up_none_in_between(self) -> None:
        level, now_ms = Limit("stripe", 100, 100), NOW
        lines: list[str] = []
        for step in range(40):
            now_ms += RECOVERY_QUIET_MS
            after = lower(level, now_ms, "refused") if step in (1, 2, 3) else recover(level, now_ms)
            lines += filter(None, [name_change(level, after)])
            level = after
        assert lines == ["limit lowered", "limit recovered"]

    def test_a_new_limit_is_a_line(self) -> None:
        assert (
            name_change(None, begin_operation_limit(CREATE, Limit("stripe", 100, 100), NOW, "refused"))
            == "limit lowered"
        )


class TestQuotas:
    DAY = Limit(DAILY, 0.5, 0.5)
    READS = Limit(MONTHLY_READS, 10_000, 10_000)

    def test_nothing_is_shut_without_a_quota(self) -> None:
        assert (
            find_exhausted_quotas({"hubspot": Limit("hubspot", 15, 15)}, {DAILY: 10**9, MONTHLY_READS: 10**9}, 0) == {}
        )

    def test_bulk_work_waits_when_it_used_its_share(self) -> None:
        assert find_exhausted_quotas({DAILY: self.DAY}, {DAILY: 124_999}, None) == {}
        told = find_exhausted_quotas({DAILY: self.DAY}, {DAILY: 125_000}, None)
        assert "50% of 250,000 requests" in told[DAILY]
        granted = replace(self.DAY, ceiling=1_000_000.0)
        assert find_exhausted_quotas({DAILY: granted}, {DAILY: 499_999}, 900_000) == {}

    def test_the_last_tenth_of_the_day_is_for_live_work(self) -> None:
        assert DAILY in find_exhausted_quotas({DAILY: self.DAY}, {}, 24_999)
        assert find_exhausted_quotas({DAILY: self.DAY}, {}, 25_000) == {}

    def test_reads_of_the_month(self) -> None:
        assert find_exhausted_quotas({MONTHLY_READS: self.READS}, {MONTHLY_READS: 9_999}, None) == {}
        assert MONTHLY_READS in find_exhausted_quotas({MONTHLY_READS: self.READS}, {MONTHLY_READS: 10_000}, None)

    def test_a_quota_never_recovers_or_falls(self) -> None:
        assert recover(self.READS, NOW) == lower(self.READS, NOW, "refused") == self.READS

    @pytest.mark.parametrize(
        ("zone", "at", "began", "ends"),
        [
            ("UTC", "2026-11-22T18:00+00:00", "2026-11-22T00:00+00:00", "2026-11-23T00:00+00:00"),
            ("Asia/Tokyo", "2026-11-22T18:00+00:00", "2026-11-22T15:00+00:00", "2026-11-23T15:00+00:00"),
            # The day summer time ends in New York has 25 hours, the day it begins 23.
            ("America/New_York", "2026-11-01T12:00+00:00", "2026-11-01T04:00+00:00", "2026-11-02T05:00+00:00"),
            ("America/New_York", "2026-03-08T12:00+00:00", "2026-03-08T05:00+00:00", "2026-03-09T04:00+00:00"),
        ],
    )
    def test_the_day_is_the_account_s(self, zone: str, at: str, began: str, ends: str) -> None:
        at_ms, began_ms, ends_ms = (int(datetime.fromisoformat(text).timestamp() * 1000) for text in (at, began, ends))
        place = UTC if zone == "UTC" else ZoneInfo(zone)
        assert (day_began_ms(at_ms, place), day_ends_ms(at_ms, place)) == (began_ms, ends_ms)


STRIPE_LIMITS = {"stripe": Limit("stripe", 100, 100), CREATE: Limit(CREATE, 100, 25), BULK: Limit(BULK, 10, 10)}


class TestRoom:
    def test_without_a_narrower_limit_everything_counts(self) -> None:
        assert room_left(30, [()] * 12, STRIPE_LIMITS, Side.STRIPE) == 18
        assert room_left(30, [()] * 40, STRIPE_LIMITS, Side.STRIPE) == 0
        assert room_left(30, [(CREATE,)] * 12, {}, Side.STRIPE) == 18

    def test_what_is_held_back_counts_for_its_share_only(self) -> None:
        assert room_left(30, [(CREATE,)] * 30, STRIPE_LIMITS, Side.STRIPE) == 30 - 7
        assert room_left(30, [(CREATE, BULK)] * 30, STRIPE_LIMITS, Side.STRIPE) == 30 - 3
        assert room_left(30, [(CREATE,)] * 30 + [()] * 10, STRIPE_LIMITS, Side.STRIPE) == 30 - 17

    def test_but_not_without_end(self) -> None:
        assert room_left(30, [(CREATE,)] * (MAX_WAITING_CALLS - 5), STRIPE_LIMITS, Side.STRIPE) == 5
        assert room_left(30, [(CREATE,)] * (MAX_WAITING_CALLS + 5), STRIPE_LIMITS, Side.STRIPE) == 0


def test_the_narrower_scopes_of_a_request() -> None:
    assert SlotRequest("customers.create").scopes(Side.STRIPE) == (CREATE,)
    assert SlotRequest("customers.list", bulk=True).scopes(Side.STRIPE) == ("stripe:customers.list", BULK)
    assert SlotRequest("contacts.search").scopes(Side.HUBSPOT) == (SEARCH,)
    assert SlotRequest("contacts.list", bulk=True).scopes(Side.HUBSPOT) == ()
    assert SlotRequest().scopes(Side.STRIPE) == ()


def test_a_scope_without_a_limit_may_take_every_waiting_call() -> None:
    limits = {str(Side.STRIPE): Limit(str(Side.STRIPE), 100.0, 100.0)}
    assert share_of(BULK, 10, limits, Side.STRIPE) == MAX_WAITING_CALLS
    assert share_of(BULK, 10, limits | {BULK: Limit(BULK, 20.0, 20.0)}, Side.STRIPE) == 2


@pytest.mark.parametrize(("scope", "value", "text"), [(DAILY, 0.5, "50%"), (MONTHLY_READS, 10_000, "10,000")])
def test_a_quota_is_written_in_its_own_unit(scope: str, value: float, text: str) -> None:
    assert format_value(scope, value) == text
    assert find_excess(scope, value, None) == ""


def test_a_day_whose_first_hour_comes_twice_begins_once() -> None:
    place = ZoneInfo("America/Havana")
    began_ms = int(datetime(2026, 11, 1, 4, tzinfo=UTC).timestamp() * 1000)
    for hour in range(25):
        at_ms = began_ms + hour * 3_600_000
        assert (day_began_ms(at_ms, place), day_ends_ms(at_ms, place)) == (began_ms, began_ms + 25 * 3_600_000)
