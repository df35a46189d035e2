"""``broker-config`` and ``broker``: the configuration of the broker between the parts, and its credentials."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wanesync.cli.context import AsJson, Yes
from wanesync.cli.option_groups import spread_options
from wanesync.core.errors import ConfigError
from wanesync.ops.broker.certificates import KeyPair, utc_now
from wanesync.ops.broker.folder import BrokerFolder, Register, find_closed
from wanesync.ops.broker.limits import HANDLERS, MAX_BODY_BYTES, BrokerLimits
from wanesync.ops.broker.mosquitto import (
    PROGRAM,
    Identity,
    Release,
    detect_release,
    find_plugins,
    find_program,
    list_plugins,
)
from wanesync.ops.broker.setup import BrokerSetup, GivenServer, write_locked
from wanesync.output import print_line
from wanesync.terminal import make_console, make_table, pluralize, print_json, print_rows

DEFAULT_FOLDER = Path("broker")
SERVER = "server"
"""What ``rotate`` takes beside roles: the broker's own certificate."""

app = typer.Typer(
    help="Rotate and revoke credentials of the broker; show its state.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Folder = Annotated[Path, typer.Option("--dir", metavar="DIR", help="Folder that wanesync broker-config wrote.")]
PemFile = Annotated[Path | None, typer.Option(metavar="FILE", help="A server certificate from elsewhere; all three.")]


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """The options of ``broker-config``: what the broker is to be."""

    version: Annotated[
        Release | None, typer.Option("--version", help="Of Mosquitto; default: that of the program here.")
    ] = None
    program: Annotated[str, typer.Option("--mosquitto", metavar="PROGRAM", help="The program.")] = PROGRAM
    plugins: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of Mosquitto's plugins.")] = None
    at: Annotated[
        Path | None, typer.Option("--at", metavar="DIR", help="Where the broker sees the folder: in a container.")
    ] = None
    host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A name or address of the broker; repeat for more.")
    ] = None
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N")] = 8883
    bind: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen at.")] = "127.0.0.1"
    identity: Annotated[Identity, typer.Option(help="How a client proves who it is.")] = Identity.PASSWORD
    user: Annotated[str, typer.Option(metavar="NAME", help="Unix user of the broker.")] = PROGRAM
    handlers: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="Handlers connected at once.")] = (
        HANDLERS
    )
    max_body_bytes: Annotated[
        int, typer.Option(min=1024, max=200 * 1024 * 1024, metavar="N", help="As server.max_body_bytes.")
    ] = MAX_BODY_BYTES
    ca: PemFile = None
    certificate: PemFile = None
    key: PemFile = None

    def build(self) -> BrokerSetup:
        """Return the setup that these options describe. Raises ConfigError."""
        release = self.version or detect_release(find_program(self.program))
        return BrokerSetup(
            release=release,
            identity=self.identity,
            hosts=self.host or ["localhost", "127.0.0.1"],
            port=self.port,
            bind=self.bind,
            user=self.user,
            plugins=self.plugins or find_plugins(*list_plugins(release)),
            at=self.at,
            limits=BrokerLimits(self.handlers, self.max_body_bytes),
            given=_read_given(self.ca, self.certificate, self.key),
        )


@spread_options
def broker_config(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; made if it is not there.")],
    *,
    given: SetupOptions,
    as_json: AsJson = False,
) -> None:
    """Write a Mosquitto configuration: TLS, roles, credentials.

    Run again it keeps all credentials, and writes the configuration anew. No secret is shown.
    """
    setup = given.build()
    register = write_locked(BrokerFolder(folder, given.user), setup, utc_now())
    _show_written(folder, register, as_json=as_json)
    closed = find_closed(folder, given.user) if given.at is None and os.geteuid() == 0 else None
    if closed is not None:
        print_line(f"{given.user} cannot pass {closed}, and the broker will not start: chmod o+x {closed}", error=True)


def _read_given(ca: Path | None, certificate: Path | None, key: Path | None) -> GivenServer | None:
    if ca is None or certificate is None or key is None:
        if ca or certificate or key:
            raise ConfigError(["--ca, --certificate and --key: give all three, or none"])
        return None
    try:
        authority, *pair = (path.read_text() for path in (ca, certificate, key))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"a given certificate cannot be read ({error}): name PEM files"]) from error
    return GivenServer(KeyPair(*pair), authority)


