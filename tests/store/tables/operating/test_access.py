"""Users, sessions, tokens, links and guesses in the store."""

from __future__ import annotations

from tests.support.store_fixtures import Clock
from wanesync.core.operating.operators import OperatorRole
from wanesync.store import Store
from wanesync.store.tables.operating.access import TokenRow, UserSecrets

SECRETS = UserSecrets("hash", "TOTP", "", 7, ("one", "two"))


def test_a_users_secrets_are_encrypted_and_not_shown(store: Store) -> None:
    assert store.run(lambda tx: tx.admin_users.add("anna", OperatorRole.ADMIN, SECRETS))
    assert not store.run(lambda tx: tx.admin_users.add("anna", OperatorRole.VIEWER, SECRETS))
    with store.reading() as tx:
        user, secrets = tx.admin_users.get("anna"), tx.admin_users.secrets("anna")
        [[blob]] = tx.admin_users._session.rows("admin_user_secrets", name="anna")
    assert user is not None
    assert (user.role, user.has_password, user.has_totp) == (OperatorRole.ADMIN, True, True)
    assert secrets is not None
    assert (secrets.password, secrets.totp, list(secrets.recovery)) == ("hash", "TOTP", ["one", "two"])
    assert b"TOTP" not in bytes(blob)
    assert "TOTP" not in repr(secrets)
    assert store.run(lambda tx: tx.admin_users.secrets("nobody")) is None


def test_a_session_has_the_role_of_its_user(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        tx.admin_users.add("anna", OperatorRole.VIEWER, SECRETS)
        tx.admin_sessions.add("s1", "anna")
        tx.admin_sessions.add("s2", "anna")
    with store.transaction() as tx:
        tx.admin_users.set_role("anna", OperatorRole.OPERATOR)
        found = tx.admin_sessions.get("s1")
        assert found is not None
        assert found.role is OperatorRole.OPERATOR
        tx.admin_sessions.drop_of("anna", but="s2")
        assert [one.id for one in tx.admin_sessions.of("anna")] == ["s2"]
        tx.admin_users.drop("anna")
        assert tx.admin_sessions.get("s2") is None, "a session without a user opens nothing"


def test_a_link_is_taken_once(store: Store, clock: Clock) -> None:
    store.run(lambda tx: tx.admin_links.add("h", "anna", store.now_ms() + 10))
    assert store.run(lambda tx: tx.admin_links.take("h")) is not None
    assert store.run(lambda tx: tx.admin_links.take("h")) is None
    store.run(lambda tx: tx.admin_links.add("h", "anna", store.now_ms() + 10))
    clock.advance(10)
    assert store.run(lambda tx: tx.admin_links.get("h")) is None
    assert store.run(lambda tx: tx.admin_links.take("h")) is None


def test_tokens_are_listed_the_newest_first(store: Store, clock: Clock) -> None:
    for name in ("one", "two"):
        token = TokenRow(name, name, OperatorRole.VIEWER, "h", "anna", 0, store.now_ms() + 5, 0)
        store.run(lambda tx, token=token: tx.admin_tokens.add(token))  # type: ignore[misc] # binds the loop's value
        clock.advance(1)
    with store.transaction() as tx:
        assert [token.id for token in tx.admin_tokens.get_all()] == ["two", "one"]
        tx.admin_tokens.drop_ended(store.now_ms() + 4)
        assert [token.id for token in tx.admin_tokens.get_all()] == ["two"]
        assert tx.admin_tokens.drop("two")
        assert not tx.admin_tokens.drop("two")


def test_guesses_of_the_span_are_counted(store: Store, clock: Clock) -> None:
    def guess() -> int:
        return store.run(lambda tx: tx.admin_guesses.count("s", 600_000))

    assert [guess(), guess()] == [1, 2]
    clock.advance(300_000)
    assert guess() == 3
    store.run(lambda tx: tx.admin_guesses.give_back("s"))
    assert guess() == 3
    clock.advance(661_000)
    assert guess() == 1
    store.run(lambda tx: tx.admin_guesses.drop_old(store.now_ms() + 1))
    assert guess() == 1
