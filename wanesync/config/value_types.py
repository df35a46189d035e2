"""Types of single configuration values; the message of each names what would be right."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from wanesync.core.ids import CONTACT_ID_KEY, CUSTOMER_ID_PROPERTY, PORTAL_ID_KEY
from wanesync.core.normalize import FORMS

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
    {f"metadata.{PORTAL_ID_KEY}", f"metadata.{CONTACT_ID_KEY}", CUSTOMER_ID_PROPERTY, "lastmodifieddate"}
)
"""Properties and keys that wanesync itself writes."""
ENCRYPTION_KEY_BYTES = 32
"""AES-256."""


class Section(BaseModel):
    """One table of the file; unknown keys are refused, and values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


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
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("must be an address such as https://host.example")
    if parts.scheme == "http" and not is_loopback(value):
        raise ValueError("must begin with https:// (http:// only for this machine)")
    if {"?", "#", "@"} & set(value):
        raise ValueError("must have no query, no fragment and no user: scheme, host and path only")
    return value.rstrip("/")


def _database(value: str) -> str:
    if not re.match(r"sqlite:.|postgresql://.", value):
        raise ValueError("must be sqlite:FILE or postgresql://user@host/name")
    return value


def _stripe_key(value: SecretStr) -> SecretStr:
    if not re.match(r"[sr]k_(test|live)_\w", value.get_secret_value()):
        raise ValueError("must be a secret or restricted key: sk_test_…, sk_live_…, rk_test_… or rk_live_…")
    return value


def _encryption_key(value: SecretStr) -> SecretStr:
    name, _, text = value.get_secret_value().partition(":")
    try:
        size = len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not re.fullmatch(r"[A-Za-z0-9]{4}", name) or size != ENCRYPTION_KEY_BYTES:
        raise ValueError("must be id:key, the id 4 letters or digits, the key 32 bytes in base64")
    return value


def _stripe_path(value: str) -> str:
    head, _, key = value.partition(".")
    if head == "metadata":
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
    if value in RESERVED_NAMES:
        raise ValueError(f"{value} is kept by wanesync itself: map another one")
    return value


def _transform(value: str) -> str:
    if value not in FORMS:
        raise ValueError(f"must be one of {', '.join(FORMS)}")
    return value


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(as_tuple)]
Secret = Annotated[SecretStr, Field(min_length=1)]
Secrets = Annotated[tuple[Secret, ...], BeforeValidator(as_tuple)]
StripeKey = Annotated[SecretStr, AfterValidator(_stripe_key)]
EncryptionKey = Annotated[SecretStr, AfterValidator(_encryption_key)]
Address = Annotated[str, AfterValidator(_address)]
Database = Annotated[str, AfterValidator(_database), Field(repr=False)]
Rate = Annotated[float, Field(gt=0, le=1000)]
Share = Annotated[float, Field(gt=0, le=1)]
Property = Annotated[str, AfterValidator(_property)]
StripePath = Annotated[str, AfterValidator(_stripe_path)]
Transform = Annotated[str, AfterValidator(_transform)]
