"""Checks of both accounts: keys, whose they are, modes, rights, subscription, quotas, API versions and clocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side
from wanesync.core.purchases import Sink
from wanesync.core.setup.api_versions import find_endings
from wanesync.core.setup.permissions import (
    DEFINE_EVENTS,
    DEFINE_PROPERTIES,
    READ_CONTACTS,
    READ_RESOURCES,
    SEND_EVENTS,
    WRITE_CONTACTS,
)
from wanesync.ops.checks.findings import Finding, fail, ok, warn
from wanesync.ops.health.side_checks import KEY_SETTINGS, MAX_CLOCK_ERROR_MS
from wanesync.terminal import format_duration

if TYPE_CHECKING:
    from wanesync.core.ports import Account
    from wanesync.core.setup.setup_facts import HubSpotSetupPort, StripeSetupPort

NAMES = {Side.HUBSPOT: "HubSpot", Side.STRIPE: "Stripe"}
WHERE = {
    Side.HUBSPOT: "copy the access token from the app's Auth tab",
    Side.STRIPE: "copy the key from Developers, API keys",
}
MANY_USED = 0.9
"""Share of the day's requests from which the quota is a warning (our choice)."""
ADD_SCOPE = (
    "add it to requiredScopes (wanesync webhooks hubspot write DIR writes them), hs project upload, then approve it on "
    "the app's page"
)


@dataclass(frozen=True, slots=True)
class KnownAccounts:
    """The accounts that the configuration and the database name; "" while unknown."""

    portal: str = ""
    account: str = ""
    mode: str = ""

    def of(self, side: Side) -> str:
        """Return the account of one side."""
        return self.portal if side is Side.HUBSPOT else self.account


def describe_failure(check: str, side: Side, error: CallError) -> Finding:
    """Return the finding about a call that failed."""
    name, key = NAMES[side], KEY_SETTINGS[side]
    if error.failure is Failure.FORBIDDEN and error.scope:
        fix = f"give the key that right (wanesync init --permissions), or put another one into {key}"
        return fail(check, f"{name}'s key lacks {error.scope}", fix)
    if error.failure in (Failure.UNAUTHORISED, Failure.FORBIDDEN):
        return fail(check, f"{name} refuses the key ({error.reason})", f"{WHERE[side]} into {key}, then restart")
    if error.failure is Failure.DAILY_LIMIT:
        return fail(
            check,
            f"the requests of {name}'s day are used up",
            "work goes on at the account's midnight; look for the app that uses them (HubSpot: Monitoring, API usage)",
        )
    if error.failure is Failure.RATE_LIMITED:
        return warn(check, f"{name} answers 429 (too many requests)", "run wanesync doctor again in a minute")
    if error.failure in (Failure.UNREACHED, Failure.NO_ANSWER):
        fix = f"check the network, [network] proxy and ca_bundle, and {side}.base_url"
        return fail(check, f"{name} cannot be reached ({error.reason})", fix)
    fix = f"check {side}.base_url, and the status page of {name}"
    return fail(check, f"{name} does not answer as it should ({error.reason})", fix)


def check_account(
    side: Side, port: HubSpotSetupPort | StripeSetupPort, known: KnownAccounts
) -> tuple[Account | None, list[Finding]]:
    """Return the account of a key, None if it is not confirmed, and what is wrong with it."""
    check = f"{side} account"
    try:
        account = port.account()
    except CallError as error:
        return None, [describe_failure(f"{side} key", side, error)]
    expected = known.of(side)
    if expected and account.id != expected:
        text = f"the key is of {account.id}, this configuration and database of {expected}"
        fix = f"put a key of {expected} into {KEY_SETTINGS[side]}, or use another database for {account.id}"
        return None, [fail(check, text, fix)]
    if side is Side.STRIPE and known.mode and account.mode != known.mode:
        text = f"the key is a {account.mode} key, the database belongs to {known.mode} mode"
        return None, [fail(check, text, f"use a {known.mode} key in stripe.api_key, or another database")]
    kind = "portal" if side is Side.HUBSPOT else "account"
    return account, [ok(check, f"{kind} {account.id} ({account.mode})")]


def check_modes(hubspot: Account, stripe: Account) -> Finding:
    """Compare the modes of both accounts: a test account beside a live one mixes made-up people with real ones."""
    if hubspot.mode == stripe.mode:
        return ok("modes", f"both accounts are {hubspot.mode}")
    return warn(
        "modes",
        f"HubSpot is a {hubspot.mode} account and Stripe is in {stripe.mode} mode",
        "use a HubSpot test account with a Stripe test key, or both live",
    )


def check_clocks(accounts: Mapping[Side, Account], now_ms: int) -> Iterator[Finding]:
    """Compare our clock (``now_ms``, of the database) with those of the vendors."""
    for side, account in accounts.items():
        error_ms = now_ms - account.clock_ms if account.clock_ms else 0
        if abs(error_ms) > MAX_CLOCK_ERROR_MS:
            ahead = "ahead of" if error_ms > 0 else "behind"
            text = f"the clock of the database is {format_duration(abs(error_ms))} {ahead} {NAMES[side]}'s"
            yield fail("clock", text, "set it (NTP) on the database's machine: webhooks are refused from 5 min on")
            return
    yield ok("clock", "within a minute of the vendors' clocks")


