"""Single sign-on: a proxy in front has signed the user in and names him or her in a header.

The header counts from the proxies of ``[admin] trusted_proxies`` alone; from any other machine it is a claim.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from wanesync.admin.security import csrf
from wanesync.admin.security.visitors import Visitor
from wanesync.admin.services import AdminServices
from wanesync.core.errors import ConfigError, NotAllowed
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.access.logins import begin_session, hash_secret
from wanesync.ops.access.users import check_name
from wanesync.store.database import Tx
from wanesync.store.tables.operating.access import UserRow, UserSecrets


@dataclass(frozen=True, slots=True)
class SignOn:
    """Who a request comes from. ``secret``: of a session that was begun for it, "" for one that was there."""

    visitor: Visitor | None
    secret: str = ""


def sign_on(services: AdminServices, request: Request, visitor: Visitor | None) -> SignOn:
    """Return who a trusted proxy names, or who was found by the session where none is named. Raises NotAllowed."""
    header = services.access.sign_on_header
    if not header or not services.access.proxies.trusts(request.client.host if request.client else ""):
        return SignOn(visitor)
    named = request.headers.getlist(header)
    if not named:
        return SignOn(visitor)
    if len(named) > 1:
        raise NotAllowed("the header of single sign-on came twice: the proxy must remove what a browser sends")
    try:
        name = check_name(named[0].strip())
    except ConfigError:
        raise NotAllowed("single sign-on named a user whose name cannot be used here") from None
    if visitor is not None and visitor.name == name:
        return SignOn(visitor)
    return _begin(services, name)


def _begin(services: AdminServices, name: str) -> SignOn:
    def begin(tx: Tx) -> tuple[UserRow, str]:
        user = tx.admin_users.get(name)
        if user is None and services.access.sign_on_role is not None:
            role = services.access.sign_on_role
            if tx.admin_users.add(name, role, UserSecrets()):
                by = {"role": role, "by": "single sign-on"}
                tx.audit.add(Operator(name, Via.PAGE), "user.add", name, None, by)
            user = tx.admin_users.get(name)
        if user is None:
            raise NotAllowed(f"{name} is no user of this service: an admin adds users")
        secret = begin_session(tx, name, services.access.limits, is_proved=False)
        tx.audit.add(Operator(name, Via.PAGE), "session.begin", name, None, {"by": "single sign-on"})
        return user, secret

    user, secret = services.store.run(begin)
    session_id, is_fresh = hash_secret(secret), not user.has_password
    return SignOn(Visitor(name, user.role, Via.PAGE, csrf.make_token(secret), session_id, is_fresh=is_fresh), secret)
