"""Signing in: equal answers and equal work, guesses that are counted over all processes."""

from __future__ import annotations

from dataclasses import replace

import pyotp
import pytest

from tests.support.admin import CHEAP, PASSWORD, URL, AdminSite, build_site
from tests.support.store_fixtures import Clock
from wanesync.admin.security.passwords import Passwords
from wanesync.admin.security.second_factor import confirm, prepare
from wanesync.admin.security.sign_in import Attempt, sign_in
from wanesync.core.errors import TooManyGuesses
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.guesses import PER_ADDRESS, PER_PAIR, PER_USER
from wanesync.ops.access.logins import FRESH_MS
from wanesync.store.tables.operating.audit import AuditFilter


class CountingPasswords(Passwords):
    """Counts how often a password is looked at."""

    def __init__(self) -> None:
        super().__init__(CHEAP._hasher)
        self.looked = 0

    def matches(self, stored: str, password: str) -> bool:
        """Count, and compare."""
        self.looked += 1
        return super().matches(stored, password)


@pytest.fixture
def counted(admin: AdminSite) -> tuple[AdminSite, CountingPasswords]:
    passwords = CountingPasswords()
    admin.add_user("anna", OperatorRole.ADMIN)
    return build_site(replace(admin.services, passwords=passwords)), passwords


def test_of_hundreds_of_guesses_from_one_address_few_are_looked_at_and_the_owner_comes_in_from_another(
    counted: tuple[AdminSite, CountingPasswords],
) -> None:
    site, passwords = counted
    thief = site.open_browser("203.0.113.7")
    statuses = [thief.sign_in("anna", f"guess number {number}").status_code for number in range(20)]
    assert statuses == [401] * PER_PAIR + [429] * (20 - PER_PAIR)
    for number in range(280):
        with pytest.raises(TooManyGuesses):
            sign_in(site.services, Attempt("anna", f"another guess {number}", "", "203.0.113.7"))
    assert passwords.looked == PER_PAIR
    # Not even the right one is looked at.
    assert thief.sign_in("anna").status_code == 429
    assert site.open_browser("198.51.100.9").sign_in("anna").status_code == 303


def test_from_many_addresses_a_user_is_guessed_at_ten_times(
    counted: tuple[AdminSite, CountingPasswords], clock: Clock
) -> None:
    site, passwords = counted
    known = site.open_browser("198.51.100.9")
    assert known.sign_in("anna").status_code == 303
    passwords.looked = 0
    for number in range(3 * PER_USER):
        site.open_browser(f"203.0.113.{number}").sign_in("anna", "a wrong guess")
    assert passwords.looked == PER_USER
    assert site.open_browser("192.0.2.1").sign_in("anna").status_code == 429
    # A browser that was signed in before has a count of its own.
    assert known.sign_in("anna").status_code == 303
    clock.advance(11 * 60_000)
    assert site.open_browser("192.0.2.1").sign_in("anna").status_code == 303


def test_an_address_that_tries_many_names_is_looked_at_fifty_times(
    counted: tuple[AdminSite, CountingPasswords],
) -> None:
    site, passwords = counted
    thief = site.open_browser("203.0.113.7")
    for number in range(2 * PER_ADDRESS):
        thief.sign_in(f"name{number}", "a wrong guess")
    assert passwords.looked == PER_ADDRESS


def test_addresses_of_one_ipv6_network_count_as_one(counted: tuple[AdminSite, CountingPasswords]) -> None:
    site, passwords = counted
    for number in range(60):
        site.open_browser(f"2001:db8::{number:x}").sign_in("anna", "a wrong guess")
    assert passwords.looked == PER_PAIR


def test_addresses_of_ipv4_do_not_count_as_one_on_a_socket_for_both_families(
    counted: tuple[AdminSite, CountingPasswords],
) -> None:
    site, passwords = counted
    for number in range(60):
        site.open_browser(f"::ffff:192.0.2.{number}").sign_in(f"name{number}", "a wrong guess")
    assert passwords.looked == 60


