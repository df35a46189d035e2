"""A real Mosquitto with exactly the configuration that ``wanesync broker-config`` writes, and clients of its roles."""

from __future__ import annotations

import queue
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.support.mosquitto import FOUND, Mosquitto
from tests.support.ports import free_port
from wanesync.bus.broker_control import connect
from wanesync.bus.client import BusClient, BusOptions, Message
from wanesync.ops.broker.certificates import utc_now
from wanesync.ops.broker.credentials import Broker, open_broker, options_of
from wanesync.ops.broker.folder import BrokerFolder
from wanesync.ops.broker.limits import BrokerLimits
from wanesync.ops.broker.mosquitto import Identity, detect_release, find_plugins, list_plugins
from wanesync.ops.broker.setup import BrokerSetup, write_broker

WAIT_S = 20.0
DEFAULT_LIMITS = BrokerLimits()


class HardenedBroker(Mosquitto):
    """A broker with TLS and roles; started by root it runs as user mosquitto."""

    def __init__(
        self, folder: Path, identity: Identity = Identity.PASSWORD, limits: BrokerLimits = DEFAULT_LIMITS
    ) -> None:
        if not Path(FOUND).exists():
            raise FileNotFoundError("mosquitto is missing: apt-get install mosquitto")
        self.folder, self.port = folder, free_port()
        self.url = f"mqtts://localhost:{self.port}"
        release = detect_release(Path(FOUND))
        self.setup = BrokerSetup(
            release=release,
            identity=identity,
            hosts=("localhost", "127.0.0.1"),
            port=self.port,
            bind="127.0.0.1",
            user="mosquitto",
            plugins=find_plugins(*list_plugins(release)),
            limits=limits,
        )
        self.files = BrokerFolder(folder)
        write_broker(self.files, self.setup, utc_now())
        self._config = self.files.configuration
        self._process = None

    @property
    def opened(self) -> Broker:
        """The broker as the commands have it."""
        return open_broker(self.folder, connect)

    def options(self, role: str, instance: str = "test") -> BusOptions:
        """How a role connects, by the files of its part."""
        return options_of(self.files, self.files.read_register(), role, f"{role}-{instance}")

    @contextmanager
    def client(self, role: str, topics: Sequence[str] = (), instance: str = "test") -> Iterator[Listener]:
        """A connected client of a role."""
        with Listener(self.options(role, instance), topics) as listener:
            assert listener.client.wait_ready(WAIT_S), listener.client.trouble
            yield listener


class Listener:
    """A client with what it received."""

    def __init__(self, options: BusOptions, topics: Sequence[str] = ()) -> None:
        self.received: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.client = BusClient(options, topics, self.received.put)

    def __enter__(self) -> Self:
        self.client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop()


@contextmanager
def hardened_broker(
    identity: Identity = Identity.PASSWORD, limits: BrokerLimits = DEFAULT_LIMITS
) -> Iterator[HardenedBroker]:
    """A broker that runs while the block lasts, in a folder that its own user can pass."""
    folder = Path(tempfile.mkdtemp(prefix="wanesync-broker-"))
    broker = HardenedBroker(folder, identity, limits)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(folder)
