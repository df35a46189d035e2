"""Keys, whose they are, modes, rights, quotas, versions and clocks: the cases that the stand-ins do not play."""

from __future__ import annotations

import pytest

from tests.support.setup_ports import FakeHubSpot, FakeStripe
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side
from wanesync.core.ports import Account, Limits
from wanesync.core.purchases import Sink
from wanesync.core.setup.permissions import DEFINE_PROPERTIES, READ_CONTACTS, WRITE_CONTACTS
from wanesync.core.setup.setup_facts import DailyUsage
from wanesync.ops.checks.accounts import (
    KnownAccounts,
    check_account,
    check_clocks,
    check_modes,
    check_permissions,
    check_scopes,
    check_usage,
    check_version,
    describe_failure,
)
from wanesync.ops.checks.findings import State

H, S = Side.HUBSPOT, Side.STRIPE
NOTE = Sink.NOTE


@pytest.mark.parametrize(
    ("failure", "state", "text"),
    [
        (Failure.UNAUTHORISED, State.FAIL, "refuses the key"),
        (Failure.DAILY_LIMIT, State.FAIL, "day are used up"),
        (Failure.RATE_LIMITED, State.WARN, "429"),
        (Failure.UNREACHED, State.FAIL, "cannot be reached"),
        (Failure.UNAVAILABLE, State.FAIL, "does not answer as it should"),
    ],
)
def test_a_failed_call_says_what_to_do(failure: Failure, state: State, text: str) -> None:
    account, (finding,) = check_account(H, FakeHubSpot(trouble={"account": failure}), KnownAccounts())
    assert account is None
    assert finding.state is state
    assert text in finding.text
    assert finding.fix


def test_a_missing_right_is_named_where_the_answer_names_it() -> None:
    refused = CallError(S, Failure.FORBIDDEN, "status 403", scope="rak_event_read")
    finding = describe_failure("stripe permissions", S, refused)
    assert finding.text == "Stripe's key lacks rak_event_read"
    assert "wanesync init --permissions" in finding.fix


def test_an_account_is_confirmed_by_what_is_known() -> None:
    assert check_account(H, FakeHubSpot(), KnownAccounts(portal="17"))[0] == Account("17", "test", clock_ms=1_000)
    assert check_account(S, FakeStripe(), KnownAccounts(account="acct_1", mode="test"))[0]
    assert check_account(S, FakeStripe(), KnownAccounts(mode="live"))[0] is None


def test_modes_and_clocks() -> None:
    live, test = Account("1", "live", clock_ms=100_000), Account("2", "test")
    assert check_modes(live, live).state is State.OK
    assert check_modes(live, test).state is State.WARN
    (ahead,) = check_clocks({H: live, S: test}, 400_000)
    assert ahead.text == "the clock of the database is 5 min ahead of HubSpot's"
    (well,) = check_clocks({H: live, S: test}, 101_000)
    assert well.state is State.OK


def test_the_scope_for_our_properties_is_needed_until_they_exist() -> None:
    port = FakeHubSpot(scopes=frozenset({READ_CONTACTS, WRITE_CONTACTS}))
    (well,) = check_scopes(port, NOTE, prepared=True)
    assert well.state is State.OK
    (missing,) = check_scopes(port, NOTE, prepared=False)
    assert missing.text == f"{DEFINE_PROPERTIES} is missing, wanesync init --hubspot cannot create our properties"


def test_where_scopes_are_not_listed_contacts_are_read() -> None:
    trouble = {"read_token": Failure.NOT_FOUND}
    (well,) = check_scopes(FakeHubSpot(trouble=trouble), NOTE, prepared=True)
    assert well.state is State.OK
    (missing,) = check_scopes(FakeHubSpot(trouble=trouble, readable=False), NOTE, prepared=True)
    assert READ_CONTACTS in missing.text
    both = trouble | {"can_read_contacts": Failure.UNREACHED}
    (lost,) = check_scopes(FakeHubSpot(trouble=both), NOTE, prepared=True)
    assert "cannot be reached" in lost.text


def test_a_live_secret_key_is_to_be_replaced_by_a_restricted_one() -> None:
    (finding,) = check_permissions(FakeStripe(), "sk_live_1")
    assert (finding.state, "restricted key" in finding.fix) == (State.WARN, True)
    (lost,) = check_permissions(FakeStripe(trouble={"may_read": Failure.UNREACHED}), "rk_test_1")
    assert "cannot be reached" in lost.text


def test_whether_the_key_may_write_is_tried_on_request_only() -> None:
    (untried,) = check_permissions(FakeStripe(writes=False), "rk_test_1")
    assert untried.state is State.OK
    (missing,) = check_permissions(FakeStripe(writes=False), "rk_test_1", try_writes=True)
    assert (missing.state, missing.text) == (State.FAIL, "the restricted key may not write Customers")
    (well,) = check_permissions(FakeStripe(), "rk_test_1", try_writes=True)
    assert well.text.endswith("and write Customers")


def test_quota_and_rate() -> None:
    port = FakeHubSpot(usage=DailyUsage(95, 100), last_limits=Limits(100, 10_000))
    rate, quota = check_usage(port, 15)
    assert rate.fix.startswith("set hubspot.rate = 9 or less")
    assert quota.state is State.WARN
    (unknown,) = check_usage(FakeHubSpot(trouble={"read_usage": Failure.FORBIDDEN}), 15)
    assert unknown.state is State.OK
    (empty,) = check_usage(FakeHubSpot(trouble={"read_usage": Failure.DAILY_LIMIT}), 15)
    assert empty.state is State.FAIL


def test_a_version_without_a_known_end_and_one_that_has_ended() -> None:
    year_2030_ms = 1_900_000_000_000
    assert check_version("v3", year_2030_ms).state is State.FAIL
    assert check_version("2031-03", year_2030_ms).state is State.OK


def test_a_refused_key_is_named_by_its_setting() -> None:
    account, (finding,) = check_account(S, FakeStripe(trouble={"account": Failure.FORBIDDEN}), KnownAccounts())
    assert account is None
    assert "stripe.api_key" in finding.fix
