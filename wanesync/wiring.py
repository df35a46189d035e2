"""Wiring: a configuration becomes a running program. The only module that imports the concrete adapter classes."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from wanesync import intake_wiring
from wanesync.accounts import AccountGate, Pins, find_pinned, load_pins, read_pins, store_pins
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.adapters.network import NetworkPolicy, describe_policy
from wanesync.config.model import API_KEYS, Config
from wanesync.core.change_guard import MINUTE_MS, ChangeGuardRule
from wanesync.core.errors import ConfigError, NotFound, WanesyncError
from wanesync.core.fields import FieldMap
from wanesync.core.ids import make_id
from wanesync.core.model import Side
from wanesync.core.purchases import Sink
from wanesync.core.setup.api_versions import STRIPE_VERSION
from wanesync.ops.checks.accounts import KnownAccounts
from wanesync.ops.checks.doctor import Examined
from wanesync.ops.field_map import MapClaim, claim_field_map, make_rules
from wanesync.ops.secret_refresh import SecretRefresh
from wanesync.ratelimit.limit_settings import apply_configured_limits
from wanesync.ratelimit.pacer import Pacer
from wanesync.ratelimit.quotas import TIME_ZONE
from wanesync.ratelimit.request_figures import RequestFigures
from wanesync.reconcile.catch_up import CatchUp
from wanesync.reconcile.listing import LANES, PARALLEL_HUBSPOT_LANES
from wanesync.reconcile.plan_files import PlanReader
from wanesync.reconcile.run import Reconcile
from wanesync.reconcile.session import ReconcileSession, open_session
from wanesync.reconcile.snapshot.file import MEMORY
from wanesync.store.database import Store, Tx
from wanesync.store.tables.retention import RetentionPolicy
from wanesync.store.tables.settings import HUBSPOT_VERSION
from wanesync.sync.failpoints import armed_failpoint
from wanesync.sync.job_results import resume_refused
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions
from wanesync.sync.writes.writer import WRITES
from wanesync.worker.api_key import RenewedKey
from wanesync.worker.generation import GenerationMarker
from wanesync.worker.portal_check import PortalCheck
from wanesync.worker.retention import RetentionTask
from wanesync.worker.routine_tasks import RoutineTasks
from wanesync.worker.side_probe import SideProbe
from wanesync.worker.worker import Worker

if TYPE_CHECKING:
    import socket
    import threading

    from wanesync.adapters.hubspot.adapter import HubSpotAdapter
    from wanesync.adapters.stripe.adapter import StripeAdapter
    from wanesync.core.ports import Account
    from wanesync.core.setup.setup_facts import HubSpotSetupPort, StripeSetupPort
    from wanesync.web.server import WebServer
    from wanesync.web.shared_answers import SharedAnswers


# -- the database and the intake of webhooks

open_database = intake_wiring.open_database
find_key_file = intake_wiring.find_key_file
is_on_file = intake_wiring.is_on_file
build_intake = intake_wiring.build_intake


# -- the runtime


def build_runtime(
    config: Config,
    store: Store,
    sides: Iterable[Side],
    *,
    patient: bool = False,
    claim: MapClaim = MapClaim.IF_FREE,
) -> Runtime:
    """Build the runtime with the adapters of ``sides`` and store which accounts the database belongs to.

    Makes one account request per side. ``patient``: if a side whose account is stored already does not answer, its
    account is confirmed before the first other request instead. ``claim``: what happens where other processes work
    with another field map. Raises ``ConfigError`` (a key is missing, another map), ``WrongAccount``,
    ``VendorUnavailable``.
    """
    sides = frozenset(sides)
    config.require(*(API_KEYS[side] for side in sorted(sides)))
    store.check_keys()
    pins = read_pins(config, store)
    waits = find_pinned(store) if patient else frozenset()
    fields, rng = FieldMap(config.specs), random.SystemRandom()
    pacers = _build_pacers(config, store, sides, pins.mode)
    hubspot: HubSpotAdapter | None = None
    stripe: StripeAdapter | None = None
    if Side.HUBSPOT in sides:
        store.run(lambda tx: tx.settings.put(HUBSPOT_VERSION, config.hubspot.api_version))
        hubspot, account = _connect_hubspot(config, fields, pacers[Side.HUBSPOT], pins, patient=Side.HUBSPOT in waits)
        if account:
            pins, time_zone = replace(pins, portal=account.id), account.time_zone
            store.run(lambda tx: tx.settings.put(TIME_ZONE, time_zone))
    if Side.STRIPE in sides:
        stripe, account = _connect_stripe(config, store, pacers[Side.STRIPE], pins, patient=Side.STRIPE in waits)
        if account:
            pins = replace(pins, account=account.id, mode=account.mode)
    store.run(lambda tx: _initialise(tx, pins, writes="on" if config.is_rehearsal else "off"))
    claim_field_map(store, fields, claim)
    return Runtime(
        store=store,
        rules=make_rules(config, fields),
        translator=FieldTranslator(fields),
        options=_sync_options(config, pins.portal),
        rng=rng,
        process=ProcessState(make_id(store.now_ms(), rng)),
        hubspot_port=hubspot,
        stripe_port=stripe,
        failpoint=armed_failpoint(),
        pacers=pacers,
        tracing=intake_wiring.build_tracing(config),
    )


def _build_pacers(config: Config, store: Store, sides: Collection[Side], mode: str) -> dict[Side, Pacer]:
    pacers = {side: Pacer(store, store.clock, side) for side in Side}
    limits = config.find_rate_limits(mode)
    # Of its own sides only: the database role of a worker for one side may not change the other side's.
    apply_configured_limits(store, {scope: limits[scope] for scope in limits if scope.partition(":")[0] in sides})
    for pacer in pacers.values():
        pacer.budget.refresh()
    return pacers


def build_decision_runtime(config: Config, store: Store, claim: MapClaim = MapClaim.IF_FREE) -> Runtime:
    """Build a runtime that carries an operator's decisions out in the database; it makes no request, and needs no key.

    Raises ``ConfigError`` where other processes work with another field map.
    """
    store.check_keys()
    fields, rng = FieldMap(config.specs), random.SystemRandom()
    claim_field_map(store, fields, claim)
    return Runtime(
        store=store,
        rules=make_rules(config, fields),
        translator=FieldTranslator(fields),
        options=_sync_options(config, ""),
        rng=rng,
        process=ProcessState(make_id(store.now_ms(), rng)),
        failpoint=armed_failpoint(),
    )


def build_network_policy(config: Config) -> NetworkPolicy:
    """Build how requests to both vendors leave."""
    network = config.network
    return NetworkPolicy(
        proxy=network.proxy.get_secret_value() if network.proxy else "",
        ca_bundle=network.ca_bundle or "",
        use_environment=network.use_environment,
        allow_base_url=network.allow_base_url,
    )


def _sync_options(config: Config, portal: str) -> SyncOptions:
    sink, guard = config.purchases.sink, config.brake
    rule = ChangeGuardRule(guard.people, guard.minutes * MINUTE_MS, guard.turns)
    create_guests = config.purchases.guest == "create"
    target_ms = config.sync.target_s * 1000
    chosen = None if sink == "auto" else Sink(sink)
    return SyncOptions(portal, chosen, create_guests, change_guard=rule, target_ms=target_ms)


def _connect_hubspot(
    config: Config, fields: FieldMap, pacer: Pacer, pins: Pins, *, patient: bool
) -> tuple[HubSpotAdapter, Account | None]:
    """The adapter, and its account if that is confirmed already."""
    from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions  # noqa: PLC0415 - the SDK loads slowly

    options = HubSpotOptions(
        config.hubspot.require_token(),
        config.hubspot.base_url,
        event_name=config.purchases.event_name,
        own_source_ids=frozenset(config.hubspot.own_source_ids),
        api_version=config.hubspot.api_version,
        gate=pacer.pass_gate,
        sent=pacer.note_sent,
        observe=RequestFigures(pacer, intake_wiring.build_tracing(config)).count,
        network=build_network_policy(config),
    )

    def check(store: Store, token: str) -> None:
        with store.reading() as tx:
            known = load_pins(tx)
        known.check_hubspot(HubSpotAdapter(replace(options, token=token, key=None), fields).account())

    options = replace(options, key=_build_key(config, pacer.store, Side.HUBSPOT, check))
    gate = AccountGate(Side.HUBSPOT, HubSpotAdapter(options, fields).account, pins.check_hubspot, pacer.pass_gate)
    account = gate.begin(patient=patient)
    portal = account.id if account else pins.portal
    adapter = HubSpotAdapter(replace(options, portal=portal, gate=gate.pass_gate), fields)
    pacer.budget.reported = lambda: adapter.last_limits
    return adapter, account


def _connect_stripe(
    config: Config, store: Store, pacer: Pacer, pins: Pins, *, patient: bool
) -> tuple[StripeAdapter, Account | None]:
    """The adapter, and its account if that is confirmed already."""
    from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions  # noqa: PLC0415 - the SDK loads slowly

    if not pins.portal:
        raise ConfigError(["hubspot.portal_id: is not known yet: set it, or run wanesync init with both keys once"])
    options = StripeOptions(
        config.stripe.require_key(),
        config.stripe.base_url,
        portal=pins.portal,
        gate=pacer.pass_gate,
        sent=pacer.note_sent,
        observe=RequestFigures(pacer, intake_wiring.build_tracing(config)).count,
        network=build_network_policy(config),
        event_key=store.encryption.event_key,
    )
    fields = FieldMap(config.specs)

    def check(store: Store, api_key: str) -> None:
        with store.reading() as tx:
            known = load_pins(tx)
        known.check_stripe(StripeAdapter(replace(options, api_key=api_key, key=None), fields).account())

    options = replace(options, key=_build_key(config, store, Side.STRIPE, check))
    gate = AccountGate(Side.STRIPE, StripeAdapter(options, fields).account, pins.check_stripe, pacer.pass_gate)
    account = gate.begin(patient=patient)
    return StripeAdapter(replace(options, gate=gate.pass_gate), fields), account


def _build_key(config: Config, store: Store, side: Side, check: Callable[[Store, str], None]) -> RenewedKey | None:
    """Build the key of a side that is read again while the process runs; None for one that never changes.

    ``check``: raises ``WrongAccount`` and ``CallError`` unless another key may be used.
    """
    source, name = config.secret_source, API_KEYS[side]
    if not source.is_renewable(name):
        return None

    def resume_side() -> None:
        with suppress(WanesyncError):
            store.run(lambda tx: resume_refused(tx, side))
            store.wake_workers()

    key = RenewedKey(side, name, source, partial(check, store), resume_side)
    source.listeners.append(key.adopt)
    return key


def _initialise(tx: Tx, pins: Pins, *, writes: str) -> None:
    """Store what the first start decides: the accounts, and whether writes begin switched on."""
    store_pins(tx, pins)
    tx.settings.add(WRITES, writes)


# -- what a process runs


def build_worker(runtime: Runtime, sides: Iterable[Side]) -> Worker:
    """Build a worker for the lanes of ``sides``."""
    return Worker(runtime, tuple(sides), runtime.store.clock)


def build_routine_tasks(
    config: Config, runtime: Runtime, sides: Iterable[Side], stopping: threading.Event, *, list_first: bool = False
) -> RoutineTasks:
    """Build catch-up and the first listing (``list_first``) for the sides this process has keys for."""
    return RoutineTasks(
        runtime,
        sides,
        config.worker.catch_up_minutes * MINUTE_MS,
        stopping,
        build_catch_up(runtime),
        lambda: build_reconcile(runtime, snapshot_path(config)),
        list_first=list_first,
    )


def build_portal_check(config: Config, runtime: Runtime, stopping: threading.Event) -> PortalCheck:
    """Build the regular check of what the HubSpot account must have."""
    return PortalCheck(runtime, runtime.options.sink, config.purchases.event_name, stopping)


def build_side_probe(runtime: Runtime, sides: Iterable[Side], stopping: threading.Event) -> SideProbe:
    """Build the regular check of the sides this process has keys for."""
    return SideProbe(runtime, tuple(sides), stopping)


def build_generation_marker(config: Config, store: Store, stopping: threading.Event) -> GenerationMarker:
    """Build the marker by which a restored database is recognised: a file beside the snapshot's place."""
    place = snapshot_path(config)
    path = None if place == MEMORY else Path(place).with_suffix(".generation")
    return GenerationMarker(store, path, stopping, beside=config.database.startswith("sqlite:"))


