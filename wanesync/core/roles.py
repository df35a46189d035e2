"""The parts of a deployment. A role names a part's Unix user, its broker role and its database role alike."""

from __future__ import annotations

from enum import StrEnum

from wanesync.core.model import Side


class Role(StrEnum):
    """One part of a deployment. Its Unix user is ``wanesync-ROLE``.

    A handler receives the webhooks of one side and hands them to the bus. ``INTAKE`` is a ``serve`` that writes to the
    database itself, ``MIGRATE`` changes the schema, ``ADMIN`` reads what an operator sees, ``READ_ONLY`` reads all.
    """

    HUBSPOT_HANDLER = "hubspot-handler"
    STRIPE_HANDLER = "stripe-handler"
    QUEUE = "queue"
    HUBSPOT_WORKER = "hubspot-worker"
    STRIPE_WORKER = "stripe-worker"
    ADMIN = "admin"
    MIGRATE = "migrate"
    INTAKE = "intake"
    READ_ONLY = "read-only"


HANDLERS = {Side.HUBSPOT: Role.HUBSPOT_HANDLER, Side.STRIPE: Role.STRIPE_HANDLER}
"""Side -> the role that receives its webhooks for the bus."""
WORKERS = {Side.HUBSPOT: Role.HUBSPOT_WORKER, Side.STRIPE: Role.STRIPE_WORKER}
"""Side -> the role that makes its calls."""
BUS_ROLES = (*HANDLERS.values(), Role.QUEUE, *WORKERS.values(), Role.ADMIN)
"""The roles that have a credential of the broker."""