def check_scopes(port: HubSpotSetupPort, sink: Sink | None, *, prepared: bool) -> Iterator[Finding]:
    """Compare the scopes of the HubSpot token with those that are needed. ``prepared``: our properties exist."""
    try:
        scopes = port.read_token().scopes
    except CallError:
        yield from _probe_scopes(port)
        return
    needed = {READ_CONTACTS: "no contact can be read", WRITE_CONTACTS: "no contact can be written"}
    if not prepared:
        needed[DEFINE_PROPERTIES] = "wanesync init --hubspot cannot create our properties"
    events = {DEFINE_EVENTS: "the event of purchases cannot be defined", SEND_EVENTS: "purchases cannot be sent"}
    if sink is Sink.CUSTOM_EVENT:
        needed |= events
    missing = [scope for scope in needed if scope not in scopes]
    for scope in missing:
        yield fail("hubspot scopes", f"{scope} is missing, {needed[scope]}", ADD_SCOPE)
    lacking = [scope for scope in events if scope not in scopes] if sink is None else []
    if lacking:
        are = "is" if len(lacking) == 1 else "are"
        text = f"{' and '.join(lacking)} {are} missing, so that purchases become notes and not custom events"
        yield warn("hubspot scopes", text, f'{ADD_SCOPE}; or set purchases.sink = "note"')
    if not missing and not lacking:
        yield ok("hubspot scopes", f"all {len(needed)} that are needed are there")


def _probe_scopes(port: HubSpotSetupPort) -> Iterator[Finding]:
    """Find out by reading: where HubSpot does not list the scopes of a token."""
    try:
        readable = port.can_read_contacts()
    except CallError as error:
        yield describe_failure("hubspot scopes", Side.HUBSPOT, error)
        return
    if readable:
        yield ok("hubspot scopes", "contacts can be read; HubSpot does not list the scopes of this token")
    else:
        yield fail("hubspot scopes", f"{READ_CONTACTS} is missing, no contact can be read", ADD_SCOPE)


def check_permissions(port: StripeSetupPort, key: str, *, try_writes: bool = False) -> Iterator[Finding]:
    """Try what the Stripe key may read; ``try_writes``: and whether it may write, by a request that changes nothing."""
    check = "stripe permissions"
    try:
        refused = [name for resource, name in READ_RESOURCES.items() if not port.may_read(resource)]
        may_write = not try_writes or port.may_write_customers()
    except CallError as error:
        yield describe_failure(check, Side.STRIPE, error)
        return
    if not may_write:
        text = "the restricted key may not write Customers"
        yield fail(check, text, "edit the key in Developers, API keys: set Customers to Write")
    for name in refused:
        level = "Write" if name == "Customers" else "Read"
        yield fail(
            check,
            f"the restricted key may not read {name}",
            f"edit the key in Developers, API keys: set {name} to {level} (wanesync init --permissions lists all)",
        )
    if key.startswith("sk_live_"):
        text = "stripe.api_key is a secret key, which may do everything"
        yield warn(check, text, "make a restricted key: wanesync init --permissions lists what it needs")
    elif not refused and may_write:
        writes = "and write Customers" if try_writes else "whether it may write is not tried (--try-writes)"
        yield ok(check, f"may read {', '.join(READ_RESOURCES.values())}; {writes}")


def check_usage(port: HubSpotSetupPort, rate: float) -> Iterator[Finding]:
    """Check HubSpot's daily quota, and our rate against what the subscription allows."""
    check = "hubspot quota"
    limits = port.last_limits
    if limits.per_interval and limits.interval_ms:
        allowed = limits.per_interval * 1000 / limits.interval_ms
        if rate > allowed:
            text = f"hubspot.rate is {rate:g} a second, HubSpot allows this app {allowed:g}"
            yield warn(
                check, text, f"set hubspot.rate = {allowed * 0.9:g} or less (until then it is lowered by itself)"
            )
    try:
        usage = port.read_usage()
    except CallError as error:
        if error.failure is Failure.DAILY_LIMIT:
            yield describe_failure(check, Side.HUBSPOT, error)
        else:
            yield ok(check, "HubSpot does not show the use of the day to this token")
        return
    text = f"{usage.used:,} of {usage.limit:,} requests of the day are used, by all apps of the account"
    if usage.limit and usage.used >= MANY_USED * usage.limit:
        yield warn(check, text, "look for the app that uses them (HubSpot: Monitoring, API usage)")
    else:
        yield ok(check, text)


def check_version(api_version: str, now_ms: int) -> Finding:
    """Check how long HubSpot supports the version of its API that is configured."""
    check = "hubspot api version"
    for ending in find_endings(api_version, now_ms):
        which = api_version if ending.version == api_version else f"{api_version}: its {ending.version} paths"
        use = " (purchases as notes)" if ending.version != api_version else ""
        text = f"{which}{use} {'supported until' if ending.days_left > 0 else 'without support since'} {ending.ends}"
        fix = 'set hubspot.api_version = "2026-09" (or a later one of this release) and restart'
        if ending.days_left <= 0:
            return fail(check, text, fix)
        if ending.is_near:
            return warn(check, f"{text}, in {ending.days_left} days", fix)
        return ok(check, text)
    return ok(check, f"{api_version}, without a known end")
