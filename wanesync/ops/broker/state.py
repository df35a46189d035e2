"""The state of a broker: its credentials, which of them it lets in, and certificates that end soon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from wanesync.core.errors import WanesyncError
from wanesync.ops.broker.certificates import read_certificate
from wanesync.ops.broker.credentials import Broker, list_at_broker
from wanesync.ops.broker.folder import ROLES
from wanesync.ops.health.certificates import find_ending, read_served


@dataclass(frozen=True, slots=True)
class CredentialState:
    """A credential as ``wanesync broker status`` shows it. ``accepted``: None while the broker does not answer.

    ``ends``: day of the end of its certificate, "" without one. ``newest``: it is what the part's folder holds.
    """

    username: str
    role: str
    newest: bool
    ends: str
    accepted: bool | None


@dataclass(frozen=True, slots=True)
class BrokerState:
    """What ``wanesync broker status --json`` prints. ``ends``: of the broker's own certificate, a day."""

    release: str
    identity: str
    address: str
    runs: bool
    ends: str
    credentials: Sequence[CredentialState]
    revoked: int
    alarms: Sequence[str]

    def as_json(self) -> dict[str, object]:
        """Return the state as one JSON document."""
        return asdict(self)


def read_state(broker: Broker, now: datetime) -> BrokerState:
    """Read the register, ask the broker, and look at every certificate. Raises ``ConfigError``."""
    register, folder = broker.register, broker.folder
    alarms: list[str] = []
    accepted: frozenset[str] | None = None
    try:
        accepted = list_at_broker(broker)
    except WanesyncError as error:
        alarms.append(f"{error}: start it, or see its log")
    good = {one.username for one in register.credentials}
    credentials = [
        CredentialState(
            one.username,
            one.role,
            one == register.of(one.role)[-1],
            one.ends,
            None if accepted is None else one.username in accepted,
        )
        for one in register.credentials
    ]
    if accepted is not None:
        alarms += [
            f"{name} is not accepted: wanesync broker rotate {name.partition('.')[0]}" for name in good - accepted
        ]
        alarms += [
            f"{name} is accepted and not in the register: delete it with mosquitto_ctrl" for name in accepted - good
        ]
    alarms += [f"{role} has no credential: wanesync broker rotate {role}" for role in ROLES if not register.of(role)]
    alarms += [alarm.text for alarm in find_ending(list_certificates(broker), now)]
    alarms += _compare_served(broker)
    return BrokerState(
        release=str(register.release),
        identity=str(register.identity),
        address=f"{register.hosts[0]}:{register.port}",
        runs=accepted is not None,
        ends=_day_of(folder.server / "certificate.pem"),
        credentials=credentials,
        revoked=len(register.revoked),
        alarms=alarms,
    )


def list_certificates(broker: Broker) -> dict[Path, str]:
    """Return the certificates of a broker's folder, and how each is renewed."""
    register, folder = broker.register, broker.folder
    given = "renew it where it came from, then wanesync broker-config again"
    found = {
        folder.server / "certificate.pem": given
        if register.given
        else f"wanesync broker rotate server --dir {folder.root}",
        folder.client_authority: "wanesync broker-config with a new folder, then every part",
    }
    if register.identity.has_certificate:
        for role in ROLES:
            found[folder.part(role) / "certificate.pem"] = f"wanesync broker rotate {role} --dir {folder.root}"
    return found


def _compare_served(broker: Broker) -> list[str]:
    """Return an alarm if the running broker shows another certificate than the folder holds."""
    served = read_served(broker.register.hosts[0], broker.register.port)
    path = broker.folder.server / "certificate.pem"
    if served is None or read_certificate(path.read_bytes()).serial == served.serial:
        return []
    return [f"the broker shows another certificate than {path}: send it SIGHUP, or restart it"]


def _day_of(path: Path) -> str:
    return f"{read_certificate(path.read_bytes()).ends:%Y-%m-%d}"