def _show_written(folder: Path, register: Register, *, as_json: bool) -> None:
    names = [one.username for one in register.credentials]
    if as_json:
        print_json({"folder": str(folder), "release": register.release, "credentials": names})
        return
    print_line(f"Wrote {folder} for Mosquitto {register.release}, with {pluralize(len(names), 'credential')}.")
    print_line(f"Start it:        mosquitto -c {folder / 'mosquitto.conf'}")
    print_line(f"For each part:   {folder}/parts/ROLE, with its [bus] table in bus.toml")
    print_line(f"Keep apart:      {folder}/authority signs new certificates, and the broker does not need it")


@app.command("status")
def show_status(
    *,
    check: Annotated[bool, typer.Option("--check", help="One line per alarm; exit 1 if there is one.")] = False,
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Show the credentials of each role, which of them the broker accepts, and certificates that end soon."""
    from wanesync.bus.broker_control import connect  # noqa: PLC0415 - broker-config needs no MQTT client
    from wanesync.ops.broker.credentials import open_broker  # noqa: PLC0415 - as above
    from wanesync.ops.broker.state import read_state  # noqa: PLC0415 - as above

    state = read_state(open_broker(folder, connect), utc_now())
    if as_json:
        print_json({"alarms": state.alarms} if check else state.as_json())
    elif not check:
        screen = make_console()
        runs = "accepts the operator" if state.runs else "does not answer"
        screen.print(
            f"Mosquitto {state.release} at {state.address}, identity {state.identity}, certificate until"
            f" {state.ends}: {runs}.",
            markup=False,
        )
        accepted = {None: "?", True: "yes", False: "no"}
        rows = [
            (one.username, one.role, "newest" if one.newest else "older", one.ends or "-", accepted[one.accepted])
            for one in state.credentials
        ]
        print_rows(screen, make_table("#Credential", "Role", "Is", "Certificate until", "Accepted"), rows)
    if not as_json:
        _print_alarms(state.alarms)
    if check:
        raise typer.Exit(1 if state.alarms else 0)


def _print_alarms(alarms: Sequence[str]) -> None:
    for alarm in alarms:
        print_line(alarm)


@app.command("rotate")
def rotate_credential(
    role: Annotated[str, typer.Argument(metavar="ROLE|server", help="A role, or the broker's own certificate.")],
    *,
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Give a role a new password and certificate, beside the old; or the broker a new certificate.

    The old one stays good until wanesync broker revoke ROLE --old, so that processes change over one by one.
    """
    from wanesync.bus.broker_control import connect  # noqa: PLC0415 - as above
    from wanesync.ops.broker.credentials import open_broker, rotate, rotate_server  # noqa: PLC0415 - as above

    good: list[str] = []
    with BrokerFolder(folder).changing():
        broker = open_broker(folder, connect)
        if role == SERVER:
            rotate_server(broker, utc_now())
        else:
            good = [one.username for one in rotate(broker, role, utc_now()).of(role)]
    if as_json:
        print_json({"role": role, "credentials": good})
    elif role == SERVER:
        print_line("The broker has a new certificate. No connection was ended.")
    else:
        print_line(f"{role} has {good[-1]}, written to {broker.folder.part(role)}.")
        print_line(f"When its processes use it: wanesync broker revoke {role} --old --dir {folder}")


@app.command("revoke")
def revoke_credential(
    which: Annotated[str, typer.Argument(metavar="ROLE|ROLE.N", help="All credentials of a role, or one.")],
    *,
    old: Annotated[bool, typer.Option("--old", help="All but the newest.")] = False,
    yes: Yes = False,
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Take credentials back: their connections end at once, and none comes back."""
    from wanesync.bus.broker_control import connect  # noqa: PLC0415 - as above
    from wanesync.ops.broker.credentials import choose, open_broker, revoke  # noqa: PLC0415 - as above

    broker = open_broker(folder, connect)
    chosen = choose(broker.register, which, old=old)
    names = ", ".join(one.username for one in chosen)
    if not old and not yes:
        _confirm(f"Revoke {names}, and end their connections?")
    with BrokerFolder(folder).changing():
        # Read again: another command may have changed it during the question.
        broker = open_broker(folder, connect)
        register = revoke(broker, [one for one in chosen if one in broker.register.credentials], utc_now())
    role = chosen[0].role
    left = [one.username for one in register.of(role)]
    if as_json:
        print_json({"revoked": [one.username for one in chosen], "credentials": left})
        return
    print_line(f"Revoked {names}. Left: {', '.join(left) or f'none, wanesync broker rotate {role} makes one'}.")


def _confirm(question: str) -> None:
    """Require a confirmation. Raises ``ConfigError`` where there is no terminal to answer on."""
    if not sys.stdin.isatty():
        raise ConfigError([f"{question} There is no terminal to answer on: confirm it with --yes"])
    typer.confirm(question, abort=True)