def build_secret_refresh(config: Config, store: Store | None, process: str, stopping: threading.Event) -> SecretRefresh:
    """Build what reads the secrets of this process again. ``process``: what it is called in the alarms' entries."""
    return SecretRefresh(config.secret_source, config.secrets.refresh, stopping, store, process)


def build_retention_task(config: Config, store: Store) -> RetentionTask:
    """Build the task that deletes what is older than its retention."""
    kept = RetentionPolicy(**config.retention.model_dump())
    return RetentionTask(store, kept, max_log_lines=config.log.store_lines)


def build_web_server(
    config: Config, store: Store, sockets: Sequence[socket.socket] = (), shared: SharedAnswers | None = None
) -> WebServer:
    """Build the web server with its socket open. Raises ``ConfigError`` and ``WrongAccount``.

    ``sockets``, ``shared``: of a process group (``web.process_group``).
    """
    from wanesync.ops.health.gauges import read_gauges  # noqa: PLC0415 - the web process only
    from wanesync.web.door_test import DoorTest  # noqa: PLC0415 - the web process only
    from wanesync.web.metrics import WebhookCounters  # noqa: PLC0415 - the web process only
    from wanesync.web.server import WebServer, find_trouble  # noqa: PLC0415 - the web process only

    if not config.is_rehearsal:
        config.require("server.public_url")
    counts = WebhookCounters(store.figures, shared)
    tracing = intake_wiring.build_tracing(config)
    intake = replace(build_intake(config, store), count=counts.count_elements, tracing=tracing, in_messages=True)
    settings = replace(
        intake_wiring.build_web_settings(config.server),
        ready=lambda: find_trouble(store),
        gauges=lambda: read_gauges(store, config.sync.target_s * 1000),
        figures=lambda: store.read(lambda tx: tx.figures.read_all_time()),
        receive_test=DoorTest(store, intake.hooks).receive,
    )
    return WebServer(store, intake, settings, (config.server.host, config.server.port), counts, sockets=sockets)


