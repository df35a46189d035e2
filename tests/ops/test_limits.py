"""Limits are changed, reset and explained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.operators import ADA
from wanesync.core.errors import ConfigError, ConfirmationNeeded
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.rate_limits import BULK, Limit, cap
from wanesync.ops.limits import change_limit, explain_limit, list_limits, reset_limit, set_limit
from wanesync.store import Store, Tx
from wanesync.store.tables.operating.audit import AuditFilter, AuditRow


@pytest.fixture(name="limited")
def set_limits(store: Store) -> Store:
    """HubSpot at 15/s and Stripe at 100/s, as a configuration file says."""
    with store.transaction() as tx:
        for scope, value in (("hubspot", 15.0), ("stripe", 100.0)):
            tx.rates.put(Limit(scope, value, value, value))
    return store


def read_audit(tx: Tx) -> list[AuditRow]:
    return tx.audit.find(AuditFilter(), 10)


def journalled(store: Store) -> list[tuple[object, object, object]]:
    with store.reading() as tx:
        rows = [row.data for row in tx.journal.latest(100) if row.kind == "limit set"]
    return sorted(((data["scope"], data["from"], data["to"]) for data in rows), key=str)


def test_a_change_acts_at_once_and_is_journalled(limited: Store) -> None:
    changed = change_limit(limited, "hubspot", "12/s", ADA, force=False)
    assert (changed.limit.configured, changed.limit.effective, changed.new, changed.warning) == (12, 12, True, "")
    assert journalled(limited) == [("hubspot", 15, 12)]


def test_who_changed_a_limit_stands_in_the_journal_and_in_the_audit_log(limited: Store) -> None:
    change_limit(limited, "hubspot", "12/s", ADA, force=False)
    reset_limit(limited, "hubspot", Operator("bob", Via.PAGE))
    with limited.reading() as tx:
        rows = {str(row.operator): (row.data["from"], row.data["to"]) for row in tx.journal.latest(10)}
        audit = [(row.operator.name, row.action, row.subject, row.before, row.after) for row in read_audit(tx)]
    assert rows == {"ada (cli)": (15, 12), "bob (page)": (12, 15)}
    twelve, fifteen = {"configured": 12, "effective": 12}, {"configured": 15, "effective": 15}
    assert audit == [
        ("bob", "limit.set", "hubspot", twelve, fifteen),
        ("ada", "limit.set", "hubspot", fifteen, twelve),
    ]


def test_the_same_value_again_is_no_change_unless_refusals_had_lowered_it(limited: Store) -> None:
    change_limit(limited, "hubspot", "12", ADA, force=False)
    assert not change_limit(limited, "hubspot", "12/s", ADA, force=False).new
    limited.run(lambda tx: tx.rates.put(replace(tx.rates.all()["hubspot"], effective=6.0)))
    assert change_limit(limited, "hubspot", "12/s", ADA, force=False).new
    assert len(journalled(limited)) == 2


@pytest.mark.parametrize(
    ("scope", "text", "said"),
    [
        ("stripe", "fast", "'fast' is no value for it: give .* such as 12/s"),
        ("stripe", "", "a value is missing"),
        ("stripe", "0", "is 0, which is what a pause is for"),
        ("stripe", "-5/s", "'-5/s' is below 0"),
        ("stripe", "NaN", "'NaN' is no value for it"),
        ("stripe", "Infinity", "'Infinity' is no value for it"),
        ("stripe", "1e9", "'1e9' is more than any account is allowed"),
        ("stripe", "1e999", "more than any account is allowed"),
        ("stripe", "0.01", "is too little"),
        ("stripe", "12/month", "has another unit"),
        ("stripe", "٣", "is no value for it"),
        ("stripe", "9" * 400, "'999999999999999999999999999999…' is no value for it"),
        ("stripe:monthly_reads", "1e9", "more than any account is allowed"),
        ("stripe:monthly_reads", "10.5", "is no whole number"),
        ("hubspot:daily", "150%", "more than any account is allowed"),
        ("stripe:nothing", "5/s", "one of hubspot, "),
        ("stripe", "200/s", "if your account has more, add --force"),
        ("hubspot:daily", "7", "0.5 or 50%"),
    ],
)
def test_a_wrong_value_names_what_is_allowed(limited: Store, scope: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        change_limit(limited, scope, text, ADA, force=False)
    assert journalled(limited) == []


def test_more_than_the_platform_is_known_to_allow_needs_force_and_warns(limited: Store) -> None:
    changed = change_limit(limited, "stripe", "200/s", ADA, force=True)
    assert (changed.limit.effective, "Stripe allows an account 100/s" in changed.warning) == (200, True)


def test_what_hubspot_reports_is_not_passed_even_with_force(limited: Store) -> None:
    limited.run(lambda tx: tx.rates.put(cap(tx.rates.all()["hubspot"], 190, 10_000)))
    with pytest.raises(
        ConfirmationNeeded, match=r"17\.1/s is what HubSpot's answers allow .* --force keeps 18/s for then"
    ):
        change_limit(limited, "hubspot", "18/s", ADA, force=False)
    forced = change_limit(limited, "hubspot", "18/s", ADA, force=True)
    assert (forced.limit.configured, forced.warning) == (18, "")
    assert forced.limit.effective == pytest.approx(17.1)
    assert "HubSpot's answers allow this app 17.1/s" in explain_limit(forced.limit)


def test_a_reset_returns_to_the_file_or_leaves_no_limit(limited: Store) -> None:
    limited.run(lambda tx: set_limit(tx, "hubspot", 12))
    limited.run(lambda tx: set_limit(tx, BULK, 30))
    back = reset_limit(limited, "hubspot", ADA)
    assert back is not None
    assert back.effective == 15
    for _ in range(2):
        assert reset_limit(limited, BULK, ADA) is None
    expected = [("hubspot", 12, 15), ("hubspot", 15, 12), (BULK, 30, None), (BULK, None, 30)]
    assert journalled(limited) == sorted(expected, key=str)
    with pytest.raises(ConfigError, match="nothing is no limit: one of hubspot, "):
        reset_limit(limited, "nothing", ADA)


def test_a_limit_in_full_effect_needs_no_explanation() -> None:
    assert explain_limit(Limit("hubspot", 15, 15)) == ""
    assert explain_limit(Limit("stripe", 100, 50, reason="stripe refused more")) == "stripe refused more"


def test_limits_are_listed_with_what_sets_them(limited: Store) -> None:
    change_limit(limited, "hubspot", "12/s", ADA, force=False)
    found = list_limits(limited)
    assert [(one.limit.scope, one.limit.configured, one.is_set_by_operator) for one in found.states] == [
        ("hubspot", 12, True),
        ("stripe", 100, False),
    ]
    assert found.alarms == []


def test_a_report_that_is_older_than_the_setting_is_explained_too() -> None:
    allowed = Limit("hubspot", 18, 17.1, ceiling=17.1)
    assert explain_limit(allowed) == "HubSpot's answers allow this app 17.1/s; it rises as soon as they allow more"
    learned = Limit("stripe:customers.create", 25, 10, ceiling=10)
    assert explain_limit(learned) == "", "Stripe does not report a limit of an operation"
