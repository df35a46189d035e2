"""Wiring of what receives webhooks: the database and the intake, without workers, bulk work and the vendors' SDKs.

Apart from ``wiring`` because a serverless process imports it at every cold start (docs/deploy.md#cold-starts).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wanesync.accounts import read_pins
from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks
from wanesync.adapters.signatures import HubSpotSignature, RenewableSignature, StripeSignature
from wanesync.adapters.stripe.events import StripeAccount, StripeEvents
from wanesync.adapters.webhooks import VerifiedWebhooks, WebhookAdapter
from wanesync.config.database_address import DatabaseAddress
from wanesync.config.model import HOOK_SECRETS, Config
from wanesync.config.sections import Server
from wanesync.core.errors import ConfigError
from wanesync.core.fields import FieldMap
from wanesync.core.model import Side
from wanesync.core.operating.tracing import NO_TRACING, Tracing
from wanesync.core.ports import WebhookPort
from wanesync.ops.field_map import MapClaim, claim_field_map
from wanesync.store.database import Store, open_store
from wanesync.store.encryption import key_file_of
from wanesync.store.key_source import FileKeys, KeySource, ListedKeys
from wanesync.sync.failpoints import armed_failpoint
from wanesync.sync.intake import Intake

if TYPE_CHECKING:
    from wanesync.web.settings import WebSettings


def open_database(config: Config, *, migrate: bool | None = None, pooled: bool = False, connections: int = 0) -> Store:
    """Open the database. Raises ``DatabaseUnavailable`` and ``ConfigError``.

    ``migrate``: whether to create it or bring it to this program's schema. None: only a SQLite file that exists.
    ``pooled``, ``connections``: as in ``open_store``.
    """
    if migrate is None and not is_on_file(config):
        migrate = False
    address = build_address(config)
    return open_store(
        config.database,
        find_key_source(config) or (),
        migrate=migrate,
        pooled=pooled or config.database_pooler,
        connections=connections,
        find_url=address.find if address else None,
    )


def build_address(config: Config) -> DatabaseAddress | None:
    """Build the address of a Postgres whose password may be replaced while the process runs; None for any other."""
    source = config.secret_source
    if is_on_file(config) or not any(map(source.is_renewable, DatabaseAddress.KEYS)):
        return None
    return DatabaseAddress(source, config.database)


def find_key_source(config: Config) -> KeySource | None:
    """Where the encryption keys of a configuration are read; None: in the key file beside a SQLite database."""
    security = config.security
    if security.key_file:
        return FileKeys(Path(security.key_file).expanduser())
    if security.keys:
        # The whole file: the list itself may be changed.
        return ListedKeys(security.entries, lambda: config.read_again().security.entries, config.secrets.refresh)
    return None


def find_key_file(config: Config) -> Path | None:
    """The key file that ``keys rotate`` writes; None where the keys are listed in the configuration."""
    source = find_key_source(config)
    return source.path if isinstance(source, FileKeys) else None if source else key_file_of(config.database)


def is_on_file(config: Config) -> bool:
    """Whether the database is a SQLite file, which long-running programs create by themselves."""
    return config.database.startswith("sqlite:")


def build_web_settings(server: Server) -> WebSettings:
    """Build the settings of a web server that any process has. Raises ``ConfigError`` if a listener is exposed."""
    from wanesync.web.certificate import ServerCertificate  # noqa: PLC0415 - a serverless process has no listener
    from wanesync.web.exposure import check_doors, shows_metrics  # noqa: PLC0415 - as above
    from wanesync.web.proxies import TrustedProxies, parse_network  # noqa: PLC0415 - as above
    from wanesync.web.settings import WebSettings  # noqa: PLC0415 - as above

    check_doors(server)
    return WebSettings(
        public_url=server.public_url or "",
        max_body_bytes=server.max_body_bytes,
        certificate=ServerCertificate(server.certificate, server.key) if server.certificate and server.key else None,
        metrics_address=None if server.metrics_port is None else (server.metrics_host, server.metrics_port),
        metrics_token=server.metrics_token.get_secret_value() if server.metrics_token else "",
        shows_metrics=shows_metrics(server),
        trusted_proxies=TrustedProxies(tuple(map(parse_network, server.trusted_proxies))),
    )


def find_given_sides(config: Config) -> list[Side]:
    """Return the sides whose webhook secret this process has. Raises ``ConfigError`` if it has none."""
    given = {Side.HUBSPOT: config.hubspot.webhook_secrets, Side.STRIPE: config.stripe.webhook_secrets}
    sides = [side for side in Side if given[side]]
    if not sides:
        config.require(*HOOK_SECRETS.values())
    return sides


def build_intake(
    config: Config, store: Store, *, verified: bool = False, sides: Collection[Side] = tuple(Side)
) -> Intake:
    """Build the intake of webhooks: webhook secrets, no API key. Raises ``ConfigError`` and ``WrongAccount``.

    ``verified``: of webhooks whose signatures a handler has verified, so without a secret. ``sides``: whose webhooks.
    """
    if not verified:
        config.require(*(HOOK_SECRETS[side] for side in sides))
    store.check_keys()
    pins = read_pins(config, store)
    if not pins.portal or not pins.mode:
        raise ConfigError(["whose webhooks these are is not known yet: run wanesync init once"])
    fields = FieldMap(config.specs)
    claim_field_map(store, fields, MapClaim.TAKE_OVER)
    key = store.encryption.event_key
    hubspot = HubSpotWebhooks(fields, pins.portal, frozenset(config.hubspot.own_source_ids), key=key)
    stripe = StripeEvents(fields, StripeAccount(pins.mode == "live", pins.portal, pins.account), key=key)
    parsers: dict[Side, HubSpotWebhooks | StripeEvents] = {Side.HUBSPOT: hubspot, Side.STRIPE: stripe}
    hooks: dict[Side, WebhookPort] = {
        side: VerifiedWebhooks(parsers[side])
        if verified
        else WebhookAdapter(build_signature(config, side), parsers[side])
        for side in sides
    }
    return Intake(store, hooks, armed_failpoint(), sleep=time.sleep)


def build_tracing(config: Config) -> Tracing:
    """Build what traces webhooks and requests in this process. Raises ``ConfigError`` without the extra it needs."""
    telemetry = config.telemetry
    if telemetry.traces is None:
        return NO_TRACING
    try:
        from wanesync.telemetry import open_tracing  # noqa: PLC0415 - an extra, and of no use without a collector
    except ImportError as error:
        missing = "telemetry.traces: needs OpenTelemetry, which is not installed: pip install 'wanesync[otel]'"
        raise ConfigError([missing]) from error
    return open_tracing(telemetry.traces, telemetry.sample, f"{socket.gethostname()}-{os.getpid()}")


def build_signature(config: Config, side: Side) -> RenewableSignature:
    """Build what verifies the webhooks of a side, with secrets that are read again while the process runs."""
    source, key = config.secret_source, HOOK_SECRETS[side]
    make = HubSpotSignature if side is Side.HUBSPOT else StripeSignature
    written = config.hubspot.webhook_secrets if side is Side.HUBSPOT else config.stripe.webhook_secrets
    renew = partial(source.refresh, [key]) if source.is_renewable(key) else None
    return RenewableSignature(make, lambda: source.current(key) or written, renew)
