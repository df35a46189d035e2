"""Live sync on Postgres with every process under its own database role, as docs/security.md describes it."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.database_roles import RoleLogins, made_roles
from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.store.roles.matrix import Role

LOGS = "[log]\nstore = true\n"
OF_OPERATORS = (
    "pause hubspot", "resume hubspot", "pause --field city", "resume --field city", "limits set hubspot 12/s",
    "limits reset hubspot", "writes off", "writes on", "retry --all --yes", "hold list", "webhooks set-aside",
    "db prune", "diff", "catch-up", "runs start", "status --check",
)  # fmt: skip


@pytest.fixture
def stage(postgres_databases: postgres.Databases, tmp_path: Path) -> Iterator[tuple[Stage, RoleLogins]]:
    with ExitStack() as stack:
        made = stack.enter_context(Stage(stack.enter_context(postgres_databases.lend()), tmp_path, more=LOGS))
        logins = stack.enter_context(made_roles(made.config.database))
        # Before their roles are removed.
        stack.callback(made.end_programs)
        yield made, logins


def test_every_process_works_under_its_own_role(stage: tuple[Stage, RoleLogins]) -> None:
    made, logins = stage

    def as_role(role: Role) -> dict[str, str]:
        return {"WANESYNC_DATABASE": logins.address(role)}

    def succeed(role: Role, *arguments: str) -> str:
        done = made.run(*arguments, **as_role(role))
        assert done.returncode == 0, f"{role} {arguments}: {done.stderr}{done.stdout}"
        return done.stdout

    succeed(Role.MIGRATE, "db", "migrate")
    succeed(Role.MIGRATE, "db", "roles", "--apply", "--prefix", logins.target.prefix)
    succeed(Role.ADMIN, "reconcile")
    serve = made.start("serve", **as_role(Role.INTAKE))
    workers = [
        made.start("worker", "--side", str(role.side), **as_role(role))
        for role in (Role.HUBSPOT_WORKER, Role.STRIPE_WORKER)
    ]
    line = serve.first_line()
    url = next(word for word in line.split() if word.startswith("http"))
    made.aim(url)
    for worker in workers:
        worker.first_line()

    contact_id = made.edit(Side.HUBSPOT, "create", email="ana@example.com", firstname="Ana", city="Lyon")
    made.until(lambda: made.customer("ana@example.com"), "a new contact becomes a customer")
    made.edit(Side.HUBSPOT, "update", contact_id, city="Leeds")
    customer_id = made.edit(Side.STRIPE, "create", email="tom@example.com", name="Tom Baker")
    made.until(lambda: made.contact("tom@example.com"), "a new customer becomes a contact")
    made.edit(Side.STRIPE, "update", customer_id, address__city="Tokyo")
    made.edit(Side.STRIPE, "purchase", customer_id, amount="1999", currency="usd")
    made.edit(Side.STRIPE, "purchase", amount="500", currency="eur", email="ana@example.com")
    made.until(lambda: len(made.writes(Side.HUBSPOT, "event.sent")) == 2, "both purchases reach their contacts")
    made.until(lambda: made.contact("tom@example.com").get("city") == "Tokyo", "an edit reaches HubSpot")
    made.rest()
    assert made.customer("ana@example.com")["address.city"] == "Leeds"
    assert made.compare().actionable == 0
    metrics = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    assert 'wanesync_workers{lane="stripe"} 1' in metrics

    for command in (
        "status",
        "jobs",
        "history ana@example.com",
        "conflicts",
        "limits",
        "keys status",
        "logs",
        "runs list",
    ):
        succeed(Role.READ_ONLY, *command.split())
    assert "worker" in succeed(Role.READ_ONLY, "logs", "--source", "log"), "workers store their lines"
    for command in OF_OPERATORS:
        succeed(Role.ADMIN, *command.split())
    succeed(Role.MIGRATE, "keys", "rewrap")
    refused = made.run("pause", "stripe", **as_role(Role.READ_ONLY))
    assert (refused.returncode, "denies its user a privilege" in refused.stderr) == (4, True)
    assert not any("denie" in program.log_tail() for program in (serve, *workers))
