"""Every part of the bus as a process with a credential of its own: edits arrive, parts and logins come and go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support import postgres
from tests.support.bus_parts import BUS_KEY
from tests.support.database_roles import RoleLogins, made_roles
from tests.support.hardened_broker import HardenedBroker, hardened_broker
from tests.support.program import Program
from tests.support.stage import HUBSPOT_SECRET, STRIPE_SECRET, Stage
from wanesync.bus.seal_keys import derive_part_key
from wanesync.bus.topics import done_topics
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.core.roles import HANDLERS, WORKERS, Role
from wanesync.ops.broker.certificates import utc_now
from wanesync.ops.broker.credentials import choose, revoke, rotate
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.store.roles.matrix import Role as Login

SECRETS = {Side.HUBSPOT: HUBSPOT_SECRET, Side.STRIPE: STRIPE_SECRET}


LOGINS = {
    Role.QUEUE: Login.QUEUE,
    Role.HUBSPOT_WORKER: Login.HUBSPOT_WORKER,
    Role.STRIPE_WORKER: Login.STRIPE_WORKER,
}


@dataclass
class Parts:
    """Starts parts, each with its own credential and key of the bus, and its own login of the database or none."""

    stage: Stage
    logins: RoleLogins
    broker: HardenedBroker

    def start(self, role: Role, *arguments: str, name: str = "") -> Program:
        key = BUS_KEY if role is Role.QUEUE else derive_part_key(BUS_KEY, role)
        database = self.logins.address(LOGINS[role]) if role in LOGINS else "env:NOT_GIVEN"
        named = {"WANESYNC_BUS__NAME": name} if name else {}
        files = self.broker.files.part(role)
        return self.stage.start(
            *arguments,
            WANESYNC_BUS__SEAL_KEY=key,
            WANESYNC_BUS__PASSWORD=f"file:{files / 'login'}",
            WANESYNC_BUS__CA=str(files / "ca.pem"),
            WANESYNC_DATABASE=database,
            **named,
        )


def aim(stage: Stage, side: Side, handler: Program) -> None:
    url = next(word for word in handler.first_line().split() if word.startswith("http"))
    stage.sandbox.set_target(side, WebhookTarget(f"{url}/webhooks/{side}", SECRETS[side]))


@pytest.fixture(name="broker")
def run_broker() -> Iterator[HardenedBroker]:
    with hardened_broker() as broker:
        yield broker


@pytest.fixture
def parts(postgres_databases: postgres.Databases, broker: HardenedBroker, tmp_path: Path) -> Iterator[Parts]:
    with ExitStack() as stack:
        database = stack.enter_context(postgres_databases.lend())
        stage = stack.enter_context(Stage(database, tmp_path, more=f'[bus]\nurl = "{broker.url}"\n'))
        logins = stack.enter_context(made_roles(stage.config.database))
        apply = ("db", "roles", "--apply", "--prefix", logins.target.prefix)
        assert stage.run(*apply, WANESYNC_DATABASE=logins.address(Login.MIGRATE)).returncode == 0
        # Before their logins are removed.
        stack.callback(stage.end_programs)
        yield Parts(stage, logins, broker)


def test_edits_arrive_over_the_bus_while_a_queue_process_is_killed_and_its_login_is_rotated(
    parts: Parts, broker: HardenedBroker
) -> None:
    stage, start = parts.stage, parts.start
    queues = [start(Role.QUEUE, "queue", name=name) for name in ("one", "two")]
    handlers = {side: start(role, "serve", "--bus", "--side", side) for side, role in HANDLERS.items()}
    workers = {side: start(role, "worker", "--side", side) for side, role in WORKERS.items()}
    stage.reconcile()
    for side, handler in handlers.items():
        aim(stage, side, handler)
    assert [queue.first_line() for queue in queues] == [
        f"wanesync queue queue-{name}: reads {broker.url}" for name in ("one", "two")
    ]
    for worker in workers.values():
        worker.first_line()
    with broker.client(Role.ADMIN, done_topics()) as reports:
        ana = stage.edit(Side.HUBSPOT, "create", email="ana@example.com", firstname="Ana", city="Lyon")
        stage.until(lambda: stage.customer("ana@example.com"), "the contact is a customer")
        stage.until(lambda: not reports.received.empty(), "workers report")
    customer = stage.customer("ana@example.com")["id"]
    queues[0].kill()
    stage.edit(Side.STRIPE, "update", customer, address__city="Oslo")
    stage.until(lambda: stage.row(Side.HUBSPOT, ana).get("city") == "Oslo", "the customer's city is the contact's")
    rotate(broker.opened, Role.QUEUE, utc_now())
    queues.append(start(Role.QUEUE, "queue", name="one"))
    assert queues[-1].first_line().startswith("wanesync queue queue-one: reads ")
    revoke(broker.opened, choose(broker.opened.register, Role.QUEUE, old=True), utc_now())
    stage.edit(Side.HUBSPOT, "update", ana, firstname="Anna")
    stage.until(lambda: stage.customer("ana@example.com")["name"] == "Anna", "the name goes by the new login alone")

    def lanes() -> set[object]:
        states = stage.ask("status")["processes"]
        assert isinstance(states, list)
        # The one that was killed counts for some seconds more.
        return {row["lanes"] for row in states}

    stage.until(lambda: lanes() == {"hubspot", "queue", "stripe", "web"}, "every part is seen")
    programs = (*queues, *handlers.values(), *workers.values())
    assert not any("denie" in program.log_tail() for program in programs)


@pytest.mark.parametrize("arguments", [["serve", "--bus"], ["serve", "--side", "stripe"]])
def test_a_handler_without_its_side_is_refused(arguments: list[str]) -> None:
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, ConfigError)
    assert "--bus and --side go together" in str(refused.exception)
