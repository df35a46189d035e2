"""``wanesync doctor``: every check of a set-up, in the order in which one depends on another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wanesync.core.errors import CallError, WanesyncError
from wanesync.core.fields import FieldMap
from wanesync.core.model import Side
from wanesync.core.purchases import Sink
from wanesync.ops.checks import accounts, listeners, local, properties, webhooks
from wanesync.ops.checks.accounts import NAMES, KnownAccounts
from wanesync.ops.checks.door import DoorTester, Signer
from wanesync.ops.checks.findings import Finding, State, fail, warn
from wanesync.ops.health.side_checks import KEY_SETTINGS
from wanesync.store.clock import wall_clock_ms

if TYPE_CHECKING:
    from wanesync.config.model import Config
    from wanesync.core.ports import Account
    from wanesync.core.setup.setup_facts import HubSpotSetupPort, StripeSetupPort
    from wanesync.store.database import Store


@dataclass(frozen=True, slots=True)
class Examined:
    """The set-up that is examined, made by ``wiring.build_examined``.

    ``broken``: secrets that cannot be read, which a finding has named already. ``store`` None: ``no_store`` says why. A
    port is None where the configuration has no key. ``events``, ``version``: what the endpoint of Stripe should send.
    ``ways``: how requests to each side leave, in words. ``try_writes``: ask Stripe whether the key may write.
    """

    config: Config
    config_file: Path | None
    store: Store | None
    no_store: Sequence[str] = ()
    known: KnownAccounts = field(default_factory=KnownAccounts)
    hubspot: HubSpotSetupPort | None = None
    stripe: StripeSetupPort | None = None
    sign: Mapping[Side, Signer] = field(default_factory=dict)
    events: Sequence[str] = ()
    version: str = ""
    broken: Collection[str] = ()
    ways: Mapping[Side, str] = field(default_factory=dict)
    try_writes: bool = False

    @property
    def sink(self) -> Sink | None:
        """How purchases are to be recorded, None: custom events where the account has them."""
        return None if self.config.purchases.sink == "auto" else Sink(self.config.purchases.sink)

    @property
    def now_ms(self) -> int:
        """Database time, or ours without a database."""
        return self.store.now_ms() if self.store else wall_clock_ms()


def describe_config_problems(problems: Sequence[str]) -> list[Finding]:
    """Return a finding for each problem of a configuration that cannot be used, with the line it stands in."""
    return [fail("configuration", *_split(problem)) for problem in problems]


def _split(problem: str) -> tuple[str, str]:
    """Return what is wrong and the way out, which stands behind the last colon unless that is an example alone."""
    text, _, fix = problem.rpartition(": ")
    if " " not in fix:
        text, _, reason = text.rpartition(": ")
        fix = f"{reason}: {fix}"
    return (text, fix) if text else (problem, "correct it")


def examine(examined: Examined) -> Iterator[Finding]:
    """Run every check; nothing is written to either side. Alarms are listed where no check has found anything."""
    is_well = True
    for finding in _run_checks(examined):
        is_well = is_well and finding.state is State.OK
        yield finding
    if is_well and examined.store is not None:
        yield from local.check_alarms(examined.store)


def _run_checks(examined: Examined) -> Iterator[Finding]:
    found: dict[Side, Account] = {}
    for checks in (_examine_machine, _examine_hubspot, _examine_stripe, _examine_both, _examine_door):
        try:
            yield from checks(examined, found)
        except WanesyncError as error:
            text, _, fix = str(error).rpartition(": ")
            yield fail("database", text or fix, fix if text else "see wanesync status, and the log of the database")


def _examine_machine(examined: Examined, _found: dict[Side, Account]) -> Iterator[Finding]:
    config, store = examined.config, examined.store
    yield from local.check_files(examined.config_file, config.database)
    yield from local.check_values(config.server.max_body_bytes, config.stripe.rate, config.stripe.mode)
    yield from listeners.check_listeners(config.server)
    yield from listeners.check_network(config, examined.ways)
    yield from local.check_certificates(config)
    for problem in examined.no_store:
        text, _, fix = problem.rpartition(": ")
        yield fail("database", text or problem, fix or "see wanesync init")
    if store is not None:
        yield local.check_disk(store)
        yield from local.check_database(store, FieldMap(config.specs))


def _examine_both(examined: Examined, found: dict[Side, Account]) -> Iterator[Finding]:
    """Check what needs both accounts, and the webhooks that came from them."""
    config, store = examined.config, examined.store
    if len(found) == len(Side):
        yield accounts.check_modes(found[Side.HUBSPOT], found[Side.STRIPE])
    if found:
        yield from accounts.check_clocks(found, examined.now_ms)
    if store is not None:
        yield from webhooks.check_arrivals(store, FieldMap(config.specs))
        if examined.hubspot is not None and Side.HUBSPOT in found:
            yield from _examine_events(examined.hubspot, store, config)


def examine_keys(examined: Examined) -> Iterator[Finding]:
    """Check what ``wanesync init`` relies on: files, rights of both keys, modes and clocks."""
    config, hubspot, stripe = examined.config, examined.hubspot, examined.stripe
    yield from local.check_files(examined.config_file, config.database)
    found: dict[Side, Account] = {}
    for side, port in ((Side.HUBSPOT, hubspot), (Side.STRIPE, stripe)):
        if port is not None:
            account, findings = accounts.check_account(side, port, examined.known)
            yield from findings
            if account is not None:
                found[side] = account
    if hubspot is not None and Side.HUBSPOT in found:
        facts = properties.read_facts(hubspot)
        prepared = isinstance(facts, Finding) or properties.is_prepared(facts)
        yield from accounts.check_scopes(hubspot, examined.sink, prepared=prepared)
        yield from properties.check_rules(hubspot, FieldMap(config.specs))
        yield accounts.check_version(config.hubspot.api_version, examined.now_ms)
    if stripe is not None and Side.STRIPE in found:
        yield from accounts.check_permissions(stripe, config.stripe.require_key())
    if len(found) == len(Side):
        yield accounts.check_modes(found[Side.HUBSPOT], found[Side.STRIPE])
    yield from accounts.check_clocks(found, examined.now_ms)


def _examine_hubspot(examined: Examined, found: dict[Side, Account]) -> Iterator[Finding]:
    config, port, sink = examined.config, examined.hubspot, examined.sink
    if port is None:
        yield from _without_key(examined, Side.HUBSPOT)
        return
    account, findings = accounts.check_account(Side.HUBSPOT, port, examined.known)
    yield from findings
    if account is None:
        return
    found[Side.HUBSPOT] = account
    fields = FieldMap(config.specs)
    facts = properties.read_facts(port)
    unread = isinstance(facts, Finding)
    prepared = not isinstance(facts, Finding) and properties.is_prepared(facts)
    yield from accounts.check_scopes(port, sink, prepared=prepared or unread)
    if isinstance(facts, Finding):
        yield facts
    else:
        yield properties.check_subscription(facts, sink)
        yield from properties.check_properties(fields, facts, sink, config.purchases.event_name)
        yield from properties.check_event(port, config.purchases.event_name)
        yield from properties.check_rules(port, fields)
    yield from accounts.check_usage(port, config.hubspot.rate)
    yield accounts.check_version(config.hubspot.api_version, examined.now_ms)


def _examine_events(port: HubSpotSetupPort, store: Store, config: Config) -> Iterator[Finding]:
    yield from webhooks.check_subscriptions(port, store, FieldMap(config.specs))
    with suppress(CallError):  # the check of the scopes has named it
        yield from webhooks.check_own_writes(store, port.read_token().app_id, config.hubspot.own_source_ids)


def _examine_stripe(examined: Examined, found: dict[Side, Account]) -> Iterator[Finding]:
    config, port = examined.config, examined.stripe
    if port is None:
        yield from _without_key(examined, Side.STRIPE)
        return
    account, findings = accounts.check_account(Side.STRIPE, port, examined.known)
    yield from findings
    if account is None:
        return
    found[Side.STRIPE] = account
    yield from accounts.check_permissions(port, config.stripe.require_key(), try_writes=examined.try_writes)
    found[Side.STRIPE] = replace(account, clock_ms=account.clock_ms or port.clock_ms)
    yield from webhooks.check_endpoint(
        port, config.server.public_url or "", examined.events, examined.version, examined.store
    )


def _without_key(examined: Examined, side: Side) -> Iterator[Finding]:
    if KEY_SETTINGS[side] not in examined.broken:
        fix = f"set {KEY_SETTINGS[side]} to have {NAMES[side]} checked, or run this where its worker runs"
        yield warn(f"{side} key", "there is none in this configuration", fix)


def _examine_door(examined: Examined, _found: dict[Side, Account]) -> Iterator[Finding]:
    config, store = examined.config, examined.store
    if store is None:
        return
    listens = f"{config.server.host}:{config.server.port}"
    address = config.server.public_url
    if address is None and not (config.is_rehearsal and config.server.port):
        if not config.is_rehearsal:
            fix = "set it to the https address at which both vendors reach wanesync serve"
            yield fail("public address", "server.public_url is not set", fix)
        return
    for side in Side:
        key = f"{side}.webhook_secret"
        if side not in examined.sign and key not in examined.broken:
            yield warn(f"{side} test event", f"{key} is not set", "set it, or run this where wanesync serve runs")
    tester = DoorTester(
        store=store,
        address=address or f"http://{_local_host(config.server.host)}:{config.server.port}",
        sign=examined.sign,
        portal=examined.known.portal,
        livemode=config.stripe.mode == "live",
        listens=listens,
        rehearsal=config.is_rehearsal,
    )
    yield from tester.run()


def _local_host(host: str) -> str:
    """Return how an address that a server listens at is called on its own machine."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is not listened at
    return f"[{named}]" if ":" in named else named
