"""Certificates that end soon: of files that a configuration or a broker's folder has, and of a server that runs."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wanesync.core.operating.alarms import Alarm, AlarmCode
from wanesync.ops.broker.certificates import CertificateFacts, read_certificate

if TYPE_CHECKING:
    from wanesync.config.model import Config

SOON = timedelta(days=14)
"""Time enough for an operator to renew it, holidays included (our choice)."""
TLS_PORT = 8883
"""Of ``mqtts:`` without one."""
CONNECT_S = 3.0
"""Seconds for a server to show its certificate: it is beside this machine or in the same region (our choice)."""


def find_certificate_alarms(config: Config, now: datetime) -> list[Alarm]:
    """Return an alarm for each certificate of a configuration that ends within 14 days or cannot be read.

    Those of its own files, and the one that the broker shows: a handshake, at most 3 s.
    """
    bus, server = config.bus, config.server
    files = {
        server.certificate: "server.certificate: put the renewed one there; serve reads it by itself",
        bus.ca: "bus.ca: ask the operator of the broker for the new authority (wanesync broker-config)",
        bus.certificate: "bus.certificate: wanesync broker rotate ROLE on the machine of the broker",
    }
    alarms = find_ending({Path(path): renewal for path, renewal in files.items() if path is not None}, now)
    address = urlsplit(bus.url or "")
    if address.scheme == "mqtts" and address.hostname:
        shown = read_served(address.hostname, address.port or TLS_PORT)
        if shown is not None:
            what = f"the certificate of the broker at {address.hostname}"
            alarms += describe_end(what, shown, "wanesync broker rotate server on its machine", now)
    return alarms


def find_ending(files: Mapping[Path, str], now: datetime) -> list[Alarm]:
    """Return an alarm for each certificate that ends within 14 days or cannot be read.

    ``files``: path of a PEM file -> how it is renewed. A file that is not there is another check's.
    """
    alarms = []
    for path, renewal in files.items():
        try:
            found = read_certificate(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no PEM certificate"
            what = f"the certificate {path} cannot be read ({reason})"
            alarms.append(Alarm(AlarmCode.CERTIFICATE_ENDS, what, renewal, f"certificate {path}"))
            continue
        alarms += describe_end(f"the certificate {path}", found, renewal, now)
    return alarms


def describe_end(what: str, found: CertificateFacts, renewal: str, now: datetime) -> Iterator[Alarm]:
    """Yield an alarm if a certificate ends soon."""
    left = found.ends - now
    if left > SOON:
        return
    day = f"{found.ends:%Y-%m-%d %H:%M} UTC"
    when = f"ended on {day}" if left <= timedelta() else f"ends on {day}, in {left.days} days"
    yield Alarm(AlarmCode.CERTIFICATE_ENDS, f"{what} {when}", renewal, what.removeprefix("the "))


def read_served(host: str, port: int) -> CertificateFacts | None:
    """Return the certificate that a TLS server shows, None if it does not answer: that is another check's."""
    # Nothing is sent; the parts themselves verify the server, and an expired certificate is what is looked for.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=CONNECT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as shown,
        ):
            found = shown.getpeercert(binary_form=True)
    except OSError:
        return None
    return read_certificate(ssl.DER_cert_to_PEM_cert(found).encode()) if found else None
