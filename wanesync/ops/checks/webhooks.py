"""Checks of the webhooks: what arrived and what was refused, the field map, and the endpoint of Stripe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side
from wanesync.core.setup.api_versions import has_known_customer
from wanesync.ops.checks.accounts import describe_failure
from wanesync.ops.checks.findings import Finding, fail, ok, warn
from wanesync.ops.health.web_door import find_webhook_alarms, read_webhooks
from wanesync.terminal import format_duration, pluralize

if TYPE_CHECKING:
    from wanesync.core.fields import FieldMap
    from wanesync.core.model import Event
    from wanesync.core.setup.setup_facts import Endpoint, HubSpotSetupPort, RecentChange, StripeSetupPort
    from wanesync.store.database import Store

STRIPE_PATH = "/webhooks/stripe"
HUBSPOT_PATH = "/webhooks/hubspot"
RECENT_S = 86_400
"""Webhooks of the last day show that some sender reaches us."""
DAY_MS = 86_400_000
GRACE_MS = 120_000
"""A younger change may still be on its way (as for the count of missed webhooks)."""
NEAR_MS = 60_000
"""How far the time of an event may be from that of the change in HubSpot's history (our choice)."""
MAX_EVENTS = 2_000
"""Newest events in which properties are looked for (our choice)."""
MEND = "wanesync webhooks stripe create mends it"


def check_arrivals(store: Store, fields: FieldMap) -> Iterator[Finding]:
    """Check what arrived on both sides, and HubSpot's property changes against the field map."""
    with store.reading() as tx:
        states, alarms = read_webhooks(tx), find_webhook_alarms(tx)
        events = tx.events.latest(Side.HUBSPOT, MAX_EVENTS)
    seen = {name.rpartition("/")[2] for event in events for name in event.values}
    for side in Side:
        check = f"{side} webhooks"
        wrong = [alarm for alarm in alarms if alarm.what.startswith(f"{side}: ")]
        for alarm in wrong:
            yield fail(check, alarm.what.removeprefix(f"{side}: "), alarm.way_out)
        last_s = states[side].last_s
        if last_s is None and not wrong:
            yield warn(check, "none has arrived yet", _advise_first(side))
        elif last_s is not None and not wrong:
            came = f"the last one came {format_duration(last_s * 1000)} ago"
            unseen = _find_unseen(fields, seen) if side is Side.HUBSPOT else []
            yield ok(check, f"{came}; no change yet of {', '.join(unseen)}" if unseen else came)


def check_subscriptions(port: HubSpotSetupPort, store: Store, fields: FieldMap) -> Iterator[Finding]:
    """Compare HubSpot's history of the last day with the webhooks that came: a property without any is not subscribed.

    Only changes before the newest webhook count, and those that had time to arrive.
    """
    check = "hubspot subscriptions"
    names = [name for spec in fields.specs for name in spec.hubspot]
    now_ms = store.now_ms()
    since_ms = now_ms - DAY_MS
    with store.reading() as tx:
        last_s = read_webhooks(tx)[Side.HUBSPOT].last_s
    if last_s is None:
        return
    try:
        changes = port.read_recent_changes(since_ms, names)
    except CallError:
        yield ok(check, "not compared: HubSpot does not show the recent changes to this token")
        return
    until_ms = min(now_ms - GRACE_MS, now_ms - round(last_s * 1000))
    due = [change for change in changes if change.at_ms <= until_ms and change.property in names]
    with store.reading() as tx:
        events = tx.events.windows(Side.HUBSPOT, {change.record_id for change in due}, since_ms - NEAR_MS)
    fields_of = {name: spec.name for spec in fields.specs for name in spec.hubspot}
    arrived = {change.property for change in due if _has_event(change, fields_of, events.get(change.record_id, []))}
    missing = Counter(change.property for change in due if change.property not in arrived)
    for name, number in sorted(missing.items()):
        yield fail(
            check,
            f"no webhook came for {pluralize(number, 'change')} of {name} in the last day",
            "subscribe to it: wanesync webhooks hubspot write DIR, hs project upload (catch-up finds them late)",
        )
    if not missing:
        number = len(arrived)
        came = f"webhooks came for all {number} mapped properties that were changed in the last day"
        yield ok(check, came if number else "no mapped property was changed in the last day")


def _has_event(change: RecentChange, fields_of: Mapping[str, str], events: Sequence[Event]) -> bool:
    field = fields_of[change.property]
    keys = {field, f"{field}/{change.property}"}
    # A sensitive value is withheld: an event without any value may be of it.
    return any(
        event.kind == "updated"
        and abs(event.occurred_ms - change.at_ms) <= NEAR_MS
        and (not event.values or not keys.isdisjoint(event.values))
        for event in events
    )


