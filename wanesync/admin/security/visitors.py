"""Who a request comes from, and what a route asks of that: ``visitor: Annotated[Visitor, require(Permission.SEE)]``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency

from wanesync.admin.security import csrf
from wanesync.admin.security.masking import Kind, mask
from wanesync.admin.security.permissions import Permission, is_allowed
from wanesync.core.errors import NotAllowed, NotSignedIn, ProofNeeded
from wanesync.core.operating.operators import Operator, OperatorRole, Via

FOREIGN = "this request did not come from a page of this session: load the page again and repeat it"


@dataclass(frozen=True, slots=True)
class Visitor:
    """An operator who is signed in. ``session_id``: of the session, "" for a token of the API.

    ``is_fresh``: password and second factor were given lately (``ops.access.logins.is_fresh``).
    """

    name: str
    role: OperatorRole
    via: Via
    csrf: str = field(default="", repr=False)
    session_id: str = ""
    is_fresh: bool = False

    @property
    def operator(self) -> Operator:
        """The author of a change, for the audit log."""
        return Operator(self.name, self.via)

    def may(self, permission: Permission | str) -> bool:
        """Return whether the role has a permission."""
        return is_allowed(self.role, Permission(permission))

    def mask(self, kind: Kind | str, text: str) -> str:
        """Return a person's value as it is shown before it is revealed."""
        return mask(kind, text)


_REQUIRED: dict[Callable[..., object], Permission] = {}


def require(permission: Permission, *, fresh: bool = False) -> Dependency:
    """Return the dependency that every route declares: who is signed in, and that he or she may do this.

    For a request that changes something it also checks the token of the session: the hidden field ``csrf`` of a form,
    or the header ``X-CSRF-Token``. ``fresh``: on a page password and second factor must have been given lately. Raises
    NotSignedIn, NotAllowed and ProofNeeded in the request.
    """

    async def find(request: Request) -> Visitor:
        visitor: Visitor | None = request.state.visitor
        if visitor is None:
            raise NotSignedIn("sign in first")
        if request.method not in csrf.SAFE_METHODS and visitor.via is not Via.API:
            await _check_token(request, visitor)
        if not visitor.may(permission):
            raise NotAllowed(f"the role {visitor.role} has no permission to {permission.replace('_', ' ')}")
        if fresh and visitor.via is Via.PAGE and not visitor.is_fresh:
            raise ProofNeeded("give your password again first")
        return visitor

    _remember(find, permission)
    found: Dependency = Depends(find)
    return found


def find_permission(call: Callable[..., object] | None) -> Permission | None:
    """Return the permission that a dependency asks for; None for any other dependency."""
    return _REQUIRED.get(call) if call else None


def _remember(find: Callable[[Request], Awaitable[Visitor]], permission: Permission) -> None:
    _REQUIRED[find] = permission


async def _check_token(request: Request, visitor: Visitor) -> None:
    given = request.headers.get(csrf.HEADER, "")
    if not given and request.headers.get("content-type", "").startswith(("application/x-www-form", "multipart/form")):
        field_value = (await request.form()).get(csrf.FIELD, "")
        given = field_value if isinstance(field_value, str) else ""
    if not csrf.matches(visitor.csrf, given):
        raise NotAllowed(FOREIGN)
