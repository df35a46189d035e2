"""Secrets that are replaced while everything runs: new API keys and webhook secrets count without a restart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.support.moto_server import REGION, run_moto, variables
from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.ops.alarms import read_alarms
from wanesync.sandbox.server import HUBSPOT_KEY, STRIPE_KEY

NEW_HUBSPOT, NEW_STRIPE = "pat-eu1-new-token", "sk_test_new_key"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with run_moto() as url:
        yield url


def put(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def refer(stage: Stage, refresh: str, **references: str) -> None:
    """Replace the first values of these names by references."""
    text = stage.file.read_text()
    for name, reference in references.items():
        text = re.sub(rf'(?m)^{name} = ".*"$', f'{name} = "{reference}"', text, count=1)
    stage.file.write_text(f'{text}\n[secrets]\nrefresh = "{refresh}"\n')


def test_api_keys_that_are_rotated_are_picked_up_without_a_restart(sqlite_url: str, tmp_path: Path, moto: str) -> None:
    client = boto3.client(
        "secretsmanager",
        endpoint_url=moto,
        region_name=REGION,
        aws_access_key_id="planted",
        aws_secret_access_key="planted",
    )
    client.create_secret(Name="stripe", SecretString=f'{{"api_key": "{STRIPE_KEY}"}}')
    put(tmp_path / "token", HUBSPOT_KEY)
    with Stage(sqlite_url, tmp_path) as stage:
        refer(stage, "0", access_token="file:token", api_key="aws-sm:stripe#api_key")
        serving, working = stage.start("serve"), stage.start("worker", **variables(moto))
        stage.reconcile()
        stage.serve(serving)
        working.first_line()
        ana = stage.edit(Side.HUBSPOT, "create", email="ana@example.com", phone="+4930111")
        stage.until(lambda: stage.customer("ana@example.com"), "a customer is created with the first keys")

        # The new key is in the manager, and the side takes the old one no more.
        client.put_secret_value(SecretId="stripe", SecretString=f'{{"api_key": "{NEW_STRIPE}"}}')
        put(tmp_path / "token", NEW_HUBSPOT)
        stage.sandbox.machines[Side.STRIPE].revoke(STRIPE_KEY)
        stage.sandbox.machines[Side.HUBSPOT].revoke(HUBSPOT_KEY)
        stage.edit(Side.HUBSPOT, "update", ana, phone="+4930222")
        stage.edit(Side.STRIPE, "create", email="bo@example.com")
        stage.until(lambda: stage.customer("ana@example.com").get("phone") == "+4930222", "Stripe takes the new key")
        stage.until(lambda: stage.contact("bo@example.com"), "HubSpot takes the new token")
        stage.rest()
        with stage.store.reading() as tx:
            assert not tx.dead_letters.latest(limit=5)
            assert not tx.pauses.get_all()
        assert "key replaced" in working.log_tail()
        assert read_alarms(stage.store) == []
        assert NEW_STRIPE not in working.log.read_text()
