"""Tokens of the API."""

from __future__ import annotations

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.operating.operators import SYSTEM, Operator, OperatorRole, Via
from wanesync.ops.access.tokens import DAY_MS, PREFIX, create_token, find_token, list_tokens, revoke_token
from wanesync.ops.access.users import add_user, change_role, remove_user
from wanesync.store import Store


def test_a_token_opens_until_it_ends(store: Store, clock: Clock) -> None:
    row, token = create_token(store, SYSTEM, "grafana", OperatorRole.VIEWER, 30)
    assert token.startswith(PREFIX)
    assert token not in repr(row)
    found = find_token(store, token)
    assert found is not None
    assert (found.name, found.role, found.made_by) == ("grafana", OperatorRole.VIEWER, "wanesync")
    assert list_tokens(store)[0].used_ms == store.now_ms()
    clock.advance(30 * DAY_MS)
    assert find_token(store, token) is None


@pytest.mark.parametrize("change", [str.upper, lambda text: text[:-1], lambda text: text + "x", lambda _text: "wane__"])
def test_what_is_no_token_opens_nothing(store: Store, change: object) -> None:
    _, token = create_token(store, SYSTEM, "grafana", OperatorRole.VIEWER, 30)
    assert callable(change)
    assert find_token(store, change(token)) is None
    assert find_token(store, "") is None


def test_every_token_finds_its_row(store: Store) -> None:
    for number in range(40):
        row, token = create_token(store, SYSTEM, f"n{number}", OperatorRole.VIEWER, 1)
        found = find_token(store, token)
        assert found is not None
        assert found.id == row.id


def test_a_revoked_token_opens_nothing(store: Store) -> None:
    row, token = create_token(store, SYSTEM, "grafana", OperatorRole.VIEWER, 30)
    revoke_token(store, SYSTEM, row.id)
    assert find_token(store, token) is None
    with pytest.raises(NotFound):
        revoke_token(store, SYSTEM, row.id)


def test_a_token_never_may_more_than_its_owner_may_now(store: Store) -> None:
    anna = Operator("anna", Via.PAGE)
    for name in ("anna", "ben"):
        add_user(store, SYSTEM, name, OperatorRole.ADMIN, "")
    _, token = create_token(store, anna, "script", OperatorRole.ADMIN, 30)
    _, lesser = create_token(store, anna, "grafana", OperatorRole.VIEWER, 30)
    _, apart = create_token(store, SYSTEM, "terminal", OperatorRole.ADMIN, 30)

    def find_roles() -> list[OperatorRole | None]:
        return [found.role_now if (found := find_token(store, one)) else None for one in (token, lesser, apart)]

    assert find_roles() == [OperatorRole.ADMIN, OperatorRole.VIEWER, OperatorRole.ADMIN]
    change_role(store, SYSTEM, "anna", OperatorRole.OPERATOR)
    assert find_roles() == [OperatorRole.OPERATOR, OperatorRole.VIEWER, OperatorRole.ADMIN]
    assert {one.role_now for one in list_tokens(store)} == set(OperatorRole)
    change_role(store, SYSTEM, "anna", OperatorRole.VIEWER)
    assert find_roles() == [OperatorRole.VIEWER, OperatorRole.VIEWER, OperatorRole.ADMIN]
    remove_user(store, SYSTEM, "anna")
    assert find_roles() == [None, None, OperatorRole.ADMIN]
    # Another user of that name does not inherit them.
    add_user(store, SYSTEM, "anna", OperatorRole.ADMIN, "")
    assert find_roles() == [None, None, OperatorRole.ADMIN]


@pytest.mark.parametrize(("name", "days"), [("", 1), ("x" * 101, 1), ("a\nb", 1), ("x", 0), ("x", 367)])
def test_what_makes_no_token(store: Store, name: str, days: int) -> None:
    with pytest.raises(ConfigError):
        create_token(store, SYSTEM, name, OperatorRole.VIEWER, days)


def test_old_ones_are_forgotten(store: Store, clock: Clock) -> None:
    create_token(store, SYSTEM, "old", OperatorRole.VIEWER, 1)
    clock.advance(40 * DAY_MS)
    create_token(store, SYSTEM, "new", OperatorRole.VIEWER, 1)
    assert [token.name for token in list_tokens(store)] == ["new"]
