"""What may be done, and which role may do it (docs/admin.md#roles)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from wanesync.core.operating.operators import OperatorRole


class Permission(StrEnum):
    """One kind of action. ``SEE``: pages with masked values; ``REVEAL``: one value in plain, each time audited."""

    SEE = "see"
    ACCOUNT = "account"  # one's own password, second factor and sessions
    REVEAL = "reveal"
    SEE_LOGS = "see_logs"
    EXPORT = "export"
    PAUSE = "pause"
    WRITES = "writes"
    RETRY = "retry"
    DISCARD = "discard"
    RESOLVE = "resolve"  # conflicts, and ambiguous matches
    LINK = "link"
    HOLDS = "holds"
    RECONCILE = "reconcile"  # plan and watch
    APPROVE = "approve"
    CHANGE_LIMITS = "change_limits"
    EXCEED_LIMITS = "exceed_limits"  # above what a vendor publishes
    TEST_ALERTS = "test_alerts"
    CHANGE_ALERTS = "change_alerts"
    USERS = "users"
    TOKENS = "tokens"
    SEE_AUDIT = "see_audit"


_VIEWER = frozenset({Permission.SEE, Permission.ACCOUNT, Permission.SEE_LOGS})
_OPERATOR = _VIEWER | {
    Permission.REVEAL,
    Permission.EXPORT,
    Permission.PAUSE,
    Permission.RETRY,
    Permission.DISCARD,
    Permission.RESOLVE,
    Permission.LINK,
    Permission.HOLDS,
    Permission.RECONCILE,
    Permission.APPROVE,
    Permission.CHANGE_LIMITS,
    Permission.TEST_ALERTS,
}
PERMISSIONS: Mapping[OperatorRole, frozenset[Permission]] = {
    OperatorRole.VIEWER: _VIEWER,
    OperatorRole.OPERATOR: _OPERATOR,
    OperatorRole.ADMIN: frozenset(Permission),
}


def is_allowed(role: OperatorRole, permission: Permission) -> bool:
    """Return whether a role has a permission."""
    return permission in PERMISSIONS[role]
