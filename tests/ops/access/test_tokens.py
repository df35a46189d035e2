"""Tokens of the API."""

from __future__ import annotations

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.tokens import DAY_MS, PREFIX, create_token, find_token, list_tokens, revoke_token
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


@pytest.mark.parametrize(("name", "days"), [("", 1), ("x" * 101, 1), ("a\nb", 1), ("x", 0), ("x", 367)])
def test_what_makes_no_token(store: Store, name: str, days: int) -> None:
    with pytest.raises(ConfigError):
        create_token(store, SYSTEM, name, OperatorRole.VIEWER, days)


def test_old_ones_are_forgotten(store: Store, clock: Clock) -> None:
    create_token(store, SYSTEM, "old", OperatorRole.VIEWER, 1)
    clock.advance(40 * DAY_MS)
    create_token(store, SYSTEM, "new", OperatorRole.VIEWER, 1)
    assert [token.name for token in list_tokens(store)] == ["new"]
