"""The webhook endpoint at Stripe: found by its address or our mark, adopted, created once, replaced, removed.

docs/operating.md#webhooks
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wanesync.core.errors import CallError, ConfigError, Failure, NotFound
from wanesync.core.setup.setup_facts import Endpoint, EndpointWish
from wanesync.ops.checks.webhooks import STRIPE_PATH, is_same_address

if TYPE_CHECKING:
    from wanesync.core.setup.setup_facts import StripeSetupPort

MARK = "wanesync"
"""Metadata key of our endpoints; its value is the HubSpot portal, so that two installations keep apart."""
MAX_ENDPOINTS = 16
"""Endpoints of an account and mode (docs.stripe.com/webhooks)."""
UNKNOWN = (Failure.NO_ANSWER, Failure.UNAVAILABLE, Failure.SERVER)
"""Failures after which an endpoint may have been created all the same."""


class Made(StrEnum):
    """What was done about the endpoint."""

    CREATED = "created"
    ADOPTED = "changed"
    KEPT = "kept as it is"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class EndpointResult:
    """The endpoint as it stands now. ``endpoint.secret`` is known where it was created or replaced."""

    endpoint: Endpoint
    made: Made
    old_version: str = ""


def make_wish(public_url: str | None, events: Sequence[str], version: str, portal: str) -> EndpointWish:
    """Return the endpoint that a configuration needs. Raises ``ConfigError`` where it cannot be named."""
    problems = []
    if not public_url:
        problems.append("server.public_url: is needed for this: the address at which Stripe reaches wanesync serve")
    if not portal:
        problems.append("hubspot.portal_id: is not known yet: set it, or run wanesync init once")
    if problems or not public_url:
        raise ConfigError(problems)
    return EndpointWish(public_url.rstrip("/") + STRIPE_PATH, tuple(sorted(events)), version, {MARK: portal})


def is_ours(endpoint: Endpoint, wish: EndpointWish) -> bool:
    """Return whether an endpoint leads to our address, or carries our mark."""
    marked = (endpoint.metadata or {}).get(MARK) == wish.metadata[MARK]
    return marked or is_same_address(endpoint.url, wish.url)


def find_ours(port: StripeSetupPort, wish: EndpointWish) -> Endpoint | None:
    """Return our endpoint, None without one. Raises ``ConfigError`` for several, ``CallError``."""
    found = [endpoint for endpoint in port.list_endpoints() if is_ours(endpoint, wish)]
    if len(found) > 1:
        names = ", ".join(endpoint.id for endpoint in found)
        advice = f"keep one: wanesync webhooks stripe remove {found[-1].id}"
        raise ConfigError([f"Stripe has {len(found)} endpoints for this installation ({names}): {advice}"])
    return found[0] if found else None


def ensure_endpoint(port: StripeSetupPort, wish: EndpointWish, *, replace: bool) -> EndpointResult:
    """Create the endpoint, or change the one that stands; ``replace``: create it anew and delete the old one.

    Raises ``ConfigError`` for several endpoints of ours, ``CallError``.
    """
    found = find_ours(port, wish)
    if found is None:
        # Two runs at a time send the same key, and get the same endpoint.
        made = _create(port, wish, _make_key(wish))
        if made.id not in {endpoint.id for endpoint in port.list_endpoints()}:
            # Stripe repeated the answer of a day ago, of an endpoint that was removed since.
            made = _create(port, wish, _make_key(wish, secrets.token_hex(8)))
        return EndpointResult(made, Made.CREATED)
    if replace:
        made = _create(port, wish, _make_key(wish, secrets.token_hex(8)))
        port.delete_endpoint(found.id)
        return EndpointResult(made, Made.REPLACED, found.version)
    same = (found.url, tuple(sorted(found.events)), found.enabled) == (wish.url, wish.events, True)
    if same and (found.metadata or {}).get(MARK) == wish.metadata[MARK]:
        return EndpointResult(found, Made.KEPT, found.version)
    return EndpointResult(port.update_endpoint(found.id, wish), Made.ADOPTED, found.version)


def _create(port: StripeSetupPort, wish: EndpointWish, key: str) -> Endpoint:
    """Create it once: where the answer is lost, the same key asks for the same endpoint again.

    Raises ``ConfigError`` where Stripe keeps as many as it takes, ``CallError``.
    """
    try:
        return port.create_endpoint(wish, key)
    except CallError as error:
        if error.failure is Failure.REFUSED and len(port.list_endpoints()) >= MAX_ENDPOINTS:
            advice = "wanesync webhooks stripe list shows them; delete one that is not used, then repeat this"
            raise ConfigError([f"Stripe keeps {MAX_ENDPOINTS} endpoints, and all are taken: {advice}"]) from error
        if error.failure not in UNKNOWN:
            raise
    return port.create_endpoint(wish, key)


def _make_key(wish: EndpointWish, salt: str = "") -> str:
    content = json.dumps([wish.url, wish.events, wish.version, dict(wish.metadata), salt])
    return f"wane-hook-{hashlib.blake2b(content.encode(), digest_size=16).hexdigest()}"


def choose_removable(port: StripeSetupPort, wish: EndpointWish, endpoint_id: str | None) -> Endpoint:
    """Return the endpoint to remove: the named one, which must be ours, or the only one of ours.

    Raises ``NotFound``, ``ConfigError`` and ``CallError``.
    """
    if endpoint_id is None:
        found = find_ours(port, wish)
        if found is None:
            raise NotFound(f"Stripe has no endpoint for {wish.url}: wanesync webhooks stripe list shows all")
        return found
    listed = {endpoint.id: endpoint for endpoint in port.list_endpoints()}
    named = listed.get(endpoint_id)
    if named is None:
        raise NotFound(f"Stripe has no endpoint {endpoint_id}: wanesync webhooks stripe list shows all")
    if not is_ours(named, wish):
        raise ConfigError([f"{endpoint_id} leads to {named.url} and is not of this installation: delete it in Stripe"])
    return named