def check_own_writes(store: Store, app_id: str, own_source_ids: Collection[str]) -> Iterator[Finding]:
    """Check that what the token's app writes comes back as ours: another app may send the webhooks."""
    if not app_id or app_id in own_source_ids:
        return
    with store.reading() as tx:
        events = tx.events.latest(Side.HUBSPOT, MAX_EVENTS)
    if any(event.source != "own" and event.source.endswith(f"/{app_id}") for event in events):
        text = f"changes by app {app_id}, whose token this is, count as a user's: another app sends the webhooks"
        yield warn("hubspot own writes", text, f'set hubspot.own_source_ids = ["{app_id}"] and restart wanesync serve')


def _advise_first(side: Side) -> str:
    if side is Side.HUBSPOT:
        return (
            "edit a contact in HubSpot and run this again; if still none arrives: wanesync webhooks hubspot write DIR, "
            "and hs project upload"
        )
    return "edit a customer in Stripe and run this again; if still none arrives: wanesync webhooks stripe create"


def _find_unseen(fields: FieldMap, seen: set[str]) -> list[str]:
    """Return the mapped properties of which no change has arrived: not edited yet, or without a subscription."""
    return [name for spec in fields.specs for name in spec.hubspot if not {spec.name, name} & seen]


def check_endpoint(
    port: StripeSetupPort, public_url: str, events: Sequence[str], version: str, store: Store | None
) -> Iterator[Finding]:
    """Check that exactly one endpoint of Stripe leads here, is enabled, and sends what is used in our version."""
    check = "stripe endpoint"
    if not public_url:
        yield ok(check, "not compared: there is no server.public_url")
        return
    try:
        endpoints = port.list_endpoints()
    except CallError as error:
        if error.failure is not Failure.FORBIDDEN:
            yield describe_failure(check, Side.STRIPE, error)
            return
        text = "not compared: the key may not list endpoints (Webhook Endpoints: Read would show them)"
        yield ok(check, text)
        return
    expected = public_url.rstrip("/") + STRIPE_PATH
    ours = [endpoint for endpoint in endpoints if is_same_address(endpoint.url, expected)]
    if not ours:
        yield _describe_absent(check, endpoints, expected, store)
    elif len(ours) > 1:
        names = ", ".join(endpoint.id for endpoint in ours)
        fix = f"keep one: wanesync webhooks stripe remove {ours[-1].id}"
        yield fail(check, f"{len(ours)} endpoints lead here ({names}): every event comes {len(ours)} times", fix)
    else:
        yield from _check_one(check, ours[0], events, version)


def _describe_absent(check: str, endpoints: Sequence[Endpoint], expected: str, store: Store | None) -> Finding:
    host = urlsplit(expected).hostname
    near = next((endpoint for endpoint in endpoints if urlsplit(endpoint.url).hostname == host), None)
    if near is not None:
        return fail(check, f"{near.id} leads to {near.url}, not to {expected}", MEND)
    if store is not None and _arrived_lately(store):
        return ok(check, "none of the listed ones leads here, but events arrive from another destination")
    return fail(check, f"there is none for {expected}", "create it: wanesync webhooks stripe create")


def _arrived_lately(store: Store) -> bool:
    with store.reading() as tx:
        last_s = read_webhooks(tx)[Side.STRIPE].last_s
    return last_s is not None and last_s < RECENT_S


def _check_one(check: str, endpoint: Endpoint, events: Sequence[str], version: str) -> Iterator[Finding]:
    found: list[Finding] = []
    if not endpoint.enabled:
        found.append(fail(check, f"{endpoint.id} is disabled, nothing is sent", MEND))
    missing = [] if "*" in endpoint.events else [name for name in events if name not in endpoint.events]
    if missing:
        found.append(fail(check, f"{endpoint.id} does not send {', '.join(missing)}", MEND))
    extra = [name for name in endpoint.events if name not in events]
    if extra:
        shown = "every event" if "*" in extra else ", ".join(extra)
        found.append(warn(check, f"{endpoint.id} sends {shown}, which is not used", MEND))
    if endpoint.version != version and not has_known_customer(endpoint.version):
        text = f"{endpoint.id} sends API version {endpoint.version or 'of the account'}, and wanesync reads {version}"
        fix = "each event costs a read; wanesync webhooks stripe create --replace pins the version"
        found.append(warn(check, text, fix))
    yield from found or [ok(check, f"{endpoint.id} sends what is used, in version {endpoint.version}")]


def is_same_address(one: str, other: str) -> bool:
    """Return whether two addresses lead to the same place: scheme and host in any case, a slash at the end or not."""
    return _normalise(one) == _normalise(other)


def _normalise(url: str) -> tuple[str, str, str, str]:
    parts = urlsplit(url)
    default = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return parts.scheme, parts.netloc.lower().removesuffix(default), parts.path.rstrip("/"), parts.query
