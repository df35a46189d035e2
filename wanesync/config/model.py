"""The configuration: a TOML file with overrides from the environment, checked as a whole.

``load`` reports every problem at once, each with the line or the variable it comes from.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from wanesync.config import overrides as tables
from wanesync.config import references, toml_mistakes
from wanesync.config.admin import Admin
from wanesync.config.alerts import ALERT_SECRETS, RECIPIENT_LISTS, Alerts
from wanesync.config.locations import ConfigProblem, KeyLocations, KeyPath, find_lines
from wanesync.config.log_settings import Log
from wanesync.config.managers.contents import split_list
from wanesync.config.managers.reader import ManagerReader
from wanesync.config.secret_source import SecretSource, Values
from wanesync.config.sections import (
    Bus,
    ChangeGuard,
    Create,
    FieldEntry,
    Fields,
    FirstContact,
    HubSpot,
    Network,
    Purchases,
    Retention,
    Secrets,
    Security,
    Server,
    Stripe,
    Sync,
    Worker,
    describe_missing,
)
from wanesync.config.telemetry import Telemetry
from wanesync.config.value_types import (
    Database,
    Password,
    Section,
)
from wanesync.core.errors import ConfigError
from wanesync.core.fields import DEFAULT_FIELDS, FieldSpec
from wanesync.core.model import Side
from wanesync.core.normalize import DEFAULTS
from wanesync.core.rate_limits import (
    BULK,
    DAILY,
    LIVE_RATE,
    MONTHLY_READS,
    SEARCH,
    STRIPE_OPERATIONS,
    TEST_RATE,
)

API_KEYS: Mapping[Side, str] = {Side.HUBSPOT: "hubspot.access_token", Side.STRIPE: "stripe.api_key"}
"""The keys by which the sides are called."""
HOOK_SECRETS: Mapping[Side, str] = {
    Side.HUBSPOT: "hubspot.webhook_secret",
    Side.STRIPE: "stripe.webhook_secret",
}
WEBHOOK_SECRETS = tuple(HOOK_SECRETS.values())
"""The secrets by which webhooks are verified."""
DOOR_SECRETS = (*WEBHOOK_SECRETS, "server.metrics_token")
"""The secrets that a process which receives webhooks uses."""
BUS_SECRETS = ("bus.password", "bus.seal_key")
"""The secrets by which a process takes part in the bus."""
VENDOR_SECRETS = frozenset({*API_KEYS.values(), *WEBHOOK_SECRETS})
"""The secrets by which the vendors are called, and their webhooks verified."""
OPTIONAL_SECRETS = VENDOR_SECRETS | {*BUS_SECRETS, *DOOR_SECRETS, *ALERT_SECRETS}
"""The secrets that only some processes use."""
STORE_SECRETS = frozenset({"database", "database_password", "security.keys"})
"""The secrets of a process that uses the database."""
PROXY = "network.proxy"
"""A secret where it holds a password; of the processes that call the vendors or send notices."""
SECRET_KEYS = OPTIONAL_SECRETS | STORE_SECRETS | {PROXY}
"""Every secret: it may be a reference into a secrets manager, and its file readable by its owner, and a group of this
process, only."""
SECRET_LISTS = frozenset({*WEBHOOK_SECRETS, "security.keys", "bus.seal_key", *RECIPIENT_LISTS})
"""Secrets of several values: each reference may lead to one of them, or to a JSON list."""


class Config(Section):
    """The whole configuration, made by ``load``; frozen, and without secrets in its ``repr``."""

    database: Database = "sqlite:wanesync.db"
    database_password: Password | None = None
    database_pooler: bool = False
    hubspot: HubSpot = HubSpot()
    stripe: Stripe = Stripe()
    server: Server = Server()
    network: Network = Network()
    security: Security = Security()
    bus: Bus = Bus()
    secrets: Secrets = Secrets()
    field: tuple[FieldEntry, ...] = ()
    fields: Fields = Fields()
    create: Create
    purchases: Purchases = Purchases()
    first_contact: FirstContact = FirstContact()
    brake: ChangeGuard = ChangeGuard()
    sync: Sync = Sync()
    worker: Worker = Worker()
    retention: Retention = Retention()
    log: Log = Log()
    telemetry: Telemetry = Telemetry()
    admin: Admin = Admin()
    alerts: Alerts = Alerts()
    _secret_source: SecretSource = PrivateAttr(default_factory=SecretSource)
    _read_again: Callable[[], Config] | None = PrivateAttr(default=None)

    @property
    def secret_source(self) -> SecretSource:
        """The secrets of this process, which can be read again; empty for a configuration that was not loaded."""
        return self._secret_source

    def read_again(self) -> Config:
        """Read the configuration again, without the secrets that only some processes use. Raises ``ConfigError``."""
        return self if self._read_again is None else self._read_again()

    @property
    def specs(self) -> tuple[FieldSpec, ...]:
        """The field map: the ``[[field]]`` entries, or the default map where there are none."""
        specs = tuple(entry.spec() for entry in self.field) or DEFAULT_FIELDS
        options = self.fields.options()
        return specs if options == DEFAULTS else tuple(replace(spec, options=options) for spec in specs)

    @property
    def is_rehearsal(self) -> bool:
        """Whether both sides are sandboxes on this machine."""
        hosts = {urlsplit(url).hostname for url in (self.hubspot.base_url, self.stripe.base_url)}
        return hosts <= {"127.0.0.1", "localhost", "::1"}

    def find_rate_limits(self, mode: str) -> dict[str, float | None]:
        """Return scope -> its limit in requests a second (a quota: in its own unit); None for no limit.

        ``mode``: ``live`` or ``test``, which Stripe's default depends on; "" while unknown.
        """
        rate = self.stripe.rate or (TEST_RATE if mode == "test" else LIVE_RATE)
        return {
            Side.HUBSPOT: self.hubspot.rate,
            SEARCH: self.hubspot.search_rate,
            DAILY: self.hubspot.daily_share,
            Side.STRIPE: rate,
            BULK: self.stripe.bulk_rate,
            MONTHLY_READS: self.stripe.monthly_reads,
            **{f"{Side.STRIPE}:{operation}": self.stripe.operation_rate for operation in STRIPE_OPERATIONS},
        }

    def require(self, *keys: str) -> None:
        """Raise ``ConfigError`` naming every one of ``keys`` (``stripe.api_key``) that has no value."""
        problems = []
        for key in keys:
            section, _, name = key.partition(".")
            if not getattr(getattr(self, section), name):
                problems.append(describe_missing(key))
        if problems:
            raise ConfigError(problems)


SECTIONS: Mapping[str, type[Section]] = {
    "field": FieldEntry,
    **{name: type(info.default) for name, info in Config.model_fields.items() if isinstance(info.default, Section)},
    "create": Create,
}
"""Table -> its model."""


def load(
    path: Path | None, env: Mapping[str, str], uses: Collection[str] = VENDOR_SECRETS, *, stores: bool = True
) -> Config:
    """Read ``path`` (None: no file) and the overrides in ``env`` (``WANESYNC_STRIPE__API_KEY``), and check all of it.

    A list in ``env`` is one value, or several as JSON. ``uses``: those of ``OPTIONAL_SECRETS`` that this process needs;
    ``stores``: whether it needs ``STORE_SECRETS``. References of the others are not resolved and count as not set.
    Raises ``ConfigError`` with every problem, one line each, in the order of the file.
    """
    data, locations, problems = _read(path)
    folder = path.parent if path else Path()
    tables.resolve_database_path(data, Config.model_fields["database"].default, folder)
    problems += tables.override(data, env, locations)
    if not tables.find_secrets(data, ALERT_SECRETS):
        # Without recipients no notice leaves, so that the proxy is not needed for them.
        uses = set(uses) - set(ALERT_SECRETS)
    tables.drop_unused(data, SECRET_KEYS - find_used(uses, stores=stores))
    source = _build_source(tables.find_secrets(data, SECRET_KEYS), env, folder)
    unresolved = tables.resolve_secrets(data, SECRET_KEYS, source.look_up)
    unresolved += tables.resolve(
        data,
        # A secret is what it was resolved to, whatever that looks like.
        lambda key, text: text if key in SECRET_KEYS else references.resolve(text, env, folder, private=False),
    )
    tables.resolve_files(data, FILE_KEYS, folder)
    source.values.update(tables.find_secrets(data, SECRET_KEYS))
    problems += map(_name_the_origin, unresolved)
    problems += [
        *tables.join_password(data),
        *tables.check_database_path(data),
        *tables.check_across_tables(data, stores=stores),
        *(tables.check_transit(data, env) if stores else ()),
        *tables.find_duplicates(data),
        *tables.check_metadata_room(data),
    ]
    wrong = {problem.path for problem in problems}
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        found = (ConfigProblem(item["loc"], _explain(item)) for item in error.errors(include_url=False))
        problems += [problem for problem in found if problem.path not in wrong]
    else:
        problems += [] if problems else tables.check_email_field(data, config.specs if config.field else ())
        config._secret_source = source
    if config is None or problems:
        # Raised outside the handler: pydantic's error would hold the values, secrets among them.
        raise ConfigError([locations.describe(problem) for problem in sorted(problems, key=locations.sort_key)])
    config._read_again = partial(load, path, env, ())
    return config


def read_secrets(path: Path | None, env: Mapping[str, str]) -> SecretSource:
    """Return every secret as it is written, none resolved; the rest of the configuration is not checked.

    Raises ``ConfigError`` for a file that cannot be read.
    """
    data, locations, _ = _read(path)
    folder = path.parent if path else Path()
    # Problems of the rest are named by the commands that run.
    list(tables.override(data, env, locations))
    return _build_source(tables.find_secrets(data, SECRET_KEYS), env, folder)


def find_used(uses: Collection[str], *, stores: bool) -> frozenset[str]:
    """Return every secret of a process with those optional secrets; ``stores``: it uses the database."""
    # A command without secrets may be given a key by its option; notices leave by the proxy as well.
    calls = not uses or not {*API_KEYS.values(), *ALERT_SECRETS}.isdisjoint(uses)
    return frozenset({*uses, *(STORE_SECRETS if stores else ()), *([PROXY] if calls else [])})


def _build_source(written: Mapping[str, Values], env: Mapping[str, str], folder: Path) -> SecretSource:
    managers = ManagerReader()

    def look_up(key: str, text: str) -> list[str]:
        value = references.resolve_secret(text, env, folder, managers)
        return split_list(value) if key in SECRET_LISTS and value != text else [value]

    return SecretSource(written, look_up=look_up, check=check_secret)


def check_secret(key: str, values: Values, *, place: str = "") -> None:
    """Raise ``ConfigError`` unless the values of a secret are what its key takes, as at the start.

    ``place``: where the value comes from, if not from the configuration: an option.
    """
    section, _, name = key.rpartition(".")
    value: object = list(values) if key in SECRET_LISTS else values[0]
    model: type[BaseModel] = SECTIONS[section] if section else Config
    problems = []
    try:
        model.model_validate({name: value})
    except ValidationError as error:
        problems = [
            f"{place or key}: the value that was read {_explain(item)}"
            for item in error.errors(include_url=False)
            if item["loc"][:1] == (name,)
        ]
    if problems:
        # Raised outside the handler: pydantic's error would hold the values.
        raise ConfigError(problems)


def _read(path: Path | None) -> tuple[tables.Table, KeyLocations, list[ConfigProblem]]:
    if path is None:
        return {}, KeyLocations(), []
    try:
        with path.open("rb") as file:
            found, content = os.fstat(file.fileno()), file.read(toml_mistakes.MAX_BYTES + 1)
    except OSError as error:
        advice = "make one with wanesync init, or name another with --config"
        if isinstance(error, PermissionError):
            advice = "let the user of this process read it (chgrp to one of its groups, chmod 640)"
        raise ConfigError([f"{path}: cannot be read ({error.strerror}): {advice}"]) from error
    text = toml_mistakes.decode(content, path.name)
    data = toml_mistakes.parse(text, path.name)
    return data, KeyLocations(path.name, find_lines(text)), _check_place(data, path, found)


ORIGINS: Mapping[tuple[str | int, ...], str] = {
    ("stripe", "webhook_secret"): "wanesync webhooks stripe create writes it",
    ("hubspot", "webhook_secret"): "the client secret of the app, in HubSpot's Auth tab",
}


def _name_the_origin(problem: ConfigProblem) -> ConfigProblem:
    """Add where a webhook secret that is not there yet comes from."""
    absent = "No such file" in problem.text or "is not set" in problem.text
    origin = ORIGINS.get(problem.path[:2]) if absent else None
    return ConfigProblem(problem.path, f"{problem.text} ({origin})") if origin else problem


def _check_place(data: tables.Table, path: Path, found: os.stat_result) -> list[ConfigProblem]:
    """Refuse a file that others can reach and that holds a secret itself."""
    literal = next(tables.find_literal_secrets(data, SECRET_KEYS), None)
    exposure = references.check_private(path, found) if literal else ""
    if literal is None or not exposure:
        return []
    text = f"is a secret in a file that {exposure}, or write env:NAME or file:PATH here"
    return [ConfigProblem(literal, text)]


FILE_KEYS = (
    *("server.certificate", "server.key", "network.ca_bundle", "security.key_file"),
    *("bus.ca", "bus.certificate", "bus.key"),
    *("admin.certificate", "admin.key"),
)
"""Keys that name a file; a relative path begins at the folder of the configuration."""
FIELD_TEXT = "must be written [[field]], in two brackets, once for each field"
PLAIN_TEXTS = {
    "missing": "is missing: give it a value",
    "string_too_short": "is empty: give it a value, or leave the key out",
    "too_short": "is empty: give it a value, or leave the key out",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    "int_parsing_size": "is too large",
    "too_long": "takes one text only",
    "string_unicode": "holds a character that is no text",
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "string_type": "must be a text in quotes",
    "tuple_type": "must be a text in quotes, or a list of such texts",
}
"""Kind of error -> its text, where pydantic's own does not say what to do."""


def _explain(item: ErrorDetails) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(item["loc"])
    if kind in PLAIN_TEXTS:
        return FIELD_TEXT if item["loc"] == ("field",) else PLAIN_TEXTS[kind]
    if kind in {"literal_error", "enum"}:
        return f"must be {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    if kind in {"model_type", "model_attributes_type"}:
        return f"must be a table: [{item['loc'][0]}]"
    return item["msg"].replace("Input should", "must").replace("Value should", "must").replace("String should", "must")


def _unknown(path: KeyPath) -> str:
    model: type[BaseModel] = Config
    for part in path[:-1]:
        model = SECTIONS.get(str(part), model)
    near = difflib.get_close_matches(str(path[-1]), model.model_fields, n=1)
    return f"is unknown: did you mean {near[0]}?" if near else f"is unknown: one of {', '.join(model.model_fields)}"
