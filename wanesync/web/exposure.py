"""What may be reached from other machines: beyond loopback only TLS, or a proxy that ends it, is served."""

from __future__ import annotations

import ipaddress
from functools import partial
from typing import TYPE_CHECKING

from wanesync.config.value_types import is_loopback
from wanesync.core.errors import ConfigError

if TYPE_CHECKING:
    from wanesync.config.sections import Server


def is_loopback_host(host: str) -> bool:
    """Return whether only this machine reaches what listens at ``host``; of names only localhost counts as such."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_exposure(section: str, host: str, *, has_certificate: bool, behind_proxy: bool, option: str = "host") -> None:
    """Raise ``ConfigError`` if a listener that other machines reach would speak plain HTTP.

    ``section``: of the configuration, with the keys ``certificate``, ``key`` and ``behind_proxy``; ``option``: the one
    that names the host.
    """
    if not (is_loopback_host(host) or has_certificate or behind_proxy):
        text = f"other machines reach {host}, in plain HTTP: set certificate and key in [{section}]"
        raise ConfigError([f"{section}.{option}: {text}, or behind_proxy = true where a proxy in front ends TLS"])


def check_metrics_exposure(host: str, *, has_token: bool) -> None:
    """Raise ``ConfigError`` if the figures could be read from other machines without a token."""
    if not (is_loopback_host(host) or has_token):
        text = f"other machines reach {host}: set server.metrics_token, or listen at 127.0.0.1"
        raise ConfigError([f"server.metrics_host: {text}"])


def check_doors(server: Server) -> None:
    """Raise ``ConfigError`` if other machines could reach a listener in plain HTTP, or figures without a token."""
    check = partial(
        check_exposure, "server", has_certificate=server.certificate is not None, behind_proxy=server.behind_proxy
    )
    check(server.host)
    if server.metrics_port is not None:
        check_metrics_exposure(server.metrics_host, has_token=server.metrics_token is not None)
        check(server.metrics_host, option="metrics_host")


def shows_metrics(server: Server) -> bool:
    """Return whether the listener of webhooks shows figures: by token, or where everything is on this machine."""
    if server.metrics_port is not None:
        return False
    local = is_loopback_host(server.host) and (server.public_url is None or is_loopback(server.public_url))
    return server.metrics_token is not None or (local and not server.behind_proxy)
