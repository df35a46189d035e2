"""Users of the admin service: added, changed and removed, each with a row in the audit log."""

from __future__ import annotations

import re
from dataclasses import replace

from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.operating.operators import MAX_NAME_CHARS, Operator, OperatorRole
from wanesync.store.database import Store, Tx
from wanesync.store.tables.operating.access import UserRow, UserSecrets

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]*")


def check_name(name: str) -> str:
    """Return the name of a user in lower case. Raises ConfigError for one that cannot be used."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS:
        text = f"a name has 1 to {MAX_NAME_CHARS} letters, digits and . _ @ + -, and begins with a letter or a digit"
        raise ConfigError([text])
    return name.lower()


def list_users(store: Store) -> list[UserRow]:
    """Return all users by name."""
    return store.read(lambda tx: tx.admin_users.get_all())


def get_user(store: Store, name: str) -> UserRow:
    """Return a user. Raises NotFound."""
    return store.read(lambda tx: _need(tx, name))


def add_user(store: Store, operator: Operator, name: str, role: OperatorRole, password_hash: str) -> str:
    """Add a user; return the name as it is stored. ``password_hash``: "" for one who comes by single sign-on.

    Raises ConfigError: the name cannot be used or is taken.
    """
    name = check_name(name)

    def add(tx: Tx) -> None:
        if not tx.admin_users.add(name, role, UserSecrets(password=password_hash)):
            raise ConfigError([f"there is a user {name} already: wanesync admin user list"])
        tx.audit.add(operator, "user.add", name, None, {"role": role})

    store.run(add)
    return name


def add_first_user(store: Store, operator: Operator, link_hash: str, name: str, password_hash: str) -> str:
    """Add the first user, an admin, by a set-up link; return the name as it is stored.

    Raises NotFound: the link was used, has expired, or there is a user by now. Raises ConfigError as ``add_user``.
    """
    name = check_name(name)

    def add(tx: Tx) -> None:
        link = tx.admin_links.take(link_hash)
        if link is None or link.user or tx.admin_users.count():
            raise NotFound("this set-up link does not work any more: start wanesync admin again for a new one")
        tx.admin_users.add(name, OperatorRole.ADMIN, UserSecrets(password=password_hash))
        tx.audit.add(operator, "user.add", name, None, {"role": OperatorRole.ADMIN, "by": "set-up link"})

    store.run(add)
    return name


def remove_user(store: Store, operator: Operator, name: str) -> None:
    """Remove a user, and end all sessions and tokens of that user.

    Raises NotFound; raises ConfigError for the last admin.
    """

    def remove(tx: Tx) -> None:
        user = _keep_an_admin(tx, name)
        tx.admin_users.drop(user.name)
        tx.admin_sessions.drop_of(user.name)
        tx.admin_links.drop_of(user.name)
        tokens = tx.admin_tokens.drop_of(user.name)
        tx.audit.add(operator, "user.remove", user.name, {"role": user.role, "tokens": tokens}, None)

    store.run(remove)


def change_role(store: Store, operator: Operator, name: str, role: OperatorRole) -> None:
    """Give a user another role. Raises NotFound; raises ConfigError for the last admin."""

    def change(tx: Tx) -> None:
        user = _need(tx, name) if role is OperatorRole.ADMIN else _keep_an_admin(tx, name)
        if user.role is role:
            return
        tx.admin_users.set_role(user.name, role)
        tx.audit.add(operator, "user.role", user.name, {"role": user.role}, {"role": role})

    store.run(change)


def change_password(store: Store, operator: Operator, name: str, password_hash: str, *, keep_session: str = "") -> None:
    """Set the password of a user and end all sessions but one. Raises NotFound."""
    store.run(lambda tx: _change_password(tx, operator, name, password_hash, keep_session))


def set_password_by_link(store: Store, operator: Operator, link_hash: str, password_hash: str) -> None:
    """Set the password of the user that a link was made for, and end all sessions.

    Raises NotFound: the link was used or has expired.
    """

    def change(tx: Tx) -> None:
        link = tx.admin_links.take(link_hash)
        if link is None or not link.user:
            raise NotFound("this link does not work any more: ask for a new one")
        _change_password(tx, operator, link.user, password_hash)

    store.run(change)


def _change_password(tx: Tx, operator: Operator, name: str, password_hash: str, keep_session: str = "") -> None:
    user = _need(tx, name)
    secrets = tx.admin_users.secrets(user.name) or UserSecrets()
    tx.admin_users.set_secrets(user.name, replace(secrets, password=password_hash))
    tx.admin_sessions.drop_of(user.name, but=keep_session)
    tx.admin_links.drop_of(user.name)
    tx.audit.add(operator, "user.password", user.name)


def find_user(tx: Tx, name: str) -> UserRow | None:
    """Return a user by a name as it was typed."""
    return tx.admin_users.get(name.lower())


def _need(tx: Tx, name: str) -> UserRow:
    user = find_user(tx, name)
    if user is None:
        raise NotFound(f"there is no user {name}: wanesync admin user list")
    return user


def _keep_an_admin(tx: Tx, name: str) -> UserRow:
    """Return a user whose role may end. Raises NotFound; raises ConfigError for the last admin."""
    users = tx.admin_users.get_all()  # locked before anything is decided
    user = next((one for one in users if one.name == name.lower()), None) or _need(tx, name)
    others = [one for one in users if one.role is OperatorRole.ADMIN and one.name != user.name]
    if user.role is OperatorRole.ADMIN and not others:
        raise ConfigError([f"{user.name} is the last admin: add another one before"])
    return user
