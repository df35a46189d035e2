"""The second factor as it is stored."""

from __future__ import annotations

import pytest

from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.second_factor import Confirmation, prepare_factor, turn_off_factor, turn_on_factor
from wanesync.ops.access.users import add_user, change_password
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter


def test_it_is_prepared_turned_on_and_off(store: Store) -> None:
    add_user(store, SYSTEM, "anna", OperatorRole.VIEWER, "hash")
    assert prepare_factor(store, "anna", "ONE") == prepare_factor(store, "anna", "TWO") == "ONE"
    with pytest.raises(ConfigError, match="code is wrong"):
        turn_on_factor(store, SYSTEM, "anna", Confirmation(lambda _secret: 0))
    turn_on_factor(store, SYSTEM, "anna", Confirmation(lambda secret: 7 if secret == "ONE" else 0, ["r"]))
    with store.reading() as tx:
        secrets, user = tx.admin_users.secrets("anna"), tx.admin_users.get("anna")
    assert secrets is not None
    assert (secrets.totp, secrets.new_totp, secrets.totp_step, list(secrets.recovery)) == ("ONE", "", 7, ["r"])
    assert user is not None
    assert user.has_totp
    with pytest.raises(ConfigError, match="on already"):
        prepare_factor(store, "anna", "THREE")
    assert turn_off_factor(store, SYSTEM, "anna")
    assert not turn_off_factor(store, SYSTEM, "anna")
    with store.reading() as tx:
        actions = [row.action for row in tx.audit.find(AuditFilter(subject="anna"), 10)]
    assert actions == ["user.second_factor_off", "user.second_factor_on", "user.add"]


def test_a_secret_that_a_thief_of_a_session_had_shown_is_not_the_one_that_is_turned_on(store: Store) -> None:
    add_user(store, SYSTEM, "anna", OperatorRole.VIEWER, "hash")
    prepare_factor(store, "anna", "SEEN BY A THIEF")
    assert prepare_factor(store, "anna", "NEW", renew=True) == "NEW"
    turn_on_factor(store, SYSTEM, "anna", Confirmation(lambda secret: 7 if secret == "NEW" else 0))


def test_of_a_user_alone(store: Store) -> None:
    with pytest.raises(NotFound):
        turn_off_factor(store, SYSTEM, "nobody")


def test_a_new_password_leaves_the_factor_on(store: Store) -> None:
    add_user(store, SYSTEM, "anna", OperatorRole.VIEWER, "hash")
    prepare_factor(store, "anna", "ONE")
    turn_on_factor(store, SYSTEM, "anna", Confirmation(lambda _secret: 7))
    change_password(store, SYSTEM, "anna", "other")
    with store.reading() as tx:
        secrets = tx.admin_users.secrets("anna")
    assert secrets is not None
    assert (secrets.password, secrets.totp) == ("other", "ONE")
