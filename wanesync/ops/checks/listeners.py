"""Checks of what this machine offers to others and how it reaches the vendors: TLS, figures, proxies, pinned hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from wanesync.core.errors import ConfigError
from wanesync.ops.checks.findings import Finding, fail, ok, warn
from wanesync.web.certificate import ServerCertificate
from wanesync.web.exposure import check_doors, is_loopback_host, shows_metrics

if TYPE_CHECKING:
    from wanesync.config.model import Config
    from wanesync.config.sections import Server
    from wanesync.core.model import Side

WEB_DOOR, NETWORK = "web door", "network"


def check_listeners(server: Server) -> Iterator[Finding]:
    """Check what other machines reach, the certificate, and who sees the figures."""
    try:
        check_doors(server)
        yield from _check_certificate(server)
    except ConfigError as error:
        for problem in error.problems:
            text, _, fix = problem.rpartition(": ")
            yield fail(WEB_DOOR, text, fix)


def _check_certificate(server: Server) -> Iterator[Finding]:
    """Check the certificate as a start would. Raises ``ConfigError``."""
    if server.certificate and server.key:
        trouble = ServerCertificate(server.certificate, server.key).find_trouble()
        if trouble:
            text, _, fix = trouble.rpartition(": ")
            yield warn(WEB_DOOR, text, fix)
            return
        reach = "serves TLS"
    elif is_loopback_host(server.host):
        reach = "is reached by this machine only"
    else:
        reach = "relies on the proxy in front for TLS"
    yield ok(WEB_DOOR, f"{reach}; {_describe_metrics(server)}")


def _describe_metrics(server: Server) -> str:
    if server.metrics_port is not None:
        who = " with the token" if server.metrics_token else ""
        return f"figures at {server.metrics_host} port {server.metrics_port}{who}"
    if not shows_metrics(server):
        return "no figures are shown (server.metrics_port or metrics_token would)"
    return "figures with the token" if server.metrics_token else "figures to this machine"


def check_network(config: Config, ways: Mapping[Side, str]) -> Iterator[Finding]:
    """Describe how requests to both vendors leave. ``ways``: in words, for each side."""
    if config.network.allow_base_url and not config.is_rehearsal:
        text = "network.allow_base_url lets another host than the vendors' get the keys"
        yield warn(NETWORK, text, "leave it out: it is for the sandbox")
        return
    shown = dict.fromkeys(ways.values())
    if len(shown) == 1:
        yield ok(NETWORK, f"requests to both vendors leave {next(iter(shown))}")
        return
    for side, way in ways.items():
        yield ok(NETWORK, f"requests to {side} leave {way}")
