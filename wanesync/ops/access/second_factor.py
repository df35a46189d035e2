"""The second factor of a user: prepared, turned on after a first right code, and turned off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.operating.operators import Operator
from wanesync.store.database import Store, Tx
from wanesync.store.tables.operating.access import UserSecrets

FindStep = Callable[[str], int]
"""Secret -> the time step whose code was typed, 0 for a wrong one."""


def prepare_factor(store: Store, name: str, secret: str, *, renew: bool = False) -> str:
    """Store a new secret until a code confirms it; return the one to be confirmed.

    That is an earlier one if there is, as after a wrong code, unless ``renew``: a thief of a session may have seen it.
    Raises NotFound; raises ConfigError where the second factor is on.
    """

    def prepare(tx: Tx) -> str:
        secrets = _need(tx, name)
        if secrets.totp:
            raise ConfigError([f"the second factor of {name} is on already"])
        if secrets.new_totp and not renew:
            return secrets.new_totp
        tx.admin_users.set_secrets(name, replace(secrets, new_totp=secret))
        return secret

    return store.run(prepare)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What turns a second factor on. ``find_step``: checks the code that was typed; ``recovery``: hashes of codes that
    work once; ``keep_session``: the one session of the user that does not end, "" for none.
    """

    find_step: FindStep
    recovery: Sequence[str] = ()
    keep_session: str = ""


def turn_on_factor(store: Store, operator: Operator, name: str, confirmation: Confirmation) -> None:
    """Turn the second factor on by a code of the prepared secret, and end the other sessions.

    Raises NotFound; raises ConfigError for a wrong code.
    """

    def turn_on(tx: Tx) -> None:
        secrets = _need(tx, name)
        step = confirmation.find_step(secrets.new_totp) if secrets.new_totp else 0
        if not step:
            raise ConfigError(["this code is wrong: take the one that the app shows now, and check the phone's clock"])
        tx.admin_users.set_secrets(
            name,
            replace(secrets, totp=secrets.new_totp, new_totp="", totp_step=step, recovery=tuple(confirmation.recovery)),
        )
        tx.admin_sessions.drop_of(name, but=confirmation.keep_session)
        tx.audit.add(operator, "user.second_factor_on", name)

    store.run(turn_on)


def turn_off_factor(store: Store, operator: Operator, name: str, *, keep_session: str = "") -> bool:
    """Turn the second factor off, forget a secret that is not confirmed, end all sessions but one.

    Returns False where there was none. Raises NotFound.
    """

    def turn_off(tx: Tx) -> bool:
        secrets = _need(tx, name)
        if not (secrets.totp or secrets.new_totp):
            return False
        tx.admin_users.set_secrets(name, replace(secrets, totp="", new_totp="", totp_step=0, recovery=()))
        tx.admin_sessions.drop_of(name, but=keep_session)
        tx.audit.add(operator, "user.second_factor_off", name)
        return True

    return store.run(turn_off)


def _need(tx: Tx, name: str) -> UserSecrets:
    secrets = tx.admin_users.secrets(name)
    if secrets is None:
        raise NotFound(f"there is no user {name}: wanesync admin user list")
    return secrets