def test_guesses_are_counted_over_all_processes(admin: AdminSite) -> None:
    admin.add_user("anna", OperatorRole.ADMIN)
    sites = [build_site(admin.services) for _ in range(4)]
    statuses = [sites[number % 4].open_browser().sign_in("anna", "a wrong guess").status_code for number in range(40)]
    assert statuses.count(401) == PER_PAIR


def test_right_ones_count_for_nothing(admin: AdminSite) -> None:
    admin.add_user("anna", OperatorRole.ADMIN)
    for _ in range(3 * PER_PAIR):
        assert admin.open_browser().sign_in("anna").status_code == 303


@pytest.mark.parametrize("name", ["anna", "no such user", "", "ANNA", "x" * 900])
def test_every_wrong_attempt_has_the_same_answer_and_the_same_work(
    counted: tuple[AdminSite, CountingPasswords], name: str
) -> None:
    site, passwords = counted
    expected = site.open_browser("192.0.2.1").sign_in("anna", "wrong")
    passwords.looked = 0
    answer = site.open_browser("192.0.2.2").sign_in(name, "wrong")
    assert (answer.status_code, passwords.looked) == (401, 1)
    plain = [text.replace(f'value="{shown}"', "", 1) for text, shown in ((answer.text, name), (expected.text, "anna"))]
    without_nonces = [" ".join(line for line in text.split() if "nonce=" not in line) for text in plain]
    assert without_nonces[0] == without_nonces[1]


def test_a_refused_attempt_is_in_the_audit_log_for_known_users_alone(admin: AdminSite) -> None:
    admin.add_user("anna", OperatorRole.ADMIN)
    admin.open_browser().sign_in("anna", "wrong")
    admin.open_browser().sign_in("my password in the wrong field", "wrong")
    with admin.store.reading() as tx:
        rows = tx.audit.find(AuditFilter(action="session.refused"), 10)
    assert [row.subject for row in rows] == ["anna"]


