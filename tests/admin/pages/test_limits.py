"""The page of limits and pauses: who may change what, what is refused, and what is recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.admin import AdminSite, Browser
from tests.support.core_builders import link
from wanesync.core.change_guard import HeldValue, HoldKind
from wanesync.core.model import Side
from wanesync.core.operating.operators import Via
from wanesync.core.rate_limits import Limit
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter

SignIn = Callable[[str], Browser]


@pytest.fixture(name="limited")
def set_limits(admin: AdminSite) -> Store:
    """HubSpot at 15/s and Stripe at 100/s."""
    with admin.store.transaction() as tx:
        for scope, value in (("hubspot", 15.0), ("stripe", 100.0)):
            tx.rates.put(Limit(scope, value, value, value), is_new=True)
    return admin.store


def effective(store: Store, scope: str) -> float | None:
    found = store.read(lambda tx: tx.rates.all().get(scope))
    return found.effective if found else None


def audited(store: Store) -> list[tuple[str, str, str]]:
    rows = store.read(lambda tx: tx.audit.find(AuditFilter(), 50))
    return [
        (row.operator.name, row.action, row.subject)
        for row in rows
        if row.operator.via == Via.PAGE and not row.action.startswith("session.")
    ]


def test_an_operator_changes_a_limit_and_returns_to_the_file(limited: Store, sign_in: SignIn) -> None:
    browser = sign_in("operator")
    answer = browser.post("/limits/set", {"scope": "stripe", "value": "40/s"})
    assert (answer.status_code, effective(limited, "stripe")) == (303, 40)
    page = browser.get(answer.headers["location"]).text
    assert "stripe is 40/s now" in page
    assert "Return stripe to the configuration (100/s)" in page
    browser.post("/limits/reset", {"scope": "stripe"})
    assert effective(limited, "stripe") == 100
    browser.post("/limits/set", {"scope": "stripe:customers.create", "value": "5"})
    assert effective(limited, "stripe:customers.create") == 5
    assert audited(limited) == [
        ("operator1", "limit.set", "stripe:customers.create"),
        ("operator1", "limit.set", "stripe"),
        ("operator1", "limit.set", "stripe"),
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "a value is missing"),
        ("0", "which is what a pause is for"),
        ("-5", "is below 0"),
        ("NaN", "is no value for it"),
        ("<b>x</b>", "&#39;&lt;b&gt;x&lt;/b&gt;&#39; is no value for it"),
        ("1e9", "is more than any account is allowed"),
    ],
)
def test_an_absurd_value_is_refused_with_what_is_wrong(limited: Store, sign_in: SignIn, value: str, said: str) -> None:
    answer = sign_in("admin").post("/limits/set", {"scope": "stripe", "value": value, "force": "yes"})
    assert answer.status_code == 422
    assert said in answer.text
    assert "<b>x</b>" not in answer.text
    assert effective(limited, "stripe") == 100
    assert audited(limited) == []


def test_more_than_the_vendor_publishes_needs_an_admin_and_a_second_confirmation(
    limited: Store, sign_in: SignIn
) -> None:
    form = {"scope": "stripe", "value": "200/s"}
    operator, admin = sign_in("operator"), sign_in("admin")
    asked = operator.post("/limits/set", form)
    assert (asked.status_code, "all the same</button>" in asked.text) == (409, False)
    assert "An operator with the role admin can set it" in asked.text
    assert operator.post("/limits/set", form | {"force": "yes"}).status_code == 403
    assert effective(limited, "stripe") == 100
    asked = admin.post("/limits/set", form)
    assert (asked.status_code, "Set stripe to 200/s all the same" in asked.text) == (409, True)
    assert admin.post("/limits/set", form | {"force": "yes"}).status_code == 303
    assert effective(limited, "stripe") == 200


def test_a_side_and_a_field_are_paused_and_resumed(admin: AdminSite, sign_in: SignIn) -> None:
    browser = sign_in("operator")
    assert (
        "stripe is paused." in browser.get(browser.post("/limits/pause", {"side": "stripe"}).headers["location"]).text
    )
    browser.post("/limits/pause", {"field": "city"})
    page = browser.get("/limits").text
    assert "Resume stripe" in page
    assert "Resume city" in page
    browser.post("/limits/resume", {"side": "stripe"})
    browser.post("/limits/resume", {"field": "city"})
    page = browser.get("/limits").text
    assert "Resume" not in page
    assert browser.post("/limits/pause", {"side": "mars"}).status_code == 422
    assert browser.post("/limits/pause", {"field": "shoe_size"}).status_code == 422
    assert [action for _, action, _ in audited(admin.store)][1:] == ["side.resume", "field.pause", "side.pause"]


def test_what_is_held_is_released_by_its_id_only(admin: AdminSite, sign_in: SignIn) -> None:
    with admin.store.transaction() as tx:
        hold, _ = tx.holds.open("IMPORT/1", HoldKind.BRAKE)
        pair = link()
        tx.links.put(pair)
        tx.holds.put(pair.id, "phone", HeldValue(Side.HUBSPOT, "1", "2", hold))
    browser = sign_in("operator")
    assert 'data-confirm="Write 1 values of 1 people?"' in browser.get("/limits").text
    assert browser.post("/limits/holds/release", {"hold": "all"}).status_code == 404
    assert browser.post("/limits/holds/release", {"hold": ""}).status_code == 404
    assert browser.post("/limits/holds/release", {"hold": hold}).status_code == 303
    assert "The change guard keeps nothing back." in browser.get("/limits").text


def test_writes_are_switched_by_an_admin(admin: AdminSite, sign_in: SignIn) -> None:
    assert sign_in("operator").post("/limits/writes", {"writes": "on"}).status_code == 403
    browser = sign_in("admin")
    answer = browser.post("/limits/writes", {"writes": "on"})
    assert "Writes are on." in browser.get(answer.headers["location"]).text
    assert browser.post("/limits/writes", {"writes": "maybe"}).status_code == 422


def test_a_viewer_sees_everything_and_changes_nothing(limited: Store, sign_in: SignIn) -> None:
    browser = sign_in("viewer")
    page = browser.get("/limits").text
    assert "stripe" in page
    assert page.count("<form") == 1, "only the one that logs out"
    for path in ("set", "reset", "pause", "resume", "holds/release", "holds/discard", "writes"):
        assert browser.post(f"/limits/{path}", {"scope": "stripe", "value": "1"}).status_code == 403
    assert effective(limited, "stripe") == 100


def test_a_confirmation_in_the_address_says_only_what_is_true(limited: Store, sign_in: SignIn) -> None:
    browser = sign_in("viewer")
    assert "✓" not in browser.get("/limits?done=paused+stripe").text
    assert "✓" not in browser.get("/limits?done=%3Cscript%3E").text
