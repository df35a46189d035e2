"""How requests to both vendors leave: to pinned hosts only, by one proxy, checked with one set of authorities.

Both SDKs go through urllib3; what this module opens is all that carries a key. Nothing is taken from the environment
unless the policy says so: not the proxy (``HTTPS_PROXY``, ``NO_PROXY``), not the authorities (``SSL_CERT_FILE``), not a
log of session keys (``SSLKEYLOGFILE``). urllib3 has no netrc, and redirects are never followed.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, ProxySchemeUnknown

from wanesync.adapters.http_answers import NotSent, bound_answers
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side

VENDOR_ADDRESSES: Mapping[Side, str] = {Side.HUBSPOT: "https://api.hubapi.com", Side.STRIPE: "https://api.stripe.com"}
"""The only addresses that a key is sent to, unless the policy allows another one."""
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name a file of authorities for OpenSSL, requests and curl, in the order in which they count here."""


class ForeignAddress(NotSent):
    """A request would leave for another address than the pinned one; nothing was sent."""


class Redirected(HTTPError):
    """The address answers with another address; a key is not carried there."""


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """The ``[network]`` table. ``proxy``: of all requests to the vendors; ``ca_bundle``: a PEM file, "" for certifi's.

    ``use_environment``: what is not set here may come from the variables of the environment. ``allow_base_url``:
    another address than the vendors' gets the key.
    """

    proxy: str = field(default="", repr=False)
    ca_bundle: str = ""
    use_environment: bool = False
    allow_base_url: bool = False


PINNED = NetworkPolicy()
"""The vendors' own hosts, reached directly."""


def choose_address(side: Side, base_url: str | None, policy: NetworkPolicy) -> str:
    """Return the address that the requests of a side are pinned to. Raises ``ConfigError`` for one not allowed."""
    own = VENDOR_ADDRESSES[side]
    address = (base_url or own).rstrip("/")
    if address != own and not policy.allow_base_url:
        text = f"{side}.base_url: is not {own}, and the key goes nowhere else: set [network] allow_base_url = true"
        raise ConfigError([text])
    return address


def check_target(url: str, address: str) -> None:
    """Raise ``ForeignAddress`` unless ``url`` is below ``address``, whatever a page or a link of a vendor names."""
    if not url.startswith(f"{address}/"):
        raise ForeignAddress("another address than the configured one was asked for")


def open_manager(address: str, policy: NetworkPolicy, size: int) -> urllib3.PoolManager:
    """Open the connections to an address: at most ``size`` are kept. Nothing is followed or repeated by itself.

    Raises ``ConfigError`` for a proxy or a file of authorities that cannot be used.
    """
    proxy = find_proxy(address, policy)
    context = make_context(policy) if address.startswith("https:") else None
    manager: urllib3.PoolManager
    if proxy:
        manager = open_proxy(proxy, policy, size, context)
    elif context:
        manager = urllib3.PoolManager(num_pools=1, maxsize=size, retries=False, ssl_context=context)
    else:
        manager = urllib3.PoolManager(num_pools=1, maxsize=size, retries=False)
    bound_answers(manager)
    return manager


def make_context(policy: NetworkPolicy) -> ssl.SSLContext:
    """Return what certificates are checked with: TLS 1.2 or newer, the host's name, the policy's authorities.

    It is made by hand: the functions of ``ssl`` and urllib3 that make one read the environment. Raises ``ConfigError``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    path = find_authorities(policy)
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "holds no certificate"
        raise ConfigError([f"network.ca_bundle: {path} cannot be used ({reason}): give a file in PEM form"]) from error
    return context


def find_authorities(policy: NetworkPolicy) -> str:
    """Return the file of the authorities that both vendors' certificates are checked with."""
    named = (os.environ.get(name) for name in CA_VARIABLES if policy.use_environment)
    return policy.ca_bundle or next(filter(None, named), "") or certifi.where()


def find_proxy(address: str, policy: NetworkPolicy) -> str | None:
    """Return the proxy for an address: the configured one, else with ``use_environment`` that of the environment."""
    if policy.proxy or not policy.use_environment:
        return policy.proxy or None
    parts = urlsplit(address)
    proxies = getproxies()
    if proxy_bypass(parts.netloc) or _is_in_networks(parts.hostname or "", proxies.get("no", "")):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def _is_in_networks(host: str, no_proxy: str) -> bool:
    """Whether ``NO_PROXY`` has a network, such as 10.0.0.0/8, with the host; the standard library has names only."""
    with suppress(ValueError):
        ip = ipaddress.ip_address(host)
        networks = [entry.strip() for entry in no_proxy.split(",") if "/" in entry]
        return any(ip in ipaddress.ip_network(network, strict=False) for network in networks)
    return False


def open_proxy(url: str, policy: NetworkPolicy, size: int, context: ssl.SSLContext | None) -> urllib3.ProxyManager:
    """Connections through a proxy. Raises ConfigError for a proxy that is not reached over HTTP."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    headers = None
    if parts.username is not None:
        headers = urllib3.make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")
    where = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    options: dict[str, Any] = {"ssl_context": context} if context else {}
    if parts.scheme == "https":
        options["proxy_ssl_context"] = make_context(policy)
    try:
        return urllib3.ProxyManager(where, num_pools=2, maxsize=size, retries=False, proxy_headers=headers, **options)
    except (ProxySchemeUnknown, LocationParseError) as error:
        advice = f"network.proxy: {parts.scheme}://{parts.hostname}"
        raise ConfigError([f"{advice}: only http:// and https:// proxies can be used"]) from error


def describe_policy(policy: NetworkPolicy, address: str) -> str:
    """Return in words how requests to an address leave; no name or password of the proxy."""
    proxy = find_proxy(address, policy)
    way = f"by the proxy {urlsplit(proxy if '://' in proxy else f'http://{proxy}').hostname}" if proxy else "directly"
    bundle = find_authorities(policy)
    return f"{way}, certificates checked with {'certifi' if bundle == certifi.where() else Path(bundle)}"
