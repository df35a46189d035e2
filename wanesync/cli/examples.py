"""An example of every command, shown at the end of its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.core import TyperGroup

if TYPE_CHECKING:
    # Private in Typer, which brings its own copy of Click: only the type checker needs the name.
    from typer._click import Command

EXAMPLES = {
    "init": "wanesync init --hubspot",
    "doctor": "wanesync doctor",
    "writes": "wanesync writes on",
    "catch-up": "wanesync catch-up --json",
    "admin": "wanesync admin",
    "admin user": "wanesync admin user list",
    "admin user add": "wanesync admin user add anna --role operator",
    "admin user list": "wanesync admin user list",
    "admin user role": "wanesync admin user role anna admin",
    "admin user remove": "wanesync admin user remove anna",
    "admin user password": "wanesync admin user password anna --link",
    "admin user totp": "wanesync admin user totp anna",
    "admin token": "wanesync admin token list",
    "admin token create": "wanesync admin token create grafana --role viewer --days 30",
    "admin token list": "wanesync admin token list --json",
    "admin token revoke": "wanesync admin token revoke Xq3fR9aB2cde",
    "admin audit": "wanesync admin audit verify",
    "admin audit verify": "wanesync admin audit verify --json",
    "serve": "wanesync serve --config /etc/wanesync/wanesync.toml",
    "queue": "wanesync queue",
    "worker": "wanesync worker --side stripe",
    "up": "wanesync up",
    "diff": "wanesync diff --since 2d --html diff.html",
    "reconcile": "wanesync reconcile --dry-run --csv differences.csv",
    "runs": "wanesync runs start --limit 50",
    "runs list": "wanesync runs list",
    "runs start": "wanesync runs start --only update_contact",
    "runs apply": "wanesync runs apply 019… --max-creates 500",
    "runs work": "wanesync runs work 019…",
    "runs show": "wanesync runs show 019… --only create_customer",
    "runs approve": "wanesync runs approve 019…",
    "runs cancel": "wanesync runs cancel 019…",
    "runs discard": "wanesync runs discard 019…",
    "status": "wanesync status --watch",
    "jobs": "wanesync jobs --dead --side stripe --since 1d",
    "retry": "wanesync retry --class validation --dry-run",
    "discard": "wanesync discard --class gone --until 30d --dry-run",
    "conflicts": "wanesync conflicts --show-values",
    "conflicts list": "wanesync conflicts list --field phone --only standing",
    "conflicts show": "wanesync conflicts show cus_NffrFeUfNV2Hib --show-values",
    "conflicts resolve": "wanesync conflicts resolve --field phone --choose hubspot --dry-run",
    "trends": "wanesync trends --period day",
    "explain": "wanesync explain anna@example.com",
    "link": "wanesync link 2041 cus_NffrFeUfNV2Hib --dry-run",
    "unlink": "wanesync unlink 2041 cus_NffrFeUfNV2Hib --dry-run",
    "webhooks": "wanesync webhooks stripe create",
    "webhooks stripe": "wanesync webhooks stripe create",
    "webhooks stripe create": "wanesync webhooks stripe create --key file:stripe-setup-key",
    "webhooks stripe list": "wanesync webhooks stripe list",
    "webhooks stripe remove": "wanesync webhooks stripe remove",
    "webhooks hubspot": "wanesync webhooks hubspot write hubspot-app",
    "webhooks hubspot write": "wanesync webhooks hubspot write hubspot-app",
    "webhooks set-aside": "wanesync webhooks set-aside --json",
    "history": "wanesync history anna@example.com --limit 20",
    "logs": "wanesync logs --since 2h --level warning --follow",
    "pause": "wanesync pause --field phone",
    "resume": "wanesync resume --field phone",
    "demo": "wanesync demo --contacts 500",
    "hold": "wanesync hold list",
    "hold list": "wanesync hold list --show-values",
    "hold release": "wanesync hold release all --dry-run",
    "hold discard": "wanesync hold discard all --dry-run",
    "broker-config": "wanesync broker-config broker --host bus.example.com",
    "broker": "wanesync broker status --dir /etc/wanesync/broker",
    "broker status": "wanesync broker status --check --dir /etc/wanesync/broker",
    "broker rotate": "wanesync broker rotate queue --dir /etc/wanesync/broker",
    "broker revoke": "wanesync broker revoke queue --old --dir /etc/wanesync/broker",
    "db": "wanesync db migrate",
    "db migrate": "wanesync db migrate",
    "db prune": "wanesync db prune --dry-run",
    "db roles": "wanesync db roles --prefix wanesync_live_",
    "keys": "wanesync keys status",
    "keys status": "wanesync keys status --json",
    "keys rotate": "wanesync keys rotate",
    "keys rewrap": "wanesync keys rewrap",
    "keys remove": "wanesync keys remove 3f0a",
    "keys bus": "wanesync keys bus hubspot-worker",
    "secrets": "wanesync secrets check",
    "secrets check": "wanesync secrets check --role stripe-worker",
    "limits": "wanesync limits",
    "limits set": "wanesync limits set hubspot 12/s",
    "limits reset": "wanesync limits reset hubspot",
    "sandbox": "wanesync sandbox --contacts 200 --tier enterprise",
    "sandbox edit": "wanesync sandbox edit contact 1001 phone=+4930123456",
    "sandbox create": "wanesync sandbox create customer email=anna@example.com",
    "sandbox delete": "wanesync sandbox delete contact 1001",
    "sandbox restore": "wanesync sandbox restore 1001",
    "sandbox merge": "wanesync sandbox merge 1001 1002",
    "sandbox property": "wanesync sandbox property phone max_length=20",
    "sandbox purchase": "wanesync sandbox purchase --amount 1999 --currency eur",
    "bench": "wanesync bench steady",
    "bench hooks": "wanesync bench hooks",
    "bench steady": "wanesync bench steady",
    "bench brake": "wanesync bench brake",
    "bench burst": "wanesync bench burst --contacts 1000 --seconds 6",
    "bench claim": "wanesync bench claim",
    "bench status": "wanesync bench status",
    "bench poison": "wanesync bench poison",
    "bench judge": "wanesync bench judge",
    "bench reconcile": "wanesync bench reconcile",
}
"""The words of a command -> a line to type."""


def add_examples(command: Command, words: str) -> None:
    """End the help of a command, and of those below it, with its example."""
    if words in EXAMPLES:
        command.epilog = f"Example: {EXAMPLES[words]}"
    if isinstance(command, TyperGroup):
        for name, below in command.commands.items():
            add_examples(below, f"{words} {name}")
