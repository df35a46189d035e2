"""The sections of the configuration: every key with its type, bounds and default.

``config.model`` puts them together and reads the file.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from wanesync.config.locations import variable_name
from wanesync.config.value_types import (
    HUBSPOT_URL,
    STRIPE_URL,
    AccountId,
    Address,
    BusKey,
    BusName,
    BusUrl,
    Count,
    Country,
    Days,
    EncryptionKey,
    EventName,
    FieldName,
    FilePath,
    HubSpotSecrets,
    HubSpotToken,
    ListeningHost,
    MetricsToken,
    NetworkAddress,
    PrivateNetwork,
    Property,
    ProxyAddress,
    PublicAddress,
    Rate,
    RefreshSeconds,
    Section,
    Share,
    StripeKey,
    StripePath,
    StripeSecrets,
    Text,
    Texts,
    Transform,
    as_tuple,
)
from wanesync.core.errors import ConfigError
from wanesync.core.fields import Clears, Direction, FieldSpec
from wanesync.core.model import Side
from wanesync.core.normalize import BusinessNames, FormOptions
from wanesync.core.rate_limits import (
    OPERATION_DEFAULT,
)
from wanesync.core.setup.api_versions import HubSpotVersion


class HubSpot(Section):
    """Access to HubSpot. ``rate`` and ``search_rate``: requests a second. ``portal_id``: the account's number.

    ``api_version``: of the paths that are called. ``daily_share``: of the day's requests, for bulk work.
    """

    access_token: HubSpotToken | None = None
    webhook_secret: HubSpotSecrets = ()
    base_url: Address = HUBSPOT_URL
    api_version: HubSpotVersion = "v3"
    portal_id: Count | None = None
    rate: Rate = 15
    search_rate: Rate = 4
    daily_share: Share = 0.5
    own_source_ids: Texts = ()

    @property
    def webhook_secrets(self) -> list[str]:
        """The webhook secrets in plain text."""
        return [secret.get_secret_value() for secret in self.webhook_secret]

    def require_token(self) -> str:
        """Return the access token in plain text; raise ``ConfigError`` if there is none."""
        return _require(self.access_token, "hubspot.access_token")


class Stripe(Section):
    """Access to Stripe. Rates in requests a second: all together, any one kind of call, those of bulk work.

    ``rate`` None: what Stripe allows by default in the mode of the account. ``monthly_reads``: reads in 30 days; None:
    no limit of its own.
    """

    api_key: StripeKey | None = None
    webhook_secret: StripeSecrets = ()
    base_url: Address = STRIPE_URL
    account_id: AccountId | None = None
    rate: Rate | None = None
    operation_rate: Rate = OPERATION_DEFAULT
    bulk_rate: Rate | None = None
    monthly_reads: Count | None = None

    @property
    def webhook_secrets(self) -> list[str]:
        """The webhook secrets in plain text."""
        return [secret.get_secret_value() for secret in self.webhook_secret]

    @property
    def mode(self) -> str:
        """Return ``live`` or ``test``, by the prefix of the API key; "" without a key."""
        if self.api_key is None:
            return ""
        return "live" if "_live_" in self.api_key.get_secret_value()[:8] else "test"

    def require_key(self) -> str:
        """Return the API key in plain text; raise ``ConfigError`` if there is none."""
        return _require(self.api_key, "stripe.api_key")


class Server(Section):
    """The web door. ``public_url``: what HubSpot calls, as HubSpot signs it.

    ``certificate``, ``key``: PEM files of TLS. ``behind_proxy``: a proxy in front ends TLS. ``trusted_proxies``: the
    networks whose forwarding headers count. ``metrics_port``: of a listener for figures alone; ``metrics_token``: what
    a request for them must carry.
    """

    host: ListeningHost = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8787
    public_url: PublicAddress | None = None
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 40 * 1024 * 1024
    certificate: FilePath | None = None
    key: FilePath | None = None
    behind_proxy: bool = False
    trusted_proxies: Annotated[tuple[NetworkAddress, ...], BeforeValidator(as_tuple)] = ()
    metrics_host: ListeningHost = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    metrics_token: MetricsToken | None = None

    @model_validator(mode="after")
    def _check_pair(self) -> Server:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key must be given both or neither")
        return self


class Network(Section):
    """How requests to both vendors leave. ``proxy``: its address; ``ca_bundle``: a file of authorities.

    ``use_environment``: proxy and authorities may come from the environment. ``allow_base_url``: another address than
    the vendors' may get a key. ``private``: networks and hosts that only this installation reaches: a Postgres there
    need not prove who it is.
    """

    proxy: ProxyAddress | None = None
    ca_bundle: FilePath | None = None
    use_environment: bool = False
    allow_base_url: bool = False
    private: Annotated[tuple[PrivateNetwork, ...], BeforeValidator(as_tuple)] = ()


class Security(Section):
    """Encryption keys as ``id:base64``: the first one encrypts, all decrypt. None: a key file beside the database.

    ``key_file``: a file with such an entry a line, instead of ``keys``.
    """

    keys: Annotated[tuple[EncryptionKey, ...], BeforeValidator(as_tuple)] = ()
    key_file: Text | None = None

    @model_validator(mode="after")
    def _check_ids(self) -> Security:
        if len({entry.partition(":")[0] for entry in self.entries}) != len(self.keys):
            raise ValueError("an id is used twice: what one key encrypted the other could not decrypt")
        if self.keys and self.key_file:
            raise ValueError("has both keys and key_file: the keys stand in one place")
        return self

    @property
    def entries(self) -> tuple[str, ...]:
        """The keys as the store takes them, the one that encrypts first."""
        return tuple(key.get_secret_value() for key in self.keys)


class Bus(Section):
    """The broker between the parts (docs/mqtt.md). ``url`` None: there is none, everything goes through the database.

    ``name``: of this process among those of its part; a queue process keeps it for ever. ``ca``, ``certificate``,
    ``key``: paths of PEM files. ``seal_key``: the first seals, all open. ``answer_timeout_s``: of a handler.
    """

    url: BusUrl | None = None
    name: BusName | None = None
    username: Text | None = None
    password: Annotated[SecretStr, Field(min_length=1)] | None = None
    ca: Text | None = None
    certificate: Text | None = None
    key: Text | None = None
    seal_key: Annotated[tuple[BusKey, ...], BeforeValidator(as_tuple)] = ()
    answer_timeout_s: Annotated[float, Field(ge=1, le=60)] = 5

    @model_validator(mode="after")
    def _check_pairs(self) -> Bus:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key must be given both or neither")
        if len({entry.partition(":")[0] for entry in self.entries}) != len(self.seal_key):
            raise ValueError("an id of seal_key is used twice: what one key sealed the other could not open")
        return self

    @property
    def entries(self) -> tuple[str, ...]:
        """The keys in plain text, the one that seals first."""
        return tuple(key.get_secret_value() for key in self.seal_key)


class Secrets(Section):
    """How secrets that are references are read again while the program runs. ``refresh``: seconds, 0 for never."""

    refresh: RefreshSeconds = 300


class FieldEntry(Section):
    """One ``[[field]]``: a field of a person and where each side holds it."""

    name: FieldName
    hubspot: Annotated[tuple[Property, ...], BeforeValidator(as_tuple)]
    stripe: Annotated[tuple[StripePath, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=1)]
    owner: Side = Side.HUBSPOT
    direction: Direction = Direction.BOTH
    fill_empty: bool = True
    clears: Clears = Clears.OWNER
    transform: Transform = "text"

    @model_validator(mode="after")
    def _count_properties(self) -> FieldEntry:
        wanted = 2 if self.transform == "name" else 1
        if len(self.hubspot) != wanted:
            what = "two HubSpot properties (first and last name)" if wanted == 2 else "exactly one HubSpot property"
            raise ValueError(f"transform {self.transform!r} takes {what}, not {len(self.hubspot)}")
        return self

    def spec(self) -> FieldSpec:
        """Return the entry as a value of the core."""
        return FieldSpec(
            name=self.name,
            hubspot=self.hubspot,
            stripe=self.stripe,
            owner=self.owner,
            direction=self.direction,
            fill_empty=self.fill_empty,
            transform=self.transform,
            clears=self.clears,
        )


class Fields(Section):
    """How values are read. ``default_country``: of phone numbers without a country code. None: they stay as typed.

    ``business_names``: where the name of a customer that is a business goes.
    """

    default_country: Country | None = None
    business_names: BusinessNames = "company"

    def options(self) -> FormOptions:
        """The section as a value of the core."""
        return FormOptions(self.default_country or "", self.business_names)


class Create(Section):
    """Whether people missing on a side are created there. Both keys are required with the real APIs."""

    customers: Literal["all", "none"]
    contacts: Literal["all", "none"]


class Purchases(Section):
    """How a purchase is recorded on the contact, and what happens to a guest without a contact."""

    sink: Literal["auto", "custom_event", "note", "properties"] = "auto"
    guest: Literal["create", "hold"] = "hold"
    event_name: EventName = "stripe_purchase"


class FirstContact(Section):
    """Which value wins where a newly linked pair differs."""

    differ: Literal["keep", "owner", "hubspot", "stripe"] = "keep"


class ChangeGuard(Section):
    """When the change guard stops a source: it would overwrite values of more than ``people`` within ``minutes``.

    ``turns``: how often one field of one person may change back in that time before it counts as an update loop.
    """

    people: Count = 1000
    minutes: Annotated[int, Field(ge=1, le=1440)] = 10
    turns: Annotated[Count, Field(ge=2)] = 10


class Sync(Section):
    """Live sync. ``target_s``: within how many seconds a change is to be on the other side."""

    target_s: Annotated[int, Field(ge=1, le=86_400)] = 30


class Worker(Section):
    """How a worker runs. ``catch_up_minutes``: how often missed events are fetched."""

    catch_up_minutes: Annotated[int, Field(ge=1, le=1440)] = 30


class Retention(Section):
    """Days for which finished rows are kept. Rows that are open, dead or unread are kept whatever their age."""

    event_days: Annotated[Days, Field(ge=35)] = (
        35  # longer than any event is delivered or listed again: Stripe lists 30 days
    )
    payload_days: Annotated[Days, Field(ge=4)] = 30
    rejected_days: Annotated[Days, Field(ge=1)] = 30
    done_job_days: Annotated[Days, Field(ge=1)] = 7
    own_write_days: Annotated[Days, Field(ge=35)] = 35
    conflict_days: Annotated[Days, Field(ge=1)] = 90
    journal_days: Annotated[Days, Field(ge=30)] = 400
    log_days: Annotated[Days, Field(ge=1)] = 14
    plan_days: Annotated[Days, Field(ge=1)] = 7
    minute_figure_days: Annotated[Days, Field(ge=8)] = 8  # a week by minutes, and the day that is not over
    hour_figure_days: Annotated[Days, Field(ge=8)] = 90
    alert_days: Annotated[Days, Field(ge=1)] = 90

    @model_validator(mode="after")
    def _order(self) -> Retention:
        if self.payload_days > self.event_days:
            raise ValueError("payload_days must not be more than event_days: the payload is deleted with its event")
        return self


def _require(secret: SecretStr | None, key: str) -> str:
    if secret is None:
        raise ConfigError([describe_missing(key)])
    return secret.get_secret_value()


def describe_missing(key: str) -> str:
    """Say that a key is needed and where it can be set."""
    return f"{key}: is needed for this: set it in the file, or {variable_name(tuple(key.split('.')))}"
