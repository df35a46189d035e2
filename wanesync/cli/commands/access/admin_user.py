"""``admin user``: the users of the admin service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.admin_wiring import MISSING, find_address
from wanesync.cli.context import AsJson, ConfigFile, Yes, open_configured
from wanesync.cli.operator import find_operator
from wanesync.core.errors import ConfigError
from wanesync.core.operating.operators import OperatorRole
from wanesync.ops.access.logins import make_password_link
from wanesync.ops.access.second_factor import turn_off_factor
from wanesync.ops.access.users import add_user, change_password, change_role, check_name, list_users, remove_user
from wanesync.output import print_line
from wanesync.terminal import make_console, make_table, print_json, print_rows

if TYPE_CHECKING:
    from wanesync.config.model import Config
    from wanesync.store.database import Store

app = typer.Typer(
    help="Add, list, change and remove the users of the admin service.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user; upper and lower case are the same.")]
Role = Annotated[OperatorRole, typer.Option("--role", help="What the user may do: viewer, operator or admin.")]
ByLink = Annotated[bool, typer.Option("--link", help="Print a link by which the user sets the password, for an hour.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
NoPassword = Annotated[bool, typer.Option("--no-password", help="For a user who comes by single sign-on.")]
Off = Annotated[bool, typer.Option("--off", help="Turn the second factor off: the phone is lost.")]


@app.command("add")
def add(
    name: Name,
    *,
    role: Role = OperatorRole.VIEWER,
    link: ByLink = False,
    password_stdin: FromStdin = False,
    no_password: NoPassword = False,
    config_file: ConfigFile = None,
) -> None:
    """Add a user; the password is asked for, and not shown."""
    if link + password_stdin + no_password > 1:
        raise ConfigError(["--link, --password-stdin and --no-password exclude one another"])
    name = check_name(name)
    digest = "" if link or no_password else _read_password(name, from_stdin=password_stdin)
    with open_configured(config_file) as (config, store):
        add_user(store, find_operator(), name, role, digest)
        print_line(f"Added {name} ({role}).")
        if link:
            _print_link(config, store, name)


@app.command("list")
def show(*, as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """List the users."""
    with open_configured(config_file) as (_, store):
        users = list_users(store)
        now = store.now_ms()
    if as_json:
        print_json(
            {
                "users": [
                    {
                        "name": user.name,
                        "role": str(user.role),
                        "has_password": user.has_password,
                        "has_second_factor": user.has_totp,
                        "last_seen_s": round((now - user.seen_ms) / 1000) if user.seen_ms else None,
                    }
                    for user in users
                ]
            }
        )
        return
    rows = [
        (user.name, str(user.role), "yes" if user.has_password else "no", "yes" if user.has_totp else "no")
        for user in users
    ]
    print_rows(make_console(), make_table("user", "role", "password", "second factor"), rows)


@app.command("role")
def change(
    name: Name,
    role: Annotated[OperatorRole, typer.Argument(help="viewer, operator or admin.")],
    *,
    config_file: ConfigFile = None,
) -> None:
    """Give a user another role, from the next request on."""
    with open_configured(config_file) as (_, store):
        change_role(store, find_operator(), name, role)
    print_line(f"{name.lower()} is {role} from now on.")


@app.command("remove")
def remove(name: Name, *, yes: Yes = False, config_file: ConfigFile = None) -> None:
    """Remove a user and end all sessions."""
    with open_configured(config_file) as (_, store):
        if not yes and not typer.confirm(f"Remove {name.lower()}?", err=True):
            return
        remove_user(store, find_operator(), name)
    print_line(f"Removed {name.lower()}.")


@app.command("password")
def set_password(
    name: Name, *, link: ByLink = False, password_stdin: FromStdin = False, config_file: ConfigFile = None
) -> None:
    """Set the password of a user, and end all sessions."""
    name = check_name(name)
    if link:
        with open_configured(config_file) as (config, store):
            _print_link(config, store, name)
        return
    digest = _read_password(name, from_stdin=password_stdin)
    with open_configured(config_file) as (_, store):
        change_password(store, find_operator(), name, digest)
    print_line(f"The password of {name} is changed, and every session has ended.")


@app.command("totp")
def set_second_factor(name: Name, *, off: Off = False, config_file: ConfigFile = None) -> None:
    """Set up the second factor of a user: show its picture, ask for a first code; or turn it off."""
    name = check_name(name)
    with open_configured(config_file) as (_, store):
        if off:
            done = turn_off_factor(store, find_operator(), name)
            print_line(f"The second factor of {name} is off." if done else f"{name} has no second factor.")
            return
        _set_up_factor(store, name)


def _set_up_factor(store: Store, name: str) -> None:
    try:
        from wanesync.admin.security import second_factor, totp  # noqa: PLC0415 - of an extra
    except ImportError as error:
        raise ConfigError([MISSING]) from error

    prepared = second_factor.prepare(store, name)
    print_line(totp.draw_text(prepared.address))
    print_line(f"Scan it with an authenticator app, or type this secret: {prepared.secret}")
    codes = second_factor.confirm(store, find_operator(), name, typer.prompt("The code that the app shows", err=True))
    print_line(
        "The second factor is on. Each of these codes works once, if the phone is lost; they are not shown again:"
    )
    for code in codes:
        print_line(f"  {code}")


def _read_password(name: str, *, from_stdin: bool) -> str:
    """Return the hash of a password that is typed twice, or read from standard input. Raises ConfigError."""
    try:
        from wanesync.admin.security.passwords import Passwords, find_flaw  # noqa: PLC0415 - of an extra
    except ImportError as error:
        raise ConfigError([MISSING]) from error

    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt="Password, again", err=True)
    if flaw := find_flaw(password, name):
        raise ConfigError([flaw])
    return Passwords().hash(password)


def _print_link(config: Config, store: Store, name: str) -> None:
    secret = make_password_link(store, find_operator(), name)
    print_line(f"For an hour {name} can set the password here, once: {find_address(config)}/password?token={secret}")
