"""The MQTT 5 client of a part, over paho-mqtt. The only module that speaks MQTT."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

TLS_PORT, PLAIN_PORT = 8883, 1883


@dataclass(frozen=True, slots=True)
class BusOptions:
    """How a part reaches the broker. ``ca``, ``certificate``, ``key``: paths of PEM files, "" for none."""

    url: str
    client_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (TLS_PORT if self.is_encrypted else PLAIN_PORT)

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.url.startswith("mqtts:")


def make_client(options: BusOptions, *, manual_ack: bool = False) -> Client:
    """Make a client that is not connected yet. ``manual_ack``: a message is acknowledged by a call, not on arrival."""
    client = Client(
        CallbackAPIVersion.VERSION2, options.client_id, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=manual_ack
    )
    if options.username:
        client.username_pw_set(options.username, options.password or None)
    if options.is_encrypted:
        client.tls_set(options.ca or None, options.certificate or None, options.key or None)
    return client
