"""Mosquitto's program and its configuration file, for its releases 2.0 and 2.1.

Options: mosquitto.conf(5) of both releases; the persistence plugin of 2.1 in mosquitto.org/documentation/persistence/.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from wanesync.core.errors import ConfigError
from wanesync.ops.broker.limits import BrokerLimits

PROGRAM = "mosquitto"
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
"""Where the program is beside PATH, which lacks the folders of servers for other users than root on Debian."""
PLUGIN_FOLDERS = ("/usr/lib/*-linux-gnu*", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib/*-linux-gnu*")
DYNAMIC_SECURITY = "mosquitto_dynamic_security.so"
PERSIST_SQLITE = "mosquitto_persist_sqlite.so"
ASK_S = 10
"""Seconds for the program to name its version."""
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption alone (RFC 9325, 4.2); those of 1.3 all are such."""


class Release(StrEnum):
    """A release line of Mosquitto whose options this module has."""

    V2_0 = "2.0"
    V2_1 = "2.1"


class Identity(StrEnum):
    """What a client is known by: a password beside the server's TLS, both, or a certificate alone."""

    PASSWORD = "password"  # noqa: S105 - the name of a choice
    BOTH = "both"
    CERTIFICATE = "certificate"

    @property
    def has_certificate(self) -> bool:
        """Whether clients show a certificate."""
        return self is not Identity.PASSWORD

    @property
    def has_password(self) -> bool:
        """Whether clients give a password."""
        return self is not Identity.CERTIFICATE


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """Absolute paths for the configuration file. ``state``: the folder that the broker writes into."""

    authority: Path
    certificate: Path
    key: Path
    revoked: Path
    state: Path
    dynamic_security: Path
    pid: Path
    plugins: Path


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """What the configuration file depends on. ``user``: what the broker runs as when root starts it."""

    release: Release
    port: int
    bind: str
    identity: Identity
    user: str
    limits: BrokerLimits


def find_program(program: str = PROGRAM) -> Path:
    """Return the program's path. Raises ``ConfigError``."""
    found = shutil.which(program) or shutil.which(program, path=SYSTEM_FOLDERS)
    if found is None:
        raise ConfigError([f"{program} is not there: apt-get install mosquitto, or give --version 2.0 or 2.1"])
    return Path(found)


def detect_release(program: Path) -> Release:
    """Return the release line of a program. Raises ``ConfigError`` for one whose options are not known here."""
    try:
        # The program that the operator named, or the one of the system's folders.
        done = subprocess.run([program, "-h"], capture_output=True, text=True, timeout=ASK_S, check=False)  # noqa: S603 - as above; fixed words
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError([f"{program} does not name its version ({error}): give --version 2.0 or 2.1"]) from error
    found = re.search(r"mosquitto version (\d+)\.(\d+)", done.stdout + done.stderr)
    if found is None:
        raise ConfigError([f"{program} does not name its version: give --version 2.0 or 2.1"])
    major, minor = int(found[1]), int(found[2])
    if major != 2:
        raise ConfigError([f"{program} is Mosquitto {major}.{minor}, and only 2.0 and 2.1 are supported"])
    return Release.V2_0 if minor == 0 else Release.V2_1


def find_plugins(*names: str) -> Path:
    """Return the folder that holds all plugins of ``names``. Raises ``ConfigError``."""
    for pattern in PLUGIN_FOLDERS:
        for folder in sorted(Path("/").glob(pattern.lstrip("/"))):
            if all((folder / name).is_file() for name in names):
                return folder
    raise ConfigError([f"{' and '.join(names)} are in no usual folder: name it with --plugins"])


def list_plugins(release: Release) -> tuple[str, ...]:
    """Return the files of the plugins that a release loads."""
    return (DYNAMIC_SECURITY,) if release is Release.V2_0 else (DYNAMIC_SECURITY, PERSIST_SQLITE)


