"""Signing in: one answer and one amount of work for every wrong one, whatever was wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from wanesync.admin.security import totp
from wanesync.admin.security.visitors import Visitor
from wanesync.admin.services import AdminServices
from wanesync.core.errors import NotSignedIn
from wanesync.core.operating.operators import MAX_NAME_CHARS, Operator, Via
from wanesync.ops.access.guesses import count_guess, find_subjects, give_back
from wanesync.ops.access.logins import begin_session
from wanesync.store.database import Tx
from wanesync.store.tables.operating.access import UserSecrets

WRONG = "the name, the password or the code is wrong"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was typed into the page, and where it came from. ``device``: a browser that is recognised, or ""."""

    name: str
    password: str = field(repr=False)
    code: str = field(repr=False)
    address: str
    device: str = ""


def sign_in(services: AdminServices, attempt: Attempt) -> str:
    """Begin a session; return its secret. Raises NotSignedIn and TooManyGuesses."""
    store, name = services.store, attempt.name.strip().lower()[:MAX_NAME_CHARS]
    subjects = find_subjects(store, name, attempt.address, device=attempt.device)
    count_guess(store, subjects)
    known = store.run(lambda tx: tx.admin_users.secrets(name))
    # Compared outside of a transaction, for it takes a tenth of a second.
    matches = services.passwords.matches(known.password if known else "", attempt.password)

    def begin(tx: Tx) -> str | None:
        now = tx.admin_users.secrets(name)
        if not matches or now is None or known is None or now.password != known.password:
            return None
        kept = _use_code(now, attempt.code, tx.now_ms)
        if kept is None:
            return None
        if kept != now:
            tx.admin_users.set_secrets(name, kept)
        give_back(tx, subjects)
        secret = begin_session(tx, name, services.access.limits)
        tx.audit.add(Operator(name, Via.PAGE), "session.begin", name)
        return secret

    secret = store.run(begin)
    if secret is None:
        raise NotSignedIn(WRONG)
    return secret


def note_refusal(services: AdminServices, typed: str) -> None:
    """Note a refused log-in of a user who exists, after it was answered: that takes time, which would tell who exists.

    Of any other name nothing is noted: people type passwords where the name belongs.
    """
    name = typed.strip().lower()[:MAX_NAME_CHARS]

    def note(tx: Tx) -> None:
        if tx.admin_users.get(name) is not None:
            tx.audit.add(Operator(name, Via.PAGE), "session.refused", name)

    services.store.run(note)


def prove_again(services: AdminServices, visitor: Visitor, password: str, code: str, address: str) -> None:
    """Note on a session that its user gave password and second factor again. Raises NotSignedIn and TooManyGuesses."""
    store, name = services.store, visitor.name
    subjects = find_subjects(store, name, address)
    count_guess(store, subjects)
    known = store.read(lambda tx: tx.admin_users.secrets(name))
    matches = services.passwords.matches(known.password if known else "", password)

    def note(tx: Tx) -> bool:
        now = tx.admin_users.secrets(name)
        kept = _use_code(now, code, tx.now_ms) if now else None
        if not matches or known is None or now is None or kept is None or now.password != known.password:
            return False
        if kept != now:
            tx.admin_users.set_secrets(name, kept)
        give_back(tx, subjects)
        tx.admin_sessions.prove(visitor.session_id)
        tx.audit.add(visitor.operator, "session.prove", name)
        return True

    if not store.run(note):
        raise NotSignedIn("the password or the code is wrong")


def prove_password(services: AdminServices, name: str, password: str, address: str) -> None:
    """Check the password of a user who is signed in, before what a thief of the session must not do.

    Counted like a log-in. Raises NotSignedIn and TooManyGuesses.
    """
    store = services.store
    subjects = find_subjects(store, name, address)
    count_guess(store, subjects)
    known = store.read(lambda tx: tx.admin_users.secrets(name))
    if not services.passwords.matches(known.password if known else "", password):
        raise NotSignedIn("the current password is wrong")
    store.run(lambda tx: give_back(tx, subjects))


def _use_code(secrets: UserSecrets, code: str, now_ms: int) -> UserSecrets | None:
    """Return the secrets after a code was used; as they are without a second factor; None for a wrong code."""
    if not secrets.totp:
        return secrets
    step = totp.find_step(secrets.totp, code, now_ms, secrets.totp_step)
    if step:
        return replace(secrets, totp_step=step)
    used = totp.hash_code(code)
    if code and used in secrets.recovery:
        return replace(secrets, recovery=tuple(one for one in secrets.recovery if one != used))
    return None
