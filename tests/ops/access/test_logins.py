"""Sessions and links that work once."""

from __future__ import annotations

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.errors import NotFound
from wanesync.core.operating.operators import SYSTEM, Operator, OperatorRole, Via
from wanesync.ops.access.logins import (
    PASSWORD_LINK_MS,
    SessionLimits,
    begin_session,
    end_session,
    find_link,
    find_session,
    hash_secret,
    is_session_open,
    list_sessions,
    make_password_link,
    make_setup_link,
)
from wanesync.ops.access.users import add_user, change_role
from wanesync.store import Store

LIMITS = SessionLimits()
ANNA = Operator("anna", Via.PAGE)


@pytest.fixture(autouse=True)
def _anna(store: Store) -> None:
    add_user(store, SYSTEM, "anna", OperatorRole.OPERATOR, "hash")


def test_a_session_is_found_until_it_ends(store: Store, clock: Clock) -> None:
    secret = store.run(lambda tx: begin_session(tx, "anna", LIMITS))
    found = find_session(store, secret, LIMITS)
    assert found is not None
    assert (found.user, found.role) == ("anna", OperatorRole.OPERATOR)
    assert find_session(store, secret + "x", LIMITS) is None
    clock.advance(LIMITS.idle_ms + 1)
    assert find_session(store, secret, LIMITS) is None


def test_use_is_noted_now_and_then(store: Store, clock: Clock) -> None:
    secret = store.run(lambda tx: begin_session(tx, "anna", LIMITS))
    clock.advance(1_000)
    find_session(store, secret, LIMITS)
    assert list_sessions(store, "anna")[0].seen_ms == store.now_ms() - 1_000
    clock.advance(60_000)
    find_session(store, secret, LIMITS)
    assert list_sessions(store, "anna")[0].seen_ms == store.now_ms()


def test_ended_ones_are_removed_when_another_begins(store: Store, clock: Clock) -> None:
    store.run(lambda tx: begin_session(tx, "anna", LIMITS))
    clock.advance(LIMITS.idle_ms + 1)
    store.run(lambda tx: begin_session(tx, "anna", LIMITS))
    assert len(list_sessions(store, "anna")) == 1


def test_a_session_is_ended_by_its_user_alone(store: Store) -> None:
    secret = store.run(lambda tx: begin_session(tx, "anna", LIMITS))
    with pytest.raises(NotFound):
        end_session(store, Operator("ben", Via.PAGE), hash_secret(secret))
    end_session(store, ANNA, hash_secret(secret))
    assert find_session(store, secret, LIMITS) is None
    with pytest.raises(NotFound):
        end_session(store, ANNA, hash_secret(secret))


def test_a_link_is_for_one_user_and_for_an_hour(store: Store, clock: Clock) -> None:
    old, new = make_password_link(store, SYSTEM, "Anna"), make_password_link(store, SYSTEM, "anna")
    assert (find_link(store, old), find_link(store, new)) == (None, "anna")
    clock.advance(PASSWORD_LINK_MS)
    assert find_link(store, new) is None
    with pytest.raises(NotFound):
        make_password_link(store, SYSTEM, "nobody")


def test_there_is_no_set_up_link_where_there_is_a_user(store: Store) -> None:
    assert make_setup_link(store) == ""


def test_what_a_session_watches_ends_when_its_user_gets_another_role(store: Store) -> None:
    add_user(store, SYSTEM, "boss", OperatorRole.ADMIN, "hash")
    role = store.read(lambda tx: tx.admin_users.get("anna")).role  # type: ignore[union-attr] # added above
    session_id = hash_secret(store.run(lambda tx: begin_session(tx, "anna", LIMITS)))
    assert is_session_open(store, session_id, role, LIMITS)
    other = OperatorRole.VIEWER if role is not OperatorRole.VIEWER else OperatorRole.OPERATOR
    change_role(store, SYSTEM, "anna", other)
    assert not is_session_open(store, session_id, role, LIMITS)
    assert is_session_open(store, session_id, other, LIMITS)