# -- bulk work


def build_catch_up(runtime: Runtime) -> CatchUp:
    """Build catch-up."""
    return CatchUp(runtime, dict(runtime.pacers))


def build_reconcile(runtime: Runtime, snapshot: str = MEMORY, *, parallel: bool = False) -> Reconcile:
    """Build diff and reconcile. ``snapshot``: path of its SQLite file (``snapshot_path``).

    ``parallel``: contacts are listed by several requests at a time, by ranges of ids, which HubSpot does not document.
    """
    lanes = dict(LANES) | ({Side.HUBSPOT: PARALLEL_HUBSPOT_LANES} if parallel else {})
    with runtime.store.reading() as tx:
        identity = load_pins(tx).by_setting()
    identity["parallel"] = str(parallel)
    # A snapshot of before a rotation is not continued: its key may be removed.
    identity["key"] = runtime.store.encryption.sealing
    return Reconcile(runtime, dict(runtime.pacers), snapshot, identity, lanes)


def build_plan_reader(config: Config, store: Store) -> PlanReader:
    """Build what shows saved plans; it needs no key and makes no request."""
    return PlanReader(store, FieldMap(config.specs).version)


def build_session(
    runtime: Runtime,
    snapshot: str,
    *,
    parallel: bool = False,
    max_requests: int | None = None,
    writes: bool = False,
) -> AbstractContextManager[ReconcileSession]:
    """Build a session of diff or reconcile (``open_session``). ``snapshot``, ``parallel``: as in ``build_reconcile``.

    ``max_requests``: the most requests it may make. ``writes``: it is to queue jobs, not only to show.
    """
    rounds = build_reconcile(runtime, snapshot, parallel=parallel)
    return open_session(runtime, rounds, build_catch_up(runtime), writes=writes, max_requests=max_requests)