class TestSecondFactor:
    def code(self, secret: str, clock: Clock, steps: int = 0) -> str:
        return str(pyotp.TOTP(secret).generate_otp(clock.ms // 30_000 + steps))

    @pytest.fixture
    def secret(self, admin: AdminSite, clock: Clock) -> str:
        admin.add_user("anna", OperatorRole.ADMIN)
        prepared = prepare(admin.store, "anna")
        self.codes = confirm(admin.store, SYSTEM, "anna", self.code(prepared.secret, clock))
        clock.advance(60_000)
        return prepared.secret

    def test_a_log_in_takes_a_code_of_now(self, admin: AdminSite, clock: Clock, secret: str) -> None:
        assert admin.open_browser().sign_in("anna").status_code == 401
        assert admin.open_browser().sign_in("anna", code="000000").status_code == 401
        assert admin.open_browser().sign_in("anna", code=self.code(secret, clock, -3)).status_code == 401
        assert admin.open_browser().sign_in("anna", "wrong", self.code(secret, clock)).status_code == 401
        assert admin.open_browser().sign_in("anna", code=self.code(secret, clock)).status_code == 303

    def test_the_password_again_takes_a_code_as_well(self, admin: AdminSite, clock: Clock, secret: str) -> None:
        anna = admin.open_browser()
        assert anna.sign_in("anna", code=self.code(secret, clock)).status_code == 303
        clock.advance(FRESH_MS + 60_000)
        assert anna.post("/account/confirm", {"current": PASSWORD}).status_code == 422
        assert anna.post("/users/link", {"name": "anna"}).status_code == 303
        code = self.code(secret, clock)
        assert anna.post("/account/confirm", {"current": PASSWORD, "code": code}).status_code == 303
        assert anna.post("/users/link", {"name": "anna"}).status_code == 200
        assert anna.post("/account/confirm", {"current": PASSWORD, "code": code}).status_code == 422

    def test_a_code_works_once(self, admin: AdminSite, clock: Clock, secret: str) -> None:
        code = self.code(secret, clock)
        assert admin.open_browser().sign_in("anna", code=code).status_code == 303
        assert admin.open_browser().sign_in("anna", code=code).status_code == 401
        assert admin.open_browser().sign_in("anna", code=self.code(secret, clock, -1)).status_code == 401

    def test_a_recovery_code_works_once(self, admin: AdminSite, clock: Clock, secret: str) -> None:
        code = self.codes[3].upper().replace("-", " ")
        assert admin.open_browser().sign_in("anna", code=code).status_code == 303
        assert admin.open_browser().sign_in("anna", code=code).status_code == 401
        assert admin.open_browser().sign_in("anna", code=self.codes[4]).status_code == 303


def test_too_many_guesses_says_when_to_come_back(admin: AdminSite) -> None:
    admin.add_user("anna", OperatorRole.ADMIN)
    answers = [admin.open_browser().sign_in("anna", "wrong") for _ in range(PER_PAIR + 1)]
    assert answers[-1].headers["retry-after"] == "600"
    assert "try again in 10 minutes" in answers[-1].text
    assert str(TooManyGuesses(61)).endswith("2 minutes")


def test_the_password_must_be_proved_for_a_new_one(admin: AdminSite) -> None:
    browser = admin.sign_in("viewer", "anna")
    form = {"current": "wrong", "password": "another staple battery", "again": "another staple battery"}
    assert "current password is wrong" in browser.post("/account/password", form).text
    assert browser.post("/account/password", form | {"current": PASSWORD}).status_code == 303
    assert admin.open_browser().sign_in("anna").status_code == 401
    assert admin.open_browser().sign_in("anna", "another staple battery").status_code == 303


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/users/add", {"name": "mallory", "role": "admin"}),
        ("/users/link", {"name": "ben"}),
        ("/users/role", {"name": "ben", "role": "admin"}),
        ("/users/second-factor/off", {"name": "ben"}),
        ("/users/remove", {"name": "ben"}),
        ("/tokens/create", {"name": "script", "role": "admin", "days": "30"}),
    ],
)
def test_what_outlives_a_session_takes_the_password_again(
    admin: AdminSite, clock: Clock, path: str, form: dict[str, str]
) -> None:
    """A thief of the session must not make a user or a token that stays when it has ended."""
    admin.add_user("ben", OperatorRole.VIEWER)
    anna = admin.sign_in("admin", "anna")
    clock.advance(FRESH_MS + 1_000)
    page = f"/{path.split('/')[1]}"
    before = admin.store.read(lambda tx: (tx.admin_users.get_all(), tx.admin_tokens.get_all()))
    refused = anna.post(path, form, referer=f"{URL}{page}")
    assert (refused.status_code, refused.headers["location"]) == (303, f"/account/confirm?next={page}")
    assert admin.store.read(lambda tx: (tx.admin_users.get_all(), tx.admin_tokens.get_all())) == before
    wrong = anna.post("/account/confirm", {"current": "wrong horse battery staple", "next": page})
    assert wrong.status_code == 422
    assert anna.post(path, form).status_code == 303
    proved = anna.post("/account/confirm", {"current": PASSWORD, "next": page})
    assert (proved.status_code, proved.headers["location"]) == (303, page)
    assert "/account/confirm" not in anna.post(path, form).headers.get("location", "")
    assert admin.store.read(
        lambda tx: (tx.admin_users.get_all(), tx.admin_tokens.get_all())
    ) != before or path.endswith(("link", "off"))


def test_the_way_back_leads_to_no_other_site(admin: AdminSite) -> None:
    anna = admin.sign_in("admin", "anna")
    proved = anna.post("/account/confirm", {"current": PASSWORD, "next": "//evil.example/"})
    assert proved.headers["location"] == "/"
