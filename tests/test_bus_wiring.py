"""The wiring of the parts that use the bus: each needs what it uses, and is told what it must not hold."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.bus_parts import BUS_KEY
from wanesync import bus_wiring, intake_wiring
from wanesync.bus.seal_keys import derive_part_key
from wanesync.config.model import BUS_SECRETS, WEBHOOK_SECRETS, Config, load
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.core.purchases import Sink
from wanesync.core.roles import Role
from wanesync.sync.intake import PATIENT
from wanesync.web.metrics import WebhookCounters
from wanesync.web.settings import WebSettings

HANDLER = {
    "WANESYNC_BUS__URL": "mqtts://broker.example.com",
    "WANESYNC_BUS__SEAL_KEY": derive_part_key(BUS_KEY, Role.HUBSPOT_HANDLER),
    "WANESYNC_HUBSPOT__WEBHOOK_SECRET": "one",
    "WANESYNC_SERVER__PUBLIC_URL": "https://sync.example.com",
    "WANESYNC_SERVER__PORT": "0",
    "WANESYNC_CREATE__CUSTOMERS": "none",
    "WANESYNC_CREATE__CONTACTS": "none",
}
QUEUE = {
    "WANESYNC_BUS__URL": "mqtt://127.0.0.1:1883",
    "WANESYNC_BUS__SEAL_KEY": BUS_KEY,
    "WANESYNC_HUBSPOT__PORTAL_ID": "3",
    "WANESYNC_STRIPE__API_KEY": "sk_test_one",
    "WANESYNC_CREATE__CUSTOMERS": "none",
    "WANESYNC_CREATE__CONTACTS": "none",
}


def read(env: Mapping[str, str], **more: str) -> Config:
    uses = [*WEBHOOK_SECRETS, *BUS_SECRETS, "stripe.api_key"]
    return load(None, {**env, **more}, uses, stores="WANESYNC_DATABASE" in {**env, **more})


def test_a_handler_has_a_name_of_its_own_and_takes_one_side(tmp_path: Path) -> None:
    config = read(HANDLER)
    one, two = (bus_wiring.build_bus_door(config, Side.HUBSPOT) for _ in range(2))
    assert one.client.options.client_id != two.client.options.client_id
    assert one.client.options.client_id.startswith("hubspot-handler-")
    assert one.client.options.session_s == 0
    settings = bus_wiring.build_door_settings(WebSettings("https://sync.example.com"), one)
    assert (settings.public_url, settings.ready()) == ("https://sync.example.com", "the broker was not reached yet")
    assert settings.sides == (Side.HUBSPOT,)
    server = bus_wiring.build_handler_server(config, one, WebhookCounters())
    server.start()
    server.stop()


def test_a_handler_needs_its_own_secret_only() -> None:
    with pytest.raises(ConfigError, match=r"stripe\.webhook_secret: is needed"):
        bus_wiring.build_bus_door(read(HANDLER), Side.STRIPE)
    assert bus_wiring.find_handler_side(read(HANDLER)) is Side.HUBSPOT
    with pytest.raises(ConfigError, match="takes the webhooks of one side"):
        bus_wiring.find_handler_side(read(HANDLER, WANESYNC_STRIPE__WEBHOOK_SECRET="whsec_one"))


@pytest.mark.parametrize(
    ("missing", "named"),
    [("WANESYNC_BUS__URL", "bus.url"), ("WANESYNC_BUS__SEAL_KEY", "bus.seal_key"), ("WANESYNC_SERVER__PUBLIC_URL", "")],
)
def test_what_a_handler_lacks_is_named(missing: str, named: str) -> None:
    env = {name: value for name, value in HANDLER.items() if name != missing}
    with pytest.raises(ConfigError, match=named or "public_url"):
        bus_wiring.build_bus_door(read(env), Side.HUBSPOT)


def test_a_handler_that_is_given_a_database_is_told() -> None:
    assert bus_wiring.find_unused(read(HANDLER)) == ""
    given = read(HANDLER, WANESYNC_DATABASE="postgresql://u@127.0.0.1/db", WANESYNC_SECURITY__KEYS=BUS_KEY)
    assert "a handler uses no database" in bus_wiring.find_unused(given)


def test_a_queue_process_keeps_its_name_and_its_session(tmp_path: Path) -> None:
    for more, name in (({}, "queue-"), ({"WANESYNC_BUS__NAME": "a"}, "queue-a")):
        config = read(QUEUE, WANESYNC_DATABASE=f"sqlite:{tmp_path / 'one.db'}", WANESYNC_PURCHASES__SINK="note", **more)
        with closing(intake_wiring.open_database(config, migrate=True)) as store:
            process = bus_wiring.build_queue_process(config, store, threading.Event())
        assert process.options.client_id.startswith(name)
        assert process.options.session_s == 3600
        assert process.sink is Sink.NOTE
        assert (process.intake.commits.gather_s, process.intake.commits.enough) == PATIENT


def test_a_queue_process_verifies_nothing(tmp_path: Path) -> None:
    config = read(QUEUE, WANESYNC_DATABASE=f"sqlite:{tmp_path / 'one.db'}")
    with closing(intake_wiring.open_database(config, migrate=True)) as store:
        process = bus_wiring.build_queue_process(config, store, threading.Event())
        with pytest.raises(Exception, match="verifies no signatures"):
            process.intake.accept(Side.HUBSPOT, b"[]", {}, "https://sync.example.com")


def test_a_worker_listens_where_there_is_a_broker_and_one_side() -> None:
    config = read(HANDLER)
    work = object()
    assert bus_wiring.build_work_listener(config, work, tuple(Side)) is None  # type: ignore[arg-type]  # not looked at
    alone = config.model_copy(update={"bus": config.bus.model_copy(update={"url": None})})
    assert bus_wiring.build_work_listener(alone, work, (Side.STRIPE,)) is None  # type: ignore[arg-type]  # as above