def snapshot_path(config: Config) -> str:
    """Return the snapshot's path: beside the SQLite database, else in the working directory, one per database."""
    if not config.database.startswith("sqlite:"):
        address = config.database.rpartition("@")[2]  # without user and password: these may change
        return f"wanesync-{blake2b(address.encode(), digest_size=4).hexdigest()}.snapshot"
    path = config.database.removeprefix("sqlite:")
    return path if path == MEMORY else f"{path}.snapshot"


# -- set-up and its checks


def build_setup_ports(config: Config, store: Store | None) -> tuple[HubSpotSetupPort | None, StripeSetupPort | None]:
    """Build what a set-up reads both accounts with; None for a side without a key. Requests are paced with a store."""
    from wanesync.adapters.hubspot.account_setup import HubSpotSetup  # noqa: PLC0415 - the SDK loads slowly
    from wanesync.adapters.hubspot.adapter import HubSpotOptions  # noqa: PLC0415 - the SDK loads slowly

    fields = FieldMap(config.specs)
    gates = {side: _build_gate(store, side) for side in Side}
    hubspot: HubSpotSetupPort | None = None
    if config.hubspot.access_token:
        options = HubSpotOptions(
            config.hubspot.require_token(),
            config.hubspot.base_url,
            event_name=config.purchases.event_name,
            api_version=config.hubspot.api_version,
            gate=gates[Side.HUBSPOT],
            network=build_network_policy(config),
        )
        hubspot = HubSpotSetup(options, fields)
    key = config.stripe.require_key() if config.stripe.api_key else ""
    return hubspot, build_stripe_setup(config, key, gates[Side.STRIPE]) if key else None


