"""Sessions of the admin service, and the links that work once."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from wanesync.core.errors import NotFound
from wanesync.core.operating.operators import Operator, OperatorRole
from wanesync.ops.access.users import check_name
from wanesync.store.database import Store, Tx
from wanesync.store.tables.operating.access import SessionRow

TOKEN_BYTES = 32
"""Of a cookie, a link and a token (OWASP ASVS 5.0, 7.2.3: at least 16)."""
SETUP_LINK_MS = 24 * 3_600_000
"""How long a set-up link works (our choice); each start without a user makes a new one."""
PASSWORD_LINK_MS = 3_600_000
"""How long a link to set a password works (our choice)."""
FRESH_MS = 5 * 60_000
"""How long a password counts for what a thief of the session must not do (our choice): a few clicks on a page."""
TOUCH_MS = 30_000
"""A session in use is noted so often: not at each request, which would be a write for each."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """When a session ends: without use, and in any case."""

    idle_ms: int = 30 * 60_000
    absolute_ms: int = 12 * 3_600_000


def make_secret() -> str:
    """Return a new random text for a cookie, a link or a token."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hash_secret(text: str) -> str:
    """Return what is stored of such a text: with 256 random bits it needs no slow hash."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def begin_session(tx: Tx, user: str, limits: SessionLimits, *, is_proved: bool = True) -> str:
    """Begin a session of a user and return its secret; remove the sessions that have ended.

    ``is_proved``: the user gave password and second factor for it.
    """
    secret = make_secret()
    tx.admin_sessions.drop_ended(tx.now_ms - limits.idle_ms, tx.now_ms - limits.absolute_ms)
    tx.admin_sessions.add(hash_secret(secret), user, is_proved=is_proved)
    tx.admin_users.set_seen(user)
    return secret


def is_fresh(session: SessionRow, now_ms: int) -> bool:
    """Return whether password and second factor were given lately; a user who has no password cannot give one."""
    return not session.has_password or now_ms - session.proved_ms <= FRESH_MS


def find_session(store: Store, secret: str, limits: SessionLimits, *, is_use: bool = True) -> SessionRow | None:
    """Return the session of a cookie if it has not ended, None otherwise; unless it is no use, note that it is used."""
    session_id = hash_secret(secret)
    found = store.read(lambda tx: tx.admin_sessions.get(session_id))
    now = store.now_ms()
    if found is None or _has_ended(found, now, limits):
        return None
    if is_use and now - found.seen_ms > min(TOUCH_MS, limits.idle_ms // 4):
        store.run(lambda tx: tx.admin_sessions.touch(session_id))
    return found


def is_session_open(store: Store, session_id: str, role: OperatorRole, limits: SessionLimits) -> bool:
    """Return whether a session has not ended, and its user still has this role; looking is no use of it."""
    found = store.read(lambda tx: tx.admin_sessions.get(session_id))
    return found is not None and found.role is role and not _has_ended(found, store.now_ms(), limits)


def _has_ended(session: SessionRow, now_ms: int, limits: SessionLimits) -> bool:
    return now_ms - session.seen_ms > limits.idle_ms or now_ms - session.created_ms > limits.absolute_ms


def list_sessions(store: Store, user: str) -> list[SessionRow]:
    """Return the sessions of a user, the newest first."""
    return store.read(lambda tx: tx.admin_sessions.of(user))


def end_session(store: Store, operator: Operator, session_id: str) -> None:
    """End a session of an operator's own. Raises NotFound."""

    def end(tx: Tx) -> None:
        found = tx.admin_sessions.get(session_id)
        if found is None or found.user != operator.name:
            raise NotFound("this session has ended already")
        tx.admin_sessions.drop(session_id)
        tx.audit.add(operator, "session.end", session_id[:12])

    store.run(end)


def end_sessions(store: Store, operator: Operator, name: str) -> int:
    """End every session of a user; return how many there were. Raises NotFound."""

    def end(tx: Tx) -> int:
        if tx.admin_users.get(name) is None:
            raise NotFound(f"there is no user {name}: wanesync admin user list")
        ended = len(tx.admin_sessions.of(name))
        tx.admin_sessions.drop_of(name)
        tx.audit.add(operator, "session.end_all", name, {"sessions": ended}, None)
        return ended

    return store.run(end)


def make_setup_link(store: Store) -> str:
    """Return the secret of a link that makes the first user, in place of an earlier one; "" if there is a user."""
    secret = make_secret()

    def make(tx: Tx) -> bool:
        if tx.admin_users.count():
            return False
        tx.admin_links.add(hash_secret(secret), "", tx.now_ms + SETUP_LINK_MS)
        return True

    return secret if store.run(make) else ""


def make_password_link(store: Store, operator: Operator, name: str) -> str:
    """Return the secret of a link by which a user sets a password. Raises NotFound."""
    secret, name = make_secret(), check_name(name)

    def make(tx: Tx) -> None:
        if tx.admin_users.get(name) is None:
            raise NotFound(f"there is no user {name}: wanesync admin user list")
        tx.admin_links.add(hash_secret(secret), name, tx.now_ms + PASSWORD_LINK_MS)
        tx.audit.add(operator, "user.password_link", name)

    store.run(make)
    return secret


def find_link(store: Store, secret: str) -> str | None:
    """Return whose password a link sets, "" for the first user's; None for a link that does not work."""
    found = store.read(lambda tx: tx.admin_links.get(hash_secret(secret)))
    return found.user if found else None
