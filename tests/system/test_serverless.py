"""A contact of HubSpot becomes a customer of Stripe with webhooks that a function of AWS Lambda receives."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.support.bus_parts import BUS_KEY
from tests.support.database_roles import made_roles
from tests.support.lambda_instance import LambdaInstance
from tests.support.mosquitto import running
from tests.support.stage import HUBSPOT_SECRET, Stage
from wanesync.bus.seal_keys import derive_part_key
from wanesync.core.model import Side
from wanesync.core.roles import Role as Part
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.store import open_store
from wanesync.store.roles.matrix import Role


def test_a_function_with_the_least_rights_stores_webhooks_in_postgres_and_workers_sync_them(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The roles go last: while they are taken away nothing may use the tables.
    open_store(postgres_url, [f"test:{base64.b64encode(bytes(range(32))).decode()}"], migrate=True).close()
    with made_roles(postgres_url) as roles, Stage(postgres_url, tmp_path) as stage, LambdaInstance() as function:
        monkeypatch.setenv("WANESYNC_CONFIG", str(stage.file))
        monkeypatch.setenv("WANESYNC_DATABASE", roles.address(Role.INTAKE))
        monkeypatch.setenv("WANESYNC_SERVER__PUBLIC_URL", function.url)
        stage.reconcile()
        stage.aim(function.url)
        stage.work()
        stage.edit(Side.HUBSPOT, "create", email="ada@example.com", firstname="Ada", lastname="Lovelace")
        stage.until(lambda: stage.customer("ada@example.com"), "the contact is a customer")
        customer = stage.customer("ada@example.com")
        stage.edit(Side.STRIPE, "update", customer["id"], phone="+493012345678")
        stage.until(lambda: stage.contact("ada@example.com").get("phone"), "the phone number is on the contact")
        stage.rest()
        assert set(function.answers) == {200}
        assert "receives webhooks" not in str(stage.ask("status")["alarms"])


def test_a_function_that_has_no_database_hands_webhooks_to_the_queue_process(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        running(tmp_path / "broker") as broker,
        Stage(sqlite_url, tmp_path, more=f'[bus]\nurl = "{broker.url}"\n') as stage,
        LambdaInstance() as function,
    ):
        variables = {
            "HUBSPOT__WEBHOOK_SECRET": HUBSPOT_SECRET,
            "SERVER__PUBLIC_URL": function.url,
            "BUS__URL": broker.url,
            "BUS__SEAL_KEY": derive_part_key(BUS_KEY, Part.HUBSPOT_HANDLER),
            "CREATE__CUSTOMERS": "none",
            "CREATE__CONTACTS": "none",
        }
        for name, value in variables.items():
            monkeypatch.setenv(f"WANESYNC_{name}", value)
        stage.start("queue", WANESYNC_BUS__SEAL_KEY=BUS_KEY).first_line()
        stage.reconcile()
        target = WebhookTarget(f"{function.url}/webhooks/hubspot", HUBSPOT_SECRET)
        stage.sandbox.set_target(Side.HUBSPOT, target)
        stage.work()
        stage.edit(Side.HUBSPOT, "create", email="ada@example.com", firstname="Ada", lastname="Lovelace")
        stage.until(lambda: stage.customer("ada@example.com"), "the contact is a customer")
        assert set(function.answers) == {200}