def build_stripe_setup(config: Config, key: str, gate: Callable[[], None] = lambda: None) -> StripeSetupPort:
    """Build what a set-up reads a Stripe account with, and changes its webhook endpoints."""
    from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions  # noqa: PLC0415 - the SDK loads slowly
    from wanesync.adapters.stripe.setup import StripeSetup  # noqa: PLC0415 - the SDK loads slowly

    # No event is read through it, so that the key of events is not needed.
    network = build_network_policy(config)
    options = StripeOptions(key, config.stripe.base_url, gate=gate, network=network, event_key=b"")
    return StripeSetup(StripeAdapter(options, FieldMap(config.specs)))


def _build_gate(store: Store | None, side: Side) -> Callable[[], None]:
    if store is None:
        return lambda: None
    pacer = Pacer(store, store.clock, side)

    def pass_paced() -> None:
        # A database that only db migrate has seen holds no limits yet: nothing else makes requests by it.
        with suppress(NotFound):
            pacer.pass_gate()

    return pass_paced


def describe_endpoint() -> tuple[tuple[str, ...], str]:
    """Return the events that Stripe's webhook endpoint is to send, and their API version."""
    from wanesync.adapters.stripe.events import EVENT_TYPES  # noqa: PLC0415 - the SDK loads slowly

    return tuple(EVENT_TYPES), STRIPE_VERSION


def find_known_accounts(config: Config) -> KnownAccounts:
    """Return the accounts that the database and the configuration name; without a database the configuration alone."""
    try:
        store = open_database(config, migrate=False)
    except WanesyncError:
        return _read_known(config, None)
    try:
        return _read_known(config, store)
    finally:
        store.close()


def _read_known(config: Config, store: Store | None) -> KnownAccounts:
    pins = Pins()
    if store is not None:
        with store.reading() as tx:
            pins = load_pins(tx)
    portal, account = str(config.hubspot.portal_id or ""), config.stripe.account_id or ""
    return KnownAccounts(pins.portal or portal, pins.account or account, pins.mode)


def build_examined(
    config: Config, config_file: Path | None, store: Store | None, no_store: list[str], broken: Iterable[str] = ()
) -> Examined:
    """Build the set-up that ``wanesync doctor`` examines.

    ``no_store``: why there is no database. ``broken``: the secrets that cannot be read.
    """
    from wanesync.adapters.signatures import sign_hubspot, sign_stripe  # noqa: PLC0415 - this command only

    known = _read_known(config, store)
    hubspot, stripe = build_setup_ports(config, store)
    sign = {}
    if config.hubspot.webhook_secrets:
        sign[Side.HUBSPOT] = partial(sign_hubspot, config.hubspot.webhook_secrets[0])
    if config.stripe.webhook_secrets:
        sign[Side.STRIPE] = partial(sign_stripe, config.stripe.webhook_secrets[0])
    events, version = describe_endpoint()
    addresses = {Side.HUBSPOT: config.hubspot.base_url, Side.STRIPE: config.stripe.base_url}
    return Examined(
        config=config,
        config_file=config_file,
        store=store,
        no_store=no_store,
        known=known,
        hubspot=hubspot,
        stripe=stripe,
        sign=sign,
        events=events,
        version=version,
        broken=frozenset(broken),
        ways={side: describe_policy(build_network_policy(config), url) for side, url in addresses.items()},
    )
