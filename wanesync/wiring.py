"""Wiring: a configuration becomes a program. The only room that knows the concrete classes."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from hashlib import blake2b
from urllib.parse import urlsplit

from wanesync.accounts import AccountGate, compare
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.config.model import Config
from wanesync.core.change_guard import MINUTE_MS, ChangeGuardRule
from wanesync.core.errors import ConfigError
from wanesync.core.fields import FieldMap
from wanesync.core.ids import make_id
from wanesync.core.model import Side
from wanesync.core.plan import Rules
from wanesync.core.ports import Account
from wanesync.core.purchases import Sink
from wanesync.core.rate_limits import BULK, DAILY, MONTHLY_READS, SEARCH, STRIPE_OPERATIONS, file_limit
from wanesync.ratelimit.budget import ZONE
from wanesync.ratelimit.pacer import Pacer
from wanesync.reconcile.catch_up import CatchUp
from wanesync.reconcile.listing import LANES, PARALLEL
from wanesync.reconcile.run import Reconcile
from wanesync.reconcile.session import ReconcileSession, open_session
from wanesync.reconcile.snapshot.results import MEMORY
from wanesync.store.database import Store, Tx, open_store
from wanesync.store.tables.retention import RetentionPolicy
from wanesync.sync.failpoints import read_failpoint
from wanesync.sync.intake import Intake
from wanesync.sync.runtime import Runtime, SyncOptions
from wanesync.sync.writer import WRITES
from wanesync.worker.retention import RetentionTask
from wanesync.worker.worker import Worker

PORTAL, STRIPE_ACCOUNT, STRIPE_MODE = "pin_portal", "pin_stripe_account", "pin_stripe_mode"
PINS = {Side.HUBSPOT: (PORTAL,), Side.STRIPE: (STRIPE_ACCOUNT, STRIPE_MODE)}


@dataclass(frozen=True, slots=True)
class Pins:
    """The portal, account and mode the state belongs to; "" while unknown."""

    portal: str = ""
    account: str = ""
    mode: str = ""


def open_state(config: Config, *, migrate: bool | None = None) -> Store:
    """Open the database. Raises ``DatabaseUnavailable`` and ``ConfigError``.

    ``migrate``: whether it is made or brought up to this program; None: a SQLite file that is there already is.
    """
    by_itself = None if is_on_file(config) else False
    return open_store(config.database, config.security.entries, migrate=by_itself if migrate is None else migrate)


def is_on_file(config: Config) -> bool:
    """Whether the state is a SQLite file, which programs that keep running make by themselves."""
    return config.database.startswith("sqlite:")


def read_pins(config: Config, store: Store) -> Pins:
    """What is known of whom the state belongs to; raises ``WrongAccount`` where the configuration says otherwise."""
    with store.reading() as tx:
        pins = Pins(*(tx.settings.get(name) or "" for name in (PORTAL, STRIPE_ACCOUNT, STRIPE_MODE)))
    portal, account = str(config.hubspot.portal_id or ""), config.stripe.account_id or ""
    compare("HubSpot portal", pins.portal, portal)
    compare("Stripe account", pins.account, account)
    return Pins(pins.portal or portal, pins.account or account, pins.mode or _configured_mode(config))


def find_pinned(store: Store) -> frozenset[Side]:
    """The sides whose account the database knows: one start at least had its answer."""
    with store.reading() as tx:
        return frozenset(side for side, names in PINS.items() if all(tx.settings.get(name) for name in names))


def _configured_mode(config: Config) -> str:
    if config.stripe.api_key is None:
        return ""
    return "live" if "_live_" in config.stripe.api_key.get_secret_value()[:8] else "test"


def is_rehearsal(config: Config) -> bool:
    """Whether both sides are stand-ins on this machine."""
    hosts = {urlsplit(url).hostname for url in (config.hubspot.base_url, config.stripe.base_url)}
    return hosts <= {"127.0.0.1", "localhost", "::1"}


def build_engine(config: Config, store: Store, sides: Iterable[Side], *, patient: bool = False) -> Runtime:
    """An engine with the ports of ``sides``, pinned: asks each side once whose key it is.

    ``patient``: a side whose account the database knows and that does not answer now is asked again before anything
    else is sent to it. Raises ``ConfigError`` (a key is missing), ``WrongAccount``, ``VendorUnavailable``.
    """
    sides = frozenset(sides)
    needed = {Side.HUBSPOT: "hubspot.access_token", Side.STRIPE: "stripe.api_key"}
    config.require(*(needed[side] for side in sorted(sides)))
    pins = read_pins(config, store)
    waits = find_pinned(store) if patient else frozenset()
    runtime = _make_engine(config, store, pins.portal)
    set_limits(config, store)
    for pacer in runtime.pacers.values():
        pacer.budget.refresh()
    if Side.HUBSPOT in sides:
        pins = _attach_hubspot(config, runtime, pins, patient=Side.HUBSPOT in waits)
    if Side.STRIPE in sides:
        pins = _attach_stripe(config, runtime, pins, patient=Side.STRIPE in waits)
    store.run(lambda tx: _pin(tx, pins, rehearsal=is_rehearsal(config)))
    return runtime


def _make_engine(config: Config, store: Store, portal: str) -> Runtime:
    """Without a port."""
    fields = FieldMap(config.fields)
    create, sink = config.create, config.purchases.sink
    brake = ChangeGuardRule(config.brake.people, config.brake.minutes * MINUTE_MS, config.brake.turns)
    rng = random.SystemRandom()
    return Runtime(
        store=store,
        rules=Rules(
            fields,
            create_customers=create.customers == "all",
            create_contacts=create.contacts == "all",
            differ=config.first_contact.differ,
        ),
        translator=FieldTranslator(fields),
        options=SyncOptions(
            portal, None if sink == "auto" else Sink(sink), config.purchases.guest == "create", brake=brake
        ),
        rng=rng,
        name=make_id(store.now_ms(), rng),
        failpoint=read_failpoint(os.environ),
        pacers={side: Pacer(store, store.clock, side) for side in Side},
    )


def _attach_hubspot(config: Config, runtime: Runtime, pins: Pins, *, patient: bool) -> Pins:
    from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions  # noqa: PLC0415 - its SDK takes a while to load

    assert config.hubspot.access_token is not None  # noqa: S101 - required above
    fields, gate = runtime.rules.fields, runtime.pacers[Side.HUBSPOT].pass_gate
    options = HubSpotOptions(
        config.hubspot.access_token.get_secret_value(),
        config.hubspot.base_url,
        event_name=config.purchases.event_name,
        own_source_ids=frozenset(config.hubspot.own_source_ids),
        gate=gate,
    )

    def check(account: Account) -> None:
        compare("HubSpot portal", pins.portal, account.id)

    identity = AccountGate(Side.HUBSPOT, HubSpotAdapter(options, fields).account, check, gate)
    account = identity.begin(patient=patient)
    portal = account.id if account else pins.portal
    side = HubSpotAdapter(replace(options, portal=portal, gate=identity.pass_gate), fields)
    runtime.hubspot_port = side
    runtime.pacers[Side.HUBSPOT].budget.reported = lambda: side.last_limits
    if account:
        runtime.store.run(lambda tx: tx.settings.put(ZONE, account.time_zone))
    runtime.options = replace(runtime.options, portal_id=portal)
    return replace(pins, portal=portal)


def _attach_stripe(config: Config, runtime: Runtime, pins: Pins, *, patient: bool) -> Pins:
    from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions  # noqa: PLC0415 - its SDK takes a while to load

    assert config.stripe.api_key is not None  # noqa: S101 - required above
    if not pins.portal:
        raise ConfigError(["hubspot.portal_id: is not known yet: set it, or run wanesync init with both keys once"])
    fields, gate = runtime.rules.fields, runtime.pacers[Side.STRIPE].pass_gate
    key = config.stripe.api_key.get_secret_value()
    options = StripeOptions(key, config.stripe.base_url, pins.portal, gate=gate)

    def check(account: Account) -> None:
        compare("Stripe account", pins.account, account.id)
        compare("Stripe mode", pins.mode, account.mode)

    identity = AccountGate(Side.STRIPE, StripeAdapter(options, fields).account, check, gate)
    account = identity.begin(patient=patient)
    runtime.stripe_port = StripeAdapter(replace(options, gate=identity.pass_gate), fields)
    return replace(pins, account=account.id, mode=account.mode) if account else pins


def _pin(tx: Tx, pins: Pins, *, rehearsal: bool) -> None:
    """The first start decides whom the state belongs to, and that writes against real accounts are off."""
    for name, value in ((PORTAL, pins.portal), (STRIPE_ACCOUNT, pins.account), (STRIPE_MODE, pins.mode)):
        if value and tx.settings.get(name) is None:
            tx.settings.put(name, value)
    if tx.settings.get(WRITES) is None:
        tx.settings.put(WRITES, "on" if rehearsal else "off")


def set_limits(config: Config, store: Store, *, missing_only: bool = False) -> None:
    """The configured limits, on the store rows all processes share; an operator's stay until the file says another.

    ``missing_only``: leaves every row there is as it is.
    """

    def keep(tx: Tx) -> None:
        known = tx.rates.all()
        for scope, filed in read_filed(config).items():
            limit = file_limit(known.get(scope), scope, filed)
            if limit is None and scope in known and not missing_only:
                tx.rates.drop(scope)
            elif limit is not None and limit != known.get(scope) and not (missing_only and scope in known):
                tx.rates.put(limit)

    store.run(keep)


def read_filed(config: Config) -> dict[str, float | None]:
    """Scope -> its limit in the configuration, None where that says nothing."""
    return {
        Side.HUBSPOT: config.hubspot.rate,
        SEARCH: config.hubspot.search_rate,
        DAILY: config.hubspot.daily_share,
        Side.STRIPE: config.stripe.rate,
        BULK: config.stripe.bulk_rate,
        MONTHLY_READS: config.stripe.monthly_reads,
        **{f"{Side.STRIPE}:{operation}": config.stripe.operation_rate for operation in STRIPE_OPERATIONS},
    }


def build_worker(runtime: Runtime, sides: Iterable[Side]) -> Worker:
    """A worker for some lanes."""
    return Worker(runtime, tuple(sides), runtime.store.clock)


def build_upkeep(config: Config, store: Store) -> RetentionTask:
    """What clears away what is older than its retention."""
    return RetentionTask(store, RetentionPolicy(**config.retention.model_dump()))


def build_reconcile(runtime: Runtime, snapshot: str = MEMORY, *, parallel: bool = False) -> Reconcile:
    """Diff and reconcile. ``snapshot``: its file (``snapshot_path``).

    ``parallel``: contacts are listed side by side, by ranges of ids, which HubSpot does not document.
    """
    lanes = dict(LANES) | ({Side.HUBSPOT: PARALLEL} if parallel else {})
    with runtime.store.reading() as tx:
        identity = {name: tx.settings.get(name) or "" for name in (PORTAL, STRIPE_ACCOUNT, STRIPE_MODE)}
    identity["parallel"] = str(parallel)
    return Reconcile(runtime, dict(runtime.pacers), snapshot, identity, lanes)


def build_session(
    runtime: Runtime,
    snapshot: str,
    *,
    parallel: bool = False,
    max_requests: int | None = None,
    writes: bool = False,
) -> AbstractContextManager[ReconcileSession]:
    """A session of diff or reconcile (``open_session``). ``snapshot`` and ``parallel`` as in ``build_reconcile``.

    ``max_requests``: the most requests it may make; ``writes``: it is to queue jobs, not only to show.
    """
    rounds = build_reconcile(runtime, snapshot, parallel=parallel)
    return open_session(runtime, rounds, build_catch_up(runtime), writes=writes, max_requests=max_requests)


def snapshot_path(config: Config) -> str:
    """Beside the SQLite database, else in the working directory, with a name for each database."""
    if not config.database.startswith("sqlite:"):
        place = config.database.rpartition("@")[2]  # without user and password: these may change
        return f"wanesync-{blake2b(place.encode(), digest_size=4).hexdigest()}.snapshot"
    path = config.database.removeprefix("sqlite:")
    return path if path == MEMORY else f"{path}.snapshot"


def build_catch_up(runtime: Runtime) -> CatchUp:
    """Catch-up."""
    return CatchUp(runtime, dict(runtime.pacers))


def build_intake(config: Config, store: Store) -> Intake:
    """The doors' way in: webhook secrets, no API key. Raises ``ConfigError`` and ``WrongAccount``."""
    from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks  # noqa: PLC0415 - the web process only
    from wanesync.adapters.signatures import HubSpotSignature, StripeSignature  # noqa: PLC0415 - the web process only
    from wanesync.adapters.stripe.events import StripeAccount, StripeEvents  # noqa: PLC0415 - the web process only
    from wanesync.adapters.webhook import WebhookAdapter  # noqa: PLC0415 - only the doors need it

    config.require("hubspot.webhook_secret", "stripe.webhook_secret")
    pins = read_pins(config, store)
    if not pins.portal or not pins.mode:
        raise ConfigError(["whose webhooks these are is not known yet: run wanesync init once"])
    fields = FieldMap(config.fields)
    own = frozenset(config.hubspot.own_source_ids)
    secrets = {
        Side.HUBSPOT: [s.get_secret_value() for s in config.hubspot.webhook_secret],
        Side.STRIPE: [s.get_secret_value() for s in config.stripe.webhook_secret],
    }
    account = StripeAccount(pins.mode == "live", pins.portal, pins.account)
    return Intake(
        store,
        {
            Side.HUBSPOT: WebhookAdapter(
                HubSpotSignature(secrets[Side.HUBSPOT]), HubSpotWebhooks(fields, pins.portal, own)
            ),
            Side.STRIPE: WebhookAdapter(StripeSignature(secrets[Side.STRIPE]), StripeEvents(fields, account)),
        },
        read_failpoint(os.environ),
    )
