"""Bearer tokens of the API: made, listed and revoked, each with a role and an end."""

from __future__ import annotations

import hmac

from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.operating.operators import MAX_NAME_CHARS, Operator, OperatorRole, Via
from wanesync.ops.access.logins import hash_secret, make_secret
from wanesync.store.database import Store, Tx
from wanesync.store.tables.operating.access import TokenRow

PREFIX = "wane_"
"""By it a scanner of published code recognises a token."""
MAX_DAYS = 366
"""Longest life of a token (our choice)."""
DAY_MS = 86_400_000
_KEPT_MS = 30 * DAY_MS
"""How long an expired token is listed."""
_TOUCH_MS = 60_000


def create_token(store: Store, operator: Operator, name: str, role: OperatorRole, days: int) -> tuple[TokenRow, str]:
    """Make a token; return its row and the token, which is shown this once.

    ``name``: what uses it; it is the operator of its changes. One that a user makes on a page never may more than that
    user may at the time, and ends with the user. Raises ConfigError.
    """
    if not name.strip() or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise ConfigError([f"name: 1 to {MAX_NAME_CHARS} characters that say what uses the token"])
    if not 1 <= days <= MAX_DAYS:
        raise ConfigError([f"days: a token lives 1 to {MAX_DAYS} days"])
    secret = make_secret()

    def create(tx: Tx) -> TokenRow:
        tx.admin_tokens.drop_ended(tx.now_ms - _KEPT_MS)
        # The id is a part of the token, by which its row is found; it opens nothing.
        token_id = make_secret()[:12].replace("_", "-")
        ends_ms, owner = tx.now_ms + days * DAY_MS, "" if operator.via in {Via.CLI, Via.SYSTEM} else operator.name
        token = TokenRow(token_id, name.strip(), role, hash_secret(secret), operator.name, tx.now_ms, ends_ms, 0, owner)
        tx.admin_tokens.add(token)
        tx.audit.add(operator, "token.create", token_id, None, {"name": token.name, "role": role, "days": days})
        return token

    token = store.run(create)
    return token, f"{PREFIX}{token.id}_{secret}"


def list_tokens(store: Store) -> list[TokenRow]:
    """Return all tokens, the newest first; expired ones for another 30 days."""
    return store.read(lambda tx: tx.admin_tokens.get_all())


def revoke_token(store: Store, operator: Operator, token_id: str) -> None:
    """Remove a token: it opens nothing from the next request on. Raises NotFound."""

    def revoke(tx: Tx) -> None:
        token = tx.admin_tokens.get(token_id)
        if token is None:
            raise NotFound(f"there is no token {token_id}: wanesync admin token list")
        tx.admin_tokens.drop(token_id)
        tx.audit.add(operator, "token.revoke", token_id, {"name": token.name, "role": token.role}, None)

    store.run(revoke)


def find_token(store: Store, text: str) -> TokenRow | None:
    """Return the token of a request if it is known and has not ended, and note its use; None otherwise.

    It has ended when its time is over or its owner is gone; ``role_now`` is what it may do.
    """
    token_id, _, secret = text.removeprefix(PREFIX).partition("_")
    if not text.startswith(PREFIX) or not secret:
        return None
    found = store.read(lambda tx: tx.admin_tokens.get(token_id))
    now = store.now_ms()
    if found is None or not hmac.compare_digest(found.hash, hash_secret(secret)) or found.expires_ms <= now:
        return None
    if found.role_now is None:
        return None
    if now - found.used_ms > _TOUCH_MS:
        store.run(lambda tx: tx.admin_tokens.touch(token_id))
    return found
