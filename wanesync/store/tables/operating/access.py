"""Who may use the admin service: users, sessions, tokens of the API, links that work once, and counted guesses.

Nothing that opens the service is stored as it is: of cookies, tokens and links there are hashes (each has 256 random
bits, so that a plain SHA-256 cannot be guessed back), the rest lies encrypted in ``admin_users.secrets``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from wanesync.core.operating.operators import OperatorRole
from wanesync.store.codec import pack
from wanesync.store.session import Row, Table

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user of the admin service. ``seen_ms``: of the last log-in, 0 before the first."""

    name: str
    role: OperatorRole
    has_password: bool
    has_totp: bool
    created_ms: int
    seen_ms: int


@dataclass(frozen=True, slots=True)
class UserSecrets:
    """What a user proves who he or she is with. "" and () for what there is not.

    ``password``: its argon2 hash. ``totp``: the secret of the second factor in base32; ``new_totp``: one that is not
    confirmed by a code yet; ``totp_step``: the newest time step whose code was used. ``recovery``: hashes of the codes.
    """

    password: str = field(default="", repr=False)
    totp: str = field(default="", repr=False)
    new_totp: str = field(default="", repr=False)
    totp_step: int = 0
    recovery: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session of a user. ``id``: the SHA-256 of its cookie; ``role``: None in a list.

    ``proved_ms``: when the user gave password and second factor last, 0 for never; ``has_password``: whether there is
    one to be given (False in a list).
    """

    id: str
    user: str
    created_ms: int
    seen_ms: int
    role: OperatorRole | None
    proved_ms: int = 0
    has_password: bool = False


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token of the API. ``used_ms``: 0 if it was not used yet.

    ``owner``: the user who made it on a page, "" for one made in the terminal; ``owner_role``: the role that user has
    now, None without such a user.
    """

    id: str
    name: str
    role: OperatorRole
    hash: str = field(repr=False)
    made_by: str
    created_ms: int
    expires_ms: int
    used_ms: int
    owner: str = ""
    owner_role: OperatorRole | None = None

    @property
    def role_now(self) -> OperatorRole | None:
        """What it may do now: never more than its owner; None if the owner is gone."""
        if not self.owner:
            return self.role
        return None if self.owner_role is None else min(self.role, self.owner_role, key=[*OperatorRole].index)


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link that works once. ``user``: whose password it sets, "" for the first user of all."""

    user: str
    expires_ms: int


class Users(Table):
    """The table ``admin_users``."""

    __slots__ = ()

    def get(self, name: str) -> UserRow | None:
        """Return a user; None without one."""
        row = self._session.row("admin_user", name=name)
        return _user(row) if row else None

    def get_all(self) -> list[UserRow]:
        """Return all users by name; in a transaction that writes they are locked."""
        # Two admins who remove one another at once must not both find another admin.
        query = "lock_admin_users" if self._session.writing else "admin_users"
        return [_user(row) for row in self._session.rows(query)]

    def count(self) -> int:
        """Return how many users there are."""
        return self._session.number("count_admin_users")

    def add(self, name: str, role: OperatorRole, secrets: UserSecrets) -> bool:
        """Add a user; False if the name is taken."""
        added = self._session.row(
            "add_admin_user", name=name, role=role, now=self._session.now_ms, **self._seal(name, secrets)
        )
        return added is not None

    def secrets(self, name: str) -> UserSecrets | None:
        """Return the secrets of a user, locked in a transaction that writes; None without the user."""
        # Two codes that are sent at once must not both count.
        query = "lock_admin_user_secrets" if self._session.writing else "admin_user_secrets"
        row = self._session.row(query, name=name)
        if row is None:
            return None
        plain = orjson.loads(self._session.encryption.decrypt(row[0], "admin_users", name, "secrets"))
        return UserSecrets(**plain)

    def set_secrets(self, name: str, secrets: UserSecrets) -> None:
        """Replace the secrets of a user."""
        self._session.rows("set_admin_user_secrets", name=name, **self._seal(name, secrets))

    def set_role(self, name: str, role: OperatorRole) -> None:
        """Give a user another role; it counts from the next request on."""
        self._session.rows("set_admin_user_role", name=name, role=role)

    def set_seen(self, name: str) -> None:
        """Note a log-in."""
        self._session.rows("set_admin_user_seen", name=name, now=self._session.now_ms)

    def drop(self, name: str) -> bool:
        """Remove a user; False if there is none."""
        return self._session.row("drop_admin_user", name=name) is not None

    def _seal(self, name: str, secrets: UserSecrets) -> dict[str, bytes | int]:
        plain = pack(
            {
                "password": secrets.password,
                "totp": secrets.totp,
                "new_totp": secrets.new_totp,
                "totp_step": secrets.totp_step,
                "recovery": list(secrets.recovery),
            }
        )
        return {
            "secrets": self._session.encryption.encrypt(plain, "admin_users", name, "secrets"),
            "can_sign_in": int(bool(secrets.password)),
            "has_totp": int(bool(secrets.totp)),
        }


class Sessions(Table):
    """The table ``admin_sessions``."""

    __slots__ = ()

    def add(self, session_id: str, user: str, *, is_proved: bool = True) -> None:
        """Begin a session. ``is_proved``: the user gave password and second factor for it."""
        now = self._session.now_ms
        self._session.rows("add_admin_session", id=session_id, name=user, now=now, proved_ms=now if is_proved else 0)

    def prove(self, session_id: str) -> None:
        """Note that the user of a session gave password and second factor again."""
        self._session.rows("prove_admin_session", id=session_id, now=self._session.now_ms)

    def get(self, session_id: str) -> SessionRow | None:
        """Return a session with the role of its user; None without one."""
        row = self._session.row("admin_session", id=session_id)
        return _session(row) if row else None

    def of(self, user: str) -> list[SessionRow]:
        """Return the sessions of a user, the newest first."""
        return [_session(row) for row in self._session.rows("admin_sessions_of", name=user)]

    def touch(self, session_id: str) -> None:
        """Note that a session was used."""
        self._session.rows("touch_admin_session", id=session_id, now=self._session.now_ms)

    def drop(self, session_id: str) -> None:
        """End a session."""
        self._session.rows("drop_admin_session", id=session_id)

    def drop_of(self, user: str, but: str = "") -> None:
        """End the sessions of a user, but one."""
        self._session.rows("drop_admin_sessions_of", name=user, but=but)

    def drop_ended(self, seen_ms: int, created_ms: int) -> None:
        """Remove the sessions that were last used, or begun, before these times."""
        self._session.rows("drop_ended_admin_sessions", seen_ms=seen_ms, created_ms=created_ms)


class Tokens(Table):
    """The table ``admin_tokens``."""

    __slots__ = ()

    def add(self, token: TokenRow) -> None:
        """Add a token, made now."""
        self._session.rows(
            "add_admin_token",
            id=token.id,
            name=token.name,
            role=token.role,
            hash=token.hash,
            made_by=token.made_by,
            now=self._session.now_ms,
            expires_ms=token.expires_ms,
            owner=token.owner,
        )

    def get(self, token_id: str) -> TokenRow | None:
        """Return a token; None without one."""
        row = self._session.row("admin_token", id=token_id)
        return _token(row) if row else None

    def get_all(self) -> list[TokenRow]:
        """Return all tokens, the newest first."""
        return [_token(row) for row in self._session.rows("admin_tokens")]

    def touch(self, token_id: str) -> None:
        """Note that a token was used."""
        self._session.rows("touch_admin_token", id=token_id, now=self._session.now_ms)

    def drop(self, token_id: str) -> bool:
        """Remove a token; False if there is none."""
        return self._session.row("drop_admin_token", id=token_id) is not None

    def drop_of(self, owner: str) -> int:
        """Remove the tokens of a user; return how many there were."""
        return len(self._session.rows("drop_admin_tokens_of", name=owner))

    def drop_ended(self, before_ms: int) -> None:
        """Remove the tokens that expired before a time."""
        self._session.rows("drop_ended_admin_tokens", before_ms=before_ms)


class OneTimeLinks(Table):
    """The table ``admin_links``."""

    __slots__ = ()

    def add(self, link_hash: str, user: str, expires_ms: int) -> None:
        """Add a link, in place of those of the same user; remove those that expired."""
        self.drop_of(user)
        self._session.rows("add_admin_link", hash=link_hash, name=user, expires_ms=expires_ms)

    def get(self, link_hash: str) -> LinkRow | None:
        """Return a link that has not expired; None without one."""
        return self._valid(self._session.row("admin_link", hash=link_hash))

    def take(self, link_hash: str) -> LinkRow | None:
        """Return a link that has not expired and remove it: in the one transaction that succeeds; None in any other."""
        return self._valid(self._session.row("take_admin_link", hash=link_hash))

    def drop_of(self, user: str) -> None:
        """Remove the links of a user, and every link that expired."""
        self._session.rows("drop_admin_links_of", name=user, now=self._session.now_ms)

    def _valid(self, row: Row | None) -> LinkRow | None:
        return LinkRow(row[0], row[1]) if row and row[1] > self._session.now_ms else None


class Guesses(Table):
    """The table ``admin_guesses``."""

    __slots__ = ()

    def count(self, subject: str, span_ms: int) -> int:
        """Count a guess; return how many there were in the span up to now, rounded up to whole minutes, with this one.

        Processes that count the same subject at once wait for one another.
        """
        now = self._session.now_ms
        minute = now - now % MINUTE_MS
        self._session.rows("count_admin_guess", subject=subject, minute_ms=minute)
        return self._session.number("admin_guesses_since", subject=subject, since_ms=minute - span_ms)

    def give_back(self, subject: str) -> None:
        """Take back a guess of this minute."""
        minute = self._session.now_ms - self._session.now_ms % MINUTE_MS
        self._session.rows("give_back_admin_guess", subject=subject, minute_ms=minute)

    def drop_old(self, before_ms: int) -> None:
        """Remove what was counted before a time."""
        self._session.rows("drop_admin_guesses", before_ms=before_ms)


def _user(row: Row) -> UserRow:
    name, role, has_password, has_totp, created_ms, seen_ms = row
    return UserRow(name, OperatorRole(role), bool(has_password), bool(has_totp), created_ms, seen_ms)


def _session(row: Row) -> SessionRow:
    session_id, user, created_ms, seen_ms, role, proved_ms, has_password = row
    found = OperatorRole(role) if role else None
    return SessionRow(session_id, user, created_ms, seen_ms, found, proved_ms, bool(has_password))


def _token(row: Row) -> TokenRow:
    token_id, name, role, digest, made_by, created_ms, expires_ms, used_ms, owner, owner_role = row
    found = OperatorRole(owner_role) if owner_role else None
    return TokenRow(token_id, name, OperatorRole(role), digest, made_by, created_ms, expires_ms, used_ms, owner, found)
