"""The transport of the Stripe SDK: its ``HTTPClient`` interface, directly on urllib3.

The SDK's own client goes through a requests session, which merges settings, cookies and proxies anew for
every request: more than half of the time of a call. ``Any`` ends in this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import stripe
import urllib3
from stripe import _api_requestor, _util
from urllib3.exceptions import HTTPError

from wanesync.adapters.http_answers import (
    CONNECT_TIMEOUT_S,
    MAX_ERROR_BYTES,
    STRIPE_READ_TIMEOUT_S,
    check_content_type,
    read_body,
    tell_when_sent,
)
from wanesync.adapters.json_values import parse
from wanesync.adapters.large_bodies import TooLarge
from wanesync.adapters.network import NetworkPolicy, Redirected, check_target, open_manager
from wanesync.core.ports import ApiKey, RequestEnd, observe_nothing

POOL_SIZE = 80
"""Connections: a little more than the calls of a worker's Stripe lane."""
MAX_PAGE_BYTES = 8 << 20
"""Largest answer that is read, unpacked: 100 customers with 50 full metadata keys each have 3 MB."""
_ENCODINGS = {"Accept-Encoding": "gzip, deflate"}
_TIMEOUT = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=STRIPE_READ_TIMEOUT_S)
"""urllib3 makes its own copy for each request."""


def _format_nothing(_: object) -> str:
    return ""


# The SDK formats log lines for every request, with the bodies of request and answer, even where nothing records them.
_util.logfmt = _format_nothing
# The SDK looks for the variables of a dozen AI agents before every request, to name one in it.
_api_requestor._APIRequestor.AI_AGENTS = []


class PooledClient(stripe.HTTPClient):
    """One connection pool for all threads. Nothing is repeated, redirects are refused.

    ``address``: scheme and host, to which every request is pinned. ``gate`` is called right before each request's bytes
    leave, ``sent`` right after. ``network``: proxy and authorities. ``key``: what the requests carry. ``observe``: is
    told how each ended.
    """

    name = "urllib3"

    def __init__(  # noqa: PLR0913, PLR0917 - what a request meets on its way, which the adapter's options hold
        self,
        address: str,
        gate: Callable[[], None],
        network: NetworkPolicy,
        key: ApiKey,
        observe: Callable[[RequestEnd], None] = observe_nothing,
        sent: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._gate, self._address, self._key, self._observe, self._sent = gate, address, key, observe, sent
        manager = open_manager(address, network, POOL_SIZE)
        if isinstance(manager, urllib3.ProxyManager):
            self._send: Callable[..., urllib3.BaseHTTPResponse] = manager.urlopen
        else:
            pool, parts = manager.connection_from_url(address), urlsplit(address)
            origin = f"{parts.scheme}://{parts.netloc}"
            self._send = lambda method, url, **options: pool.urlopen(method, url.removeprefix(origin), **options)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[Any, int, Mapping[str, str]]:
        """The body's bytes, the status and the headers of the answer. Raises stripe.APIConnectionError."""
        self._gate()
        began_s, status, request_id = time.monotonic(), 0, ""
        try:
            check_target(url, self._address)
            with tell_when_sent(self._sent):
                response = self._send(
                    method.upper(),
                    url,
                    body=post_data,
                    headers={**(headers or {}), **_ENCODINGS, "Authorization": f"Bearer {self._key.current()}"},
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    timeout=_TIMEOUT,
                )
            content = _read(response)
            status, request_id = response.status, response.headers.get("request-id", "")
            if response.status // 100 == 3:
                raise Redirected(f"status {response.status}")
        except (HTTPError, OSError) as error:
            # The SDK's error has no types.
            raise stripe.APIConnectionError(f"no answer ({type(error).__name__})") from error  # type: ignore[no-untyped-call] # stripe leaves its errors untyped
        finally:
            self._observe(RequestEnd(status, (time.monotonic() - began_s) * 1000, request_id))
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
