"""Which part of a deployment needs which secret: no process resolves another one."""

from __future__ import annotations

from collections.abc import Mapping

from wanesync.config.alerts import ALERT_SECRETS
from wanesync.config.model import (
    API_KEYS,
    BUS_SECRETS,
    DOOR_SECRETS,
    HOOK_SECRETS,
    PROXY,
    STORE_SECRETS,
    WEBHOOK_SECRETS,
)
from wanesync.core.roles import HANDLERS, WORKERS, Role

BUS = frozenset(BUS_SECRETS)
DOOR = frozenset(DOOR_SECRETS) - set(WEBHOOK_SECRETS)
"""The secrets of every process that serves, but for those of its side's webhooks."""
ALERTS = frozenset({*ALERT_SECRETS, PROXY})
"""The secrets of every process that runs on and uses the database: each may have to send notices."""
SECRETS_OF: Mapping[Role, frozenset[str]] = {
    **{role: BUS | DOOR | {HOOK_SECRETS[side]} for side, role in HANDLERS.items()},
    Role.QUEUE: BUS | STORE_SECRETS | ALERTS,
    **{role: BUS | STORE_SECRETS | ALERTS | {API_KEYS[side]} for side, role in WORKERS.items()},
    Role.ADMIN: BUS | STORE_SECRETS | ALERTS,
    Role.MIGRATE: STORE_SECRETS,
    Role.INTAKE: STORE_SECRETS | set(DOOR_SECRETS) | ALERTS,
    Role.READ_ONLY: STORE_SECRETS,
}
"""Role -> the secrets of its processes, by key of the configuration."""
REQUIRED_OF: Mapping[Role, frozenset[str]] = {
    **{role: frozenset({HOOK_SECRETS[side]}) for side, role in HANDLERS.items()},
    **{role: frozenset({API_KEYS[side]}) for side, role in WORKERS.items()},
    Role.INTAKE: frozenset(WEBHOOK_SECRETS),
}
"""Role -> the secrets without which its processes do not start."""


def find_users(key: str) -> list[Role]:
    """Return the roles that need a secret."""
    return [role for role, keys in SECRETS_OF.items() if key in keys]
