"""Addresses of a Postgres database: what can be said of one without its password being read apart from the rest."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from urllib.parse import parse_qs, quote, unquote

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT = re.compile(r"\A(?:\[[^\]]*\]|[^:\[]*):(.*)\Z", re.DOTALL)
MAX_PORT = 65_535
CHECKED = "verify-full"
"""The sslmode in which a server proves by a certificate that it is the host that was called; no other one does."""
NO_LOGIN = "holds a port that is no number: a user and a password end with @, postgresql://user:password@host:port/name"
UNENCODED = (
    "holds a user name or a password with a character that must be written as its percent code: @ as %40, : as %3A, "
    "/ as %2F, ? as %3F, # as %23, % as %25, a blank as %20"
)


def find_unencoded(address: str) -> str:
    """Return what is wrong with the user name or the password of a URL, "" if nothing; neither is shown.

    A program that reads such an address takes a part of the password for the host, and shows it.
    """
    scheme, mark, rest = address.partition("://")
    if not mark or not scheme.startswith("postgres"):
        return ""
    login, at, place = rest.rpartition("@")
    ports = [_PORT.sub(r"\1", host) for host in re.split(r"[/?#]", place)[0].split(",") if _PORT.match(host)]
    if any(port and not _is_port(port) for port in ports):
        # Without @ the password stands where the port belongs.
        return "holds a port that is no number up to 65535" if at else NO_LOGIN
    if not at:
        # Without a login nothing of it can be unencoded, unless a character has ended it early.
        return ""
    user, _, password = login.partition(":")
    if set("@/?#[]") & set(login) or ":" in password or _BAD_ESCAPE.search(login) or not _is_plain(user + password):
        return UNENCODED
    return ""


def _is_port(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,5}", text)) and int(text) <= MAX_PORT


def _is_plain(text: str) -> bool:
    return text.isprintable() and " " not in text


def has_password(address: str) -> bool:
    """Return whether a database address holds a password."""
    _, mark, rest = address.partition("://")
    login, at, _ = rest.rpartition("@")
    query = parse_qs(rest.partition("?")[2])
    return bool(mark) and (bool(at and ":" in login) or bool({"password", "sslpassword"} & query.keys()))


def join_login(address: str, password: str) -> str | None:
    """Return an address with a password, percent codes where needed; None if it names no user, or has a password."""
    scheme, mark, rest = address.partition("://")
    login, at, place = rest.rpartition("@")
    if not mark or not at or not login or has_password(address):
        return None
    return f"{scheme}://{login}:{quote(password, safe='')}@{place}"


def find_unproven_host(address: str, private: Collection[str], environment: Mapping[str, str]) -> str:
    """Return the first host of a Postgres URL that a network leads to and that need not prove who it is; "" if none.

    A Unix socket, this machine and what ``private`` names (networks as CIDR, or hosts) need not. ``environment``: libpq
    reads from it what the URL lacks. A service file may name any host.
    """
    scheme, mark, rest = address.partition("://")
    if not mark or scheme != "postgresql" or find_unencoded(address):
        return ""
    place, _, query = rest.partition("?")
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    if options.get("sslmode", environment.get("PGSSLMODE", "")) == CHECKED:
        return ""
    if service := options.get("service", environment.get("PGSERVICE", "")):
        return f"the service {service}"
    named = options.get("host") or unquote(place.rpartition("@")[2].partition("/")[0]) or environment.get("PGHOST", "")
    hosts = options.get("hostaddr") or environment.get("PGHOSTADDR") or named
    return next((host for host in map(_strip_port, hosts.split(",")) if not _is_near(host, private)), "")


def _strip_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _is_near(host: str, private: Collection[str]) -> bool:
    if not host or host[0] in "/@" or host == "localhost" or host in private:
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or any(found in ipaddress.ip_network(one) for one in private if is_network(one))


def is_network(text: str) -> bool:
    """Return whether a text is a network as CIDR, or one address."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