def write_configuration(options: BrokerOptions, files: BrokerFiles) -> str:
    """Return the text of ``mosquitto.conf``."""
    parts: list[tuple[str, Sequence[str]]] = [
        (
            "Written by wanesync broker-config: change its options and run it again. The reasons: docs/broker.md.",
            [f"user {options.user}", f"pid_file {files.pid}"],
        ),
        ("Who may do what: one role for each part; without a role nothing.", _security(options, files)),
        ("Limits, worked out from the burst.", _limits(options)),
        ("What is on its way survives the death of the broker.", _persistence(options, files)),
        ("The only listener: TLS 1.2 or 1.3.", _listener(options, files)),
        ("Log: no payloads at any level; the level debug would name topics.", _log(options)),
    ]
    return "\n".join("\n".join((f"# {title}", *lines, "")) for title, lines in parts)


def _security(options: BrokerOptions, files: BrokerFiles) -> list[str]:
    word = "plugin" if options.release is Release.V2_0 else "global_plugin"
    return [
        *(["per_listener_settings false"] if options.release is Release.V2_0 else []),
        "allow_anonymous false",
        "allow_zero_length_clientid false",
        f"{word} {files.plugins / DYNAMIC_SECURITY}",
        f"plugin_opt_config_file {files.dynamic_security}",
    ]


def _limits(options: BrokerOptions) -> list[str]:
    limits = options.limits
    # No memory_limit: the dynamic security plugin of 2.0.11 frees what was not counted, so that after a few commands
    # the count is below zero, every allocation is refused, and the broker ends (measured). systemd bounds its memory.
    lines = [
        "set_tcp_nodelay true",
        f"max_inflight_messages {limits.in_flight}",
        f"max_queued_messages {limits.queued}",
        f"max_queued_bytes {limits.queued_bytes}",
        f"max_packet_size {limits.packet_bytes}",
        "max_keepalive 60",
        "persistent_client_expiration 7d",
        "retain_available false",
        "queue_qos0_messages false",
    ]
    if options.release is Release.V2_1:
        lines += [f"global_max_connections {limits.connections}", f"global_max_clients {limits.connections}"]
    return lines


def _persistence(options: BrokerOptions, files: BrokerFiles) -> list[str]:
    if options.release is Release.V2_0:
        # 1 means that more than a second has passed by whole seconds: it saves every 2 s. 0 would mean never.
        return ["persistence true", f"persistence_location {files.state}/", "autosave_interval 1"]
    # Built-in persistence and the plugin at once are refused since 2.1.2.
    return [
        "persistence false",
        f"persistence_location {files.state}",
        f"global_plugin {files.plugins / PERSIST_SQLITE}",
        "plugin_opt_sync full",
        "plugin_opt_flush_period 1",
        # An idle broker of 2.1.2 sleeps until its next event and forgets the plugin: this is an event a second.
        "sys_interval 1",
    ]


def _listener(options: BrokerOptions, files: BrokerFiles) -> list[str]:
    lines = [
        f"listener {options.port} {options.bind}",
        "protocol mqtt",
        f"max_connections {options.limits.connections}",
        "tls_version tlsv1.2",
        f"ciphers {CIPHERS}",
        f"cafile {files.authority}",
        f"certfile {files.certificate}",
        f"keyfile {files.key}",
    ]
    if options.release is Release.V2_1:
        lines += ["listener_allow_anonymous false", "accept_protocol_versions 5"]
    if options.identity.has_certificate:
        lines += [f"crlfile {files.revoked}", "require_certificate true"]
    if options.identity is Identity.CERTIFICATE:
        lines.append("use_identity_as_username true")
    return lines


def _log(options: BrokerOptions) -> list[str]:
    # At this level 2.0 writes a line for each save, so one a second.
    more = ["information"] if options.release is Release.V2_1 else []
    return ["log_dest stderr", *(f"log_type {level}" for level in ("error", "warning", "notice", *more))]
