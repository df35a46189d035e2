"""How the Stripe SDK's requests leave: its ``HTTPClient`` door, straight onto urllib3.

The SDK's own client goes through a requests session, which merges settings, cookies and proxies anew for
every request: more than half of what a call costs. This is a wire module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import stripe
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.exceptions import HTTPError

from wanesync.adapters.http_answers import CONNECT_S, STRIPE_READ_S

POOL_SIZE = 80
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
        found = requests.Session().merge_environment_settings(address, {}, None, None, None)
        bundle = found["verify"] if isinstance(found["verify"], str) else stripe.ca_bundle_path
        secure = address.startswith("https:")
        tls: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED", "ca_certs": bundle} if secure else {}
        proxy = select_proxy(address, found["proxies"])
        if proxy:
            adapter = HTTPAdapter(pool_connections=2, pool_maxsize=POOL_SIZE, max_retries=0)
            self._send: Callable[..., urllib3.BaseHTTPResponse] = adapter.proxy_manager_for(proxy, **tls).urlopen
        else:
            pool = urllib3.PoolManager(num_pools=1, maxsize=POOL_SIZE, **tls).connection_from_url(address)
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
                timeout=urllib3.Timeout(connect=CONNECT_S, read=STRIPE_READ_S),
            )
            if response.status // 100 == 3:
                raise Redirected(f"status {response.status}")
        except (HTTPError, OSError) as error:
            # The SDK's error has no types.
            raise stripe.APIConnectionError(f"no answer ({type(error).__name__})") from error  # type: ignore[no-untyped-call] # stripe leaves its errors untyped
        return response.data, response.status, response.headers


def _target(url: str) -> str:
    """Path and query: what a request to the server itself names."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
