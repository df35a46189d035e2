"""Whose word on a request counts: X-Forwarded-For and Forwarded are read from trusted proxies only.

They serve the log alone. What HubSpot signed is the public address of the configuration, whatever a header names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS = 16
"""Addresses of one header that are read (our choice): a chain of proxies has two or three."""
FORWARDED, FORWARDED_FOR = "forwarded", "x-forwarded-for"
_FOR = re.compile(r"(?:^|;)\s*for=(\"[^\"]*\"|[^;\"]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The networks of the proxies in front. Without any, no header is read."""

    networks: Sequence[Network] = ()

    def find_client(self, peer: str, headers: Mapping[str, str]) -> str:
        """Return the address a request came from: the last one that is no trusted proxy.

        ``peer``: the other end of the connection. ``headers``: names in lower case, values of a repeated one joined by
        commas. Where both headers are there and differ, one of them was passed on unchecked: the peer counts.
        """
        if not self.trusts(peer):
            return peer
        found = {
            self._walk(peer, hops)
            for name, read in ((FORWARDED_FOR, _read_list), (FORWARDED, _read_forwarded))
            if (hops := read(headers.get(name, "")))
        }
        return found.pop() if len(found) == 1 else peer

    def _walk(self, peer: str, hops: Sequence[str]) -> str:
        """Return the last hop that is no trusted proxy; each proxy adds the address it was called from at the end."""
        client = peer
        for hop in list(reversed(hops))[:MAX_HOPS]:
            if _parse(hop) is None:
                return client
            client = str(_parse(hop))
            if not self.trusts(client):
                return client
        return client

    def trusts(self, host: str) -> bool:
        """Return whether an address is that of a trusted proxy."""
        address = _parse(host)
        return address is not None and any(address in network for network in self.networks)


NO_PROXIES = TrustedProxies()
"""No forwarding header counts."""


def parse_network(text: str) -> Network:
    """Return an address or a network, such as 10.0.0.0/8. Raises ``ValueError``."""
    return ipaddress.ip_network(text)


def _parse(host: str) -> Address | None:
    text = host.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _read_list(value: str) -> list[str]:
    return [hop.strip() for hop in value.split(",")] if value else []


def _read_forwarded(value: str) -> list[str]:
    """Return the addresses of ``Forwarded`` (RFC 7239); an element without one ends the chain."""
    found = [_FOR.search(element) for element in value.split(",")] if value else []
    return [match[1].strip('"') if match else "" for match in found]
