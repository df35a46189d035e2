"""The transport of the Stripe SDK: its ``HTTPClient`` interface, directly on urllib3.

The SDK's own client goes through a requests session, which merges settings, cookies and proxies anew for
every request: more than half of the time of a call. ``Any`` ends in this module.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import stripe
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, ProxySchemeUnknown

from wanesync.adapters.http_answers import (
    CONNECT_TIMEOUT_S,
    MAX_ERROR_BYTES,
    STRIPE_READ_TIMEOUT_S,
    TooLarge,
    bound_answers,
    check_content_type,
    read_body,
)
from wanesync.adapters.json_values import parse
from wanesync.core.errors import ConfigError

POOL_SIZE = 80
"""Connections: a little more than the calls of a worker's Stripe lane."""
MAX_PAGE_BYTES = 8 << 20
"""Largest answer that is read, unpacked: 100 customers with 50 full metadata keys each have 3 MB."""
_ENCODINGS = {"Accept-Encoding": "gzip, deflate"}


class Redirected(HTTPError):
    """The address answers with another address; a key is not carried there."""


class PooledClient(stripe.HTTPClient):
    """One connection pool for all threads. Nothing is repeated, redirects are refused.

    ``address``: scheme and host. ``gate`` is called right before each request's bytes leave. The environment's
    proxy and certificates hold for the whole process: looked up once, not for every request.
    """

    name = "urllib3"

    def __init__(self, address: str, gate: Callable[[], None]) -> None:
        super().__init__()
        self._gate = gate
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or stripe.ca_bundle_path
        secure = address.startswith("https:")
        tls: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED", "ca_certs": bundle} if secure else {}
        proxy = find_proxy(address)
        if proxy:
            self._send: Callable[..., urllib3.BaseHTTPResponse] = open_proxy(proxy, tls).urlopen
        else:
            manager = urllib3.PoolManager(num_pools=1, maxsize=POOL_SIZE, **tls)
            bound_answers(manager)
            pool = manager.connection_from_url(address)
            self._send = lambda method, url, **options: pool.urlopen(method, _target(url), **options)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[Any, int, Mapping[str, str]]:
        """The body's bytes, the status and the headers of the answer. Raises stripe.APIConnectionError."""
        self._gate()
        try:
            response = self._send(
                method.upper(),
                url,
                body=post_data,
                headers={**(headers or {}), **_ENCODINGS},
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=STRIPE_READ_TIMEOUT_S),
            )
            content = _read(response)
            if response.status // 100 == 3:
                raise Redirected(f"status {response.status}")
        except (HTTPError, OSError) as error:
            # The SDK's error has no types.
            raise stripe.APIConnectionError(f"no answer ({type(error).__name__})") from error  # type: ignore[no-untyped-call] # stripe leaves its errors untyped
        return content, response.status, response.headers


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body; an error answer that is too large to be read has none. Raises TooLarge for any other."""
    if response.status // 100 == 2:
        content = read_body(response, MAX_PAGE_BYTES)
        check_content_type(response.headers)
        return _escape_bytes(content)
    try:
        content = read_body(response, MAX_ERROR_BYTES)
    except TooLarge:
        return b""
    # The SDK fails on an error that is no object, such as a gateway's {"error": "too many requests"}, and on a page in
    # another charset than UTF-8.
    try:
        body = parse(content)
    except ValueError:
        return b""
    return b"" if isinstance(body, dict) and not isinstance(body.get("error", {}), dict) else content


def _escape_bytes(content: bytes) -> bytes:
    """Turn bytes that are not UTF-8 into JSON's escapes of halves of surrogate pairs: only their object is set aside.

    The SDK fails on them as a whole.
    """
    try:
        content.decode()
    except UnicodeDecodeError:
        return content.decode(errors="surrogateescape").encode(errors="backslashreplace")
    return content


def find_proxy(address: str) -> str | None:
    """The proxy that the environment (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``, ...) names for an address."""
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


def open_proxy(url: str, tls: Mapping[str, Any]) -> urllib3.ProxyManager:
    """Connections through a proxy. Raises ConfigError for a proxy that is not reached over HTTP."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    headers = None
    if parts.username is not None:
        headers = urllib3.make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")
    try:
        manager = urllib3.ProxyManager(parts.geturl(), num_pools=2, maxsize=POOL_SIZE, proxy_headers=headers, **tls)
    except (ProxySchemeUnknown, LocationParseError) as error:
        advice = f"the environment names the proxy {parts.scheme}://{parts.hostname}"
        raise ConfigError([f"{advice}: only http:// and https:// proxies can be used"]) from error
    bound_answers(manager)
    return manager


def _target(url: str) -> str:
    """Path and query: what a request to the server itself names."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
