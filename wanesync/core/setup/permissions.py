"""What both keys must be allowed to do for one configuration, right by right, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wanesync.core.purchases import Sink

READ_CONTACTS, WRITE_CONTACTS = "crm.objects.contacts.read", "crm.objects.contacts.write"
DEFINE_PROPERTIES = "crm.schemas.contacts.write"
DEFINE_EVENTS, SEND_EVENTS = "behavioral_events.event_definitions.read_write", "analytics.behavioral_events.send"
BASE_SCOPE = "oauth"
"""Every project app must ask for it (HubSpot, app configuration); no call of ours needs it."""


class Need(StrEnum):
    """When a right is needed."""

    ALWAYS = "always"
    SETUP = "set-up only"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Right:
    """One right of a key. ``name``: as the vendor names it; ``level``: of Stripe, ``Read`` or ``Write``."""

    name: str
    reason: str
    need: Need = Need.ALWAYS
    level: str = ""


def list_scopes(sink: Sink | None) -> list[Right]:
    """Return the scopes of the HubSpot app. ``sink``: how purchases are recorded, None: custom events if possible."""
    scopes = [
        Right(BASE_SCOPE, "every project app asks for it"),
        Right(READ_CONTACTS, "read contacts, their notes, the definitions of properties and their rules"),
        Right(WRITE_CONTACTS, "create and update contacts and the notes of purchases"),
        Right(DEFINE_PROPERTIES, "create our properties, by wanesync init --hubspot", Need.SETUP),
    ]
    if sink in (None, Sink.CUSTOM_EVENT):
        need = Need.ALWAYS if sink else Need.OPTIONAL
        scopes += [
            Right(DEFINE_EVENTS, "define the event of purchases and see that it is there", need),
            Right(SEND_EVENTS, "record purchases as custom events", need),
        ]
    return scopes


def list_permissions() -> list[Right]:
    """Return the permissions of the restricted Stripe key; all others stay at None."""
    return [
        Right("Customers", "read, create and update customers; nothing is deleted", level="Write"),
        Right("Charges and Refunds", "read purchases", level="Read"),
        Right("Events", "find changes whose webhook was missed", level="Read"),
        Right(
            "Webhook Endpoints",
            "let wanesync doctor compare the endpoint with this configuration",
            Need.OPTIONAL,
            "Read",
        ),
        Right(
            "Webhook Endpoints",
            "wanesync webhooks stripe create and remove; better in a second key that is deleted afterwards",
            Need.SETUP,
            "Write",
        ),
    ]


READ_RESOURCES = {"customers": "Customers", "charges": "Charges and Refunds", "events": "Events"}
"""Path of a list -> the permission that reading it needs (docs.stripe.com/keys/restricted-api-keys)."""
