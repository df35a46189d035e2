"""Users of the admin service."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.operating.operators import Operator, OperatorRole, Via
from wanesync.ops.access import users
from wanesync.ops.access.logins import hash_secret, make_setup_link
from wanesync.ops.access.users import (
    add_first_user,
    add_user,
    change_password,
    change_role,
    check_name,
    get_user,
    list_users,
    remove_user,
    set_password_by_link,
)
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter

BOSS = Operator("boss", Via.CLI)


def test_every_change_is_in_the_audit_log(store: Store) -> None:
    add_user(store, BOSS, "Anna", OperatorRole.ADMIN, "hash")
    add_user(store, BOSS, "ben", OperatorRole.VIEWER, "")
    change_role(store, BOSS, "ben", OperatorRole.OPERATOR)
    change_role(store, BOSS, "ben", OperatorRole.OPERATOR)
    change_password(store, BOSS, "ben", "other")
    remove_user(store, BOSS, "ben")
    with store.reading() as tx:
        rows = tx.audit.find(AuditFilter(), 10)
    assert [(row.action, row.subject) for row in reversed(rows)] == [
        ("user.add", "anna"),
        ("user.add", "ben"),
        ("user.role", "ben"),
        ("user.password", "ben"),
        ("user.remove", "ben"),
    ]
    assert {row.operator for row in rows} == {BOSS}
    assert all("hash" not in str(row) and "other" not in str(row.after) for row in rows)
    assert [user.name for user in list_users(store)] == ["anna"]


def test_a_name_is_one_whatever_its_case(store: Store) -> None:
    add_user(store, BOSS, "Anna", OperatorRole.VIEWER, "hash")
    with pytest.raises(ConfigError, match="a user anna already"):
        add_user(store, BOSS, "ANNA", OperatorRole.ADMIN, "hash")
    assert get_user(store, "ANNA").name == "anna"
    assert get_user(store, "anna").role is OperatorRole.VIEWER


@pytest.mark.parametrize("name", ["", " ", "an na", "-anna", "x" * 101, "an\na", "<b>", "änna", "a/b"])
def test_names_that_cannot_be_used(name: str) -> None:
    with pytest.raises(ConfigError):
        check_name(name)


def test_an_admin_is_always_left(store: Store) -> None:
    add_user(store, BOSS, "anna", OperatorRole.ADMIN, "hash")
    with pytest.raises(ConfigError, match="last admin"):
        remove_user(store, BOSS, "anna")
    with pytest.raises(ConfigError, match="last admin"):
        change_role(store, BOSS, "anna", OperatorRole.VIEWER)
    add_user(store, BOSS, "ben", OperatorRole.ADMIN, "hash")
    change_role(store, BOSS, "anna", OperatorRole.VIEWER)


def test_two_who_open_the_set_up_link_at_once_make_one_user(store: Store) -> None:
    link = hash_secret(make_setup_link(store))
    add_first_user(store, BOSS, link, "anna", "hash")
    with pytest.raises(NotFound):
        add_first_user(store, BOSS, link, "ben", "hash")
    with pytest.raises(NotFound):
        set_password_by_link(store, BOSS, link, "hash")
    assert [user.name for user in list_users(store)] == ["anna"]


def test_a_user_who_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound):
        get_user(store, "nobody")
    with pytest.raises(NotFound):
        remove_user(store, BOSS, "nobody")


def test_two_admins_who_demote_one_another_at_once_do_not_both_succeed(store: Store, other_store: Store) -> None:
    for name in ("anna", "ben"):
        add_user(store, BOSS, name, OperatorRole.ADMIN, "hash")
    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as tx:
            users._keep_an_admin(tx, "ben")
            tx.admin_users.set_role("ben", OperatorRole.VIEWER)
            other = pool.submit(change_role, other_store, BOSS, "anna", OperatorRole.VIEWER)
            assert not wait([other], 0.3).done
        with pytest.raises(ConfigError, match="last admin"):
            other.result(10)
    assert get_user(store, "anna").role is OperatorRole.ADMIN
