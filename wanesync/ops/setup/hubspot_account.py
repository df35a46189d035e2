"""First set-up: what is made in HubSpot, and which steps come next."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wanesync.core.purchases import Sink
from wanesync.core.setup.portal_checks import SetupProblemKind
from wanesync.ops.writes import ON, read_switch
from wanesync.sync.loader import read_portal_state
from wanesync.worker.portal_check import PortalCheck

if TYPE_CHECKING:
    from wanesync.store.database import Store
    from wanesync.sync.runtime import Runtime


WEBHOOKS = {
    "hubspot.webhook_secret": "wanesync webhooks hubspot write DIR",
    "stripe.webhook_secret": "wanesync webhooks stripe create",
}
"""Key of a webhook secret -> the command by which it comes to be."""


def prepare_hubspot(runtime: Runtime, sink: str) -> list[str]:
    """Create what is missing of our properties and, if purchases become custom events, of their definition.

    ``sink``: ``purchases.sink`` of the configuration; ``auto`` means custom events where the account has them. Returns
    a line for each thing that was made. Raises CallError.
    """
    with_events = runtime.hubspot.can_define_events() if sink == "auto" else sink == Sink.CUSTOM_EVENT
    return list(runtime.hubspot.prepare(with_events=with_events))


def find_setup_problems(runtime: Runtime, event_name: str, *, prepared: bool) -> list[str]:
    """Return a line for each thing the HubSpot account lacks, and store them for the workers. Raises CallError.

    ``prepared``: our own properties were created just now; before that they are missing as they should be, and only
    the mapped ones are named.
    """
    check = PortalCheck(runtime, runtime.options.sink, event_name, threading.Event())
    found = check.check().problems
    return [problem.text for problem in found if prepared or problem.kind is SetupProblemKind.FIELD]


def is_prepared(store: Store) -> bool:
    """Whether the newest check found all of our own in HubSpot."""
    with store.reading() as tx:
        found = read_portal_state(tx).problems
    return all(problem.kind is SetupProblemKind.FIELD for problem in found)


def list_next_steps(store: Store, pending: Mapping[str, str], *, prepared: bool) -> list[tuple[str, str]]:
    """Return the commands that come next, each with what it is for.

    ``pending``: secrets that are not there yet, with their places. ``prepared``: HubSpot has our properties.
    """
    with store.reading() as tx:
        writes = read_switch(tx)
    steps = [] if prepared else [("wanesync init --hubspot", "create our properties in HubSpot (needed once)")]
    steps += [(command, f"then {pending[key]} holds its secret") for key, command in WEBHOOKS.items() if key in pending]
    steps += [
        ("wanesync diff", "show what differs between the two sides; changes nothing"),
        ("wanesync up", "keep both sides the same from now on"),
        ("wanesync doctor", "in a second terminal: check all of it, from the keys to the public address"),
    ]
    if writes != ON:
        steps.append(("wanesync writes on", "writes are off until you turn them on"))
    return steps
