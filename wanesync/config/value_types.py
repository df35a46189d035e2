"""Types of single configuration values; the message of each names what would be right."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from wanesync.config.references import find_flaw, find_foreign
from wanesync.core.errors import ConfigError
from wanesync.core.ids import CONTACT_ID_KEY, CUSTOMER_ID_PROPERTY, INTENT_PROPERTY, OUR_IDS, PORTAL_ID_KEY
from wanesync.core.normalize import FORMS
from wanesync.core.purchases import ROLL_UP_PROPERTIES
from wanesync.core.setup.database_address import find_unencoded, is_network
from wanesync.core.values.countries import NAMES

HUBSPOT_URL = "https://api.hubapi.com"
STRIPE_URL = "https://api.stripe.com"
MAX_METADATA_KEY_CHARS = 40
"""Longest metadata key (docs.stripe.com/api/metadata)."""
STRIPE_PATHS = frozenset(
    "email name phone description business_name individual_name preferred_locales "
    "address.line1 address.line2 address.city address.state address.postal_code address.country".split()
)
"""Attributes a field may be mapped to besides ``metadata.KEY`` (docs.stripe.com/api/customers/update)."""
RESERVED_NAMES = frozenset(
    {
        f"metadata.{PORTAL_ID_KEY}",
        f"metadata.{CONTACT_ID_KEY}",
        CUSTOMER_ID_PROPERTY,
        INTENT_PROPERTY,
        *ROLL_UP_PROPERTIES,
        "lastmodifieddate",
        "hs_object_id",
        "hs_additional_emails",
        "hs_merged_object_ids",
        "hs_calculated_merged_vids",
    }
)
"""Properties and keys that wanesync itself writes, or reads for what they mean."""
ENCRYPTION_KEY_BYTES = 32
"""AES-256."""
MAX_DAYS = 36_500
"""A century: what lies further back than the epoch of the clock is no date."""
MAX_COUNT = 2**53
"""The largest whole number that JSON of every program keeps; both databases hold it."""
IPV6 = 6
MIN_TOKEN_CHARS = 24
"""Shortest token that is accepted (our choice): 24 letters and digits cannot be guessed."""
MAX_HOST_CHARS = 253
"""RFC 1035, without the last dot."""
WEBHOOK_PATHS = ("/webhooks/hubspot", "/webhooks/stripe")
"""Where webhooks arrive, behind the public address."""
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
NO_ADDRESS = "must be an address such as https://host.example, or with a port https://host.example:8443"
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/\[\]!$&'()*+,;=%-]*")
"""RFC 3986, without those that begin a query or a fragment, or end a user."""
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


class Section(BaseModel):
    """One table of the file; unknown keys are refused, and values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _check_kind(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false where a number belongs: Python takes them for 1 and 0."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("must not be true or false: see config.example.toml for what belongs here")
        return value


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def as_tuple(value: object) -> object:
    """Return a single text as a tuple of one."""
    return (value,) if isinstance(value, str) else value


def _address(value: str) -> str:
    if {"?", "#", "@"} & set(value):
        raise ValueError("must have no query, no fragment and no user: scheme, host and path only")
    if not _URL_CHARACTERS.fullmatch(value):
        raise ValueError(
            "holds a blank or a character that no address has: a name such as bücher.example is written "
            "xn--bcher-kva.example, a letter of the path as its percent codes"
        )
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(NO_ADDRESS) from None
    if parts.scheme not in {"http", "https"} or not _is_host(parts.netloc, parts.hostname or "") or port == 0:
        raise ValueError(NO_ADDRESS)
    if parts.scheme == "http" and not is_loopback(value):
        raise ValueError("must begin with https:// (http:// only for this machine)")
    return value.rstrip("/")


def _public_url(value: str) -> str:
    own = next((path for path in WEBHOOK_PATHS if value.endswith(path)), "")
    if own:
        raise ValueError(f"is the address before {own}, which wanesync adds itself: {value.removesuffix(own)}")
    return value


def _is_host(netloc: str, host: str) -> bool:
    """Return whether the host of an address is a name or a number that can be called."""
    if netloc.startswith("["):
        try:
            return ipaddress.ip_address(host).version == IPV6
        except ValueError:
            return False
    labels = host.removesuffix(".").split(".")
    return not netloc.endswith(":") and len(host) <= MAX_HOST_CHARS and all(map(_LABEL.fullmatch, labels))


def _listening_host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", value):
        raise ValueError("must be the name or the number of an address of this machine, such as 127.0.0.1 or 0.0.0.0")
    return value


def _proxy(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        usable = usable and not (parts.path.strip("/") or parts.query or parts.fragment or find_unencoded(text))
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be http://host:port or https://host:port, with a login http://user:password@host:port")
    return value


def _network(value: str) -> str:
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        raise ValueError("must be an address or a network of a proxy, such as 127.0.0.1 or 10.0.0.0/8") from None
    if network.prefixlen == 0:
        raise ValueError("is every address there is: name those of the proxies")
    return str(network)


def _metrics_token(value: SecretStr) -> SecretStr:
    if len(_secret(value).get_secret_value()) < MIN_TOKEN_CHARS:
        raise ValueError(f"must have at least {MIN_TOKEN_CHARS} characters: openssl rand -hex 32")
    return value


def _file_path(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be the path of a file")
    return value


def _database(value: str) -> str:
    if not re.match(r"sqlite:.|postgresql://.", value):
        raise ValueError("must be sqlite:FILE or postgresql://user@host/name")
    if flaw := find_unencoded(value):
        raise ValueError(flaw)
    return value


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if wrong := find_foreign(text) or find_flaw(text):
        raise ValueError(wrong)
    return value


def _hubspot_secret(value: SecretStr) -> SecretStr:
    if _secret(value).get_secret_value().startswith("pat-"):
        raise ValueError("begins with pat- as access tokens do, but this is the client secret of the app")
    return _refuse_of_stripe(value, "is HubSpot's client secret")


def _hubspot_token(value: SecretStr) -> SecretStr:
    if UUID.fullmatch(_secret(value).get_secret_value()):
        raise ValueError("has the form of the app's client secret, but this is its access token (pat-…)")
    return _refuse_of_stripe(value, "is HubSpot's access token (pat-…)")


def _refuse_of_stripe(value: SecretStr, what: str) -> SecretStr:
    if found := re.match(r"(?:[srp]k_(?:test|live)|whsec)_", value.get_secret_value()):
        raise ValueError(f"begins with {found[0]} as Stripe's keys do, but this {what}")
    return value


def _stripe_secret(value: SecretStr) -> SecretStr:
    if not re.match(r"whsec_\w", _secret(value).get_secret_value()):
        raise ValueError("must be the signing secret of a webhook endpoint: whsec_…")
    return value


def _stripe_key(value: SecretStr) -> SecretStr:
    if not re.match(r"[sr]k_(test|live)_\w", _secret(value).get_secret_value()):
        raise ValueError("must be a secret or restricted key: sk_test_…, sk_live_…, rk_test_… or rk_live_…")
    return value


def _encryption_key(value: SecretStr) -> SecretStr:
    name, _, text = value.get_secret_value().partition(":")
    try:
        size = len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not re.fullmatch(r"[A-Za-z0-9]{4}", name) or size != ENCRYPTION_KEY_BYTES:
        flaw = find_flaw(value.get_secret_value())
        found = f" (it {flaw})" if flaw else ""
        raise ValueError(f"must be id:key, the id 4 letters or digits, the key 32 bytes in base64{found}")
    return value


def _bus_key(value: SecretStr) -> SecretStr:
    from wanesync.bus.seal_keys import parse_entry  # noqa: PLC0415 - only where a bus is configured

    try:
        parse_entry(value.get_secret_value())
    except ConfigError as error:
        flaw = find_flaw(value.get_secret_value())
        raise ValueError(f"{error}{f' (it {flaw})' if flaw else ''}") from None
    return value


def _bus_url(value: str) -> str:
    text = "must be mqtts://HOST:PORT (mqtt:// only for a broker on this machine), without user, path or query"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(text) from None
    whole = parts.path in {"", "/"} and not {"?", "#", "@"} & set(value)
    if parts.scheme not in {"mqtt", "mqtts"} or not whole or not _is_host(parts.netloc, parts.hostname or ""):
        raise ValueError(text)
    if port == 0 or (parts.scheme == "mqtt" and not is_loopback(value)):
        raise ValueError(text)
    return value.rstrip("/")


def _stripe_path(value: str) -> str:
    head, _, key = value.partition(".")
    if head == "metadata":
        if not key.isprintable() or key != key.strip():
            raise ValueError("must be metadata.KEY, the key without invisible characters and blanks at its ends")
        if not 1 <= len(key) <= MAX_METADATA_KEY_CHARS or set("[]") & set(key):
            raise ValueError("must be metadata.KEY, the key 1 to 40 characters without [ and ]")
    elif value not in STRIPE_PATHS:
        raise ValueError(
            f"{value} is no attribute of a customer: metadata.KEY or one of {', '.join(sorted(STRIPE_PATHS))}"
        )
    return _not_reserved(value)


def _property(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,99}", value):
        raise ValueError("must be the internal name of a HubSpot property, such as jobtitle")
    return _not_reserved(value)


def _not_reserved(value: str) -> str:
    # HubSpot's internal names are lower case, whatever case they are written in.
    if (value if value.startswith("metadata.") else value.lower()) in RESERVED_NAMES:
        raise ValueError(f"{value} is kept by wanesync itself: map another one")
    return value


def _not_our_id(value: str) -> str:
    # What has no room on a record is remembered by its name, fields and our ids alike.
    if value in OUR_IDS:
        raise ValueError(f"{value} is kept by wanesync itself: name the field otherwise")
    return value


def _private_network(value: str) -> str:
    if not is_network(value) and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", value):
        raise ValueError('must be a network such as "10.0.0.0/8" (without bits of a host), or the name of a host')
    if is_network(value) and not ipaddress.ip_network(value).is_private:
        raise ValueError("is a public network: use sslmode=verify-full there")
    return value


def _country(value: str) -> str:
    if len(value) != 2 or value.lower() not in NAMES:
        raise ValueError("must be the ISO 3166-1 code of a country, such as DE or US")
    return value.upper()


def _transform(value: str) -> str:
    if value not in FORMS:
        raise ValueError(f"must be one of {', '.join(FORMS)}")
    return value


_SPAN = re.compile(r"(\d{1,7})\s*(s|m|min|h|)")
_SECONDS = {"s": 1, "": 1, "m": 60, "min": 60, "h": 3600}
MIN_REFRESH_S = 10
"""Each refresh is a request to a secrets manager for each secret: more often is a mistake (our choice)."""
MAX_REFRESH_S = 86_400


def _refresh(value: object) -> object:
    """Return the seconds of ``5m``, ``300`` or ``0``."""
    found = _SPAN.fullmatch(str(value).strip())
    if found is None:
        raise ValueError('must be a time such as "5m", "90s" or "1h"; "0" for never')
    seconds = int(found[1]) * _SECONDS[found[2]]
    if seconds and not MIN_REFRESH_S <= seconds <= MAX_REFRESH_S:
        raise ValueError("must lie between 10 s and 24 h; 0 for never")
    return seconds


def _password(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isprintable():
        raise ValueError("holds a line break or an invisible character")
    return value


def _matching(pattern: str, text: str) -> Callable[[str], str]:
    """Return a check that refuses with ``text`` what ``pattern`` does not match."""
    expression = re.compile(pattern)

    def check(value: str) -> str:
        if not expression.fullmatch(value):
            raise ValueError(text)
        return value

    return check


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(as_tuple)]
HubSpotToken = Annotated[SecretStr, Field(min_length=1), AfterValidator(_hubspot_token)]
HubSpotSecrets = Annotated[
    tuple[Annotated[SecretStr, Field(min_length=1), AfterValidator(_hubspot_secret)], ...], BeforeValidator(as_tuple)
]
StripeSecrets = Annotated[
    tuple[Annotated[SecretStr, Field(min_length=1), AfterValidator(_stripe_secret)], ...], BeforeValidator(as_tuple)
]
StripeKey = Annotated[SecretStr, AfterValidator(_stripe_key)]
EncryptionKey = Annotated[SecretStr, AfterValidator(_encryption_key)]
BusKey = Annotated[SecretStr, AfterValidator(_bus_key)]
BusUrl = Annotated[str, AfterValidator(_bus_url)]
BusName = Annotated[
    str, AfterValidator(_matching(r"[A-Za-z0-9._-]{1,64}", "must be 1 to 64 letters, digits, dots, - or _"))
]
Password = Annotated[SecretStr, Field(min_length=1), AfterValidator(_password)]
RefreshSeconds = Annotated[int, BeforeValidator(_refresh)]
Days = Annotated[int, Field(le=MAX_DAYS)]
Count = Annotated[int, Field(gt=0, le=MAX_COUNT)]
AccountId = Annotated[
    str, AfterValidator(_matching(r"acct_[A-Za-z0-9]+", "must be the id of a Stripe account: acct_…"))
]
EventName = Annotated[
    str,
    AfterValidator(
        _matching(r"[a-z][a-z0-9_-]{0,49}", "must be at most 50 characters, a-z, 0-9, _ and -, and begin with a letter")
    ),
]
FieldName = Annotated[
    str,
    AfterValidator(_matching(r"[a-z][a-z0-9_]{0,99}", "must hold only a-z, 0-9 and _, and begin with a letter")),
    AfterValidator(_not_our_id),
]
ListeningHost = Annotated[str, Field(min_length=1), AfterValidator(_listening_host)]
Address = Annotated[str, AfterValidator(_address)]
PublicAddress = Annotated[Address, AfterValidator(_public_url)]
NetworkAddress = Annotated[str, AfterValidator(_network)]
MetricsToken = Annotated[SecretStr, AfterValidator(_metrics_token)]
ProxyAddress = Annotated[SecretStr, AfterValidator(_proxy)]
FilePath = Annotated[str, Field(min_length=1), AfterValidator(_file_path)]
"""A file; ``load`` makes a relative path begin at the folder of the configuration."""
DatabaseText = Annotated[str, AfterValidator(_database)]
Database = Annotated[DatabaseText, Field(repr=False)]
Rate = Annotated[float, Field(gt=0, le=1000)]
Share = Annotated[float, Field(gt=0, le=1)]
PrivateNetwork = Annotated[str, AfterValidator(_private_network)]
Property = Annotated[str, AfterValidator(_property)]
StripePath = Annotated[str, AfterValidator(_stripe_path)]
Country = Annotated[str, AfterValidator(_country)]
Transform = Annotated[str, AfterValidator(_transform)]
