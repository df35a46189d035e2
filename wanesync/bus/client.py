"""The MQTT 5 client of a part, over paho-mqtt. The only module that speaks MQTT.

Nothing is acknowledged before the subscriptions stand, and nothing for a connection that has ended: a broker that lost
its session gives the numbers of old messages to new ones.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from wanesync.bus.network_loop import NetworkLoop
from wanesync.core.errors import ConfigError, WanesyncError

log = structlog.get_logger()

TLS_PORT, PLAIN_PORT = 8883, 1883
KEEPALIVE_S = 10
"""A broker that is silent for half as long again counts as lost (our choice)."""
MAX_IN_FLIGHT = 1_000
"""Messages that are sent or received and not acknowledged yet: no more than the broker's ``receive maximum``."""
MAX_QUEUED = 20_000
"""Messages that wait to be sent, after which ``publish`` refuses more (our choice: 20 MB of usual webhooks)."""
TAKEN_OVER_CODE, NO_READERS_CODE = 0x8E, 0x10
"""Reason codes of MQTT 5 (2.4): another client has connected with our client id; a topic has no subscriber."""
SHORT_CONNECTION_S, SHORT_CONNECTIONS = 5, 3
"""So many connections in a row that lasted less show the same: Mosquitto 2.0 does not say why it ends one."""
LOGIN = re.compile(r"([a-z-]+\.[0-9]+):(.+)")
"""A login as ``wanesync broker-config`` writes it."""
CALLBACKS = ("on_pre_connect", "on_connect", "on_subscribe", "on_message", "on_publish", "on_disconnect")
STOPPED = "this part has ended the connection"
SENT = (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN)
"""What a message that is not refused returns; without a connection it is sent as soon as there is one."""


class BusUnavailable(WanesyncError):
    """The broker cannot be reached, refuses us, or takes no more messages now."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class BusOptions:
    """How a part reaches the broker. ``ca``, ``certificate``, ``key``: paths of PEM files, "" for none.

    ``find_password``: returns the password for each new connection, which may have been replaced; it may block.
    ``session_s``: how long the broker keeps what arrives for this client id while it is not connected; 0: not at all.
    """

    url: str
    client_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    certificate: str = ""
    key: str = ""
    session_s: int = 0
    find_password: Callable[[], str] | None = field(default=None, repr=False)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (TLS_PORT if self.is_encrypted else PLAIN_PORT)

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.url.startswith("mqtts:")


@dataclass(frozen=True, slots=True)
class Message:
    """A message that arrived. ``connection``: the number of the connection by which it came."""

    topic: str
    payload: bytes = field(repr=False)
    response_topic: str = ""
    correlation: bytes = b""
    number: int = 0
    connection: int = 0
    repeated: bool = False


Receiver = Callable[[Message], None]


def split_login(username: str, password: str) -> tuple[str, str]:
    """Return user name and password of a login kept as one secret, ``ROLE.NUMBER:PASSWORD``; any other pair as it is.

    ``wanesync broker rotate`` replaces both at once: two secrets would be read one before and one after it.
    """
    found = LOGIN.match(password)
    return (found[1], found[2]) if found else (username, password)


def _do_nothing() -> None:
    """Do nothing."""


class BusClient:
    """One connection to the broker, made again by itself when it is lost.

    ``receive`` is called on the network thread and must not block; it acknowledges nothing by itself when
    ``manual_ack`` is set: that is what ``acknowledge`` is for. ``connected`` is called when the subscriptions stand,
    for the first time or again. While ``is_held`` nothing is read, until ``read_on``. ``topics``: what is to arrive at
    least once; ``casual``: what may be lost, and is not
    kept while this part is away. ``pause``: called on the network thread when all that has arrived so far was received.
    """

    def __init__(  # noqa: PLR0913 - what it connects, and who receives what arrives
        self,
        options: BusOptions,
        topics: Sequence[str] = (),
        receive: Receiver | None = None,
        connected: Callable[[], None] = _do_nothing,
        *,
        casual: Sequence[str] = (),
        manual_ack: bool = False,
        is_held: Callable[[], bool] = lambda: False,
        pause: Callable[[], None] = _do_nothing,
    ) -> None:
        self.options, self._is_held, self._pause = options, is_held, pause
        self.trouble = "the broker was not reached yet"
        self.refused_topics: set[str] = set()
        self._topics = {**dict.fromkeys(topics, 1), **dict.fromkeys(casual, 0)}
        self._receive, self._connected = receive, connected
        self._manual_ack = manual_ack
        self._connection = 0
        self._stands = False
        self._since_s, self._short = 0.0, 0
        self._unacknowledged: list[int] = []
        self._guard = threading.Lock()
        self._ready = threading.Condition(self._guard)
        # Number -> topic of what is under way. Without a lock: an answer that comes before its entry leaves that there,
        # until its number is used again.
        self._topic_of: dict[int, tuple[str, Callable[[], None] | None]] = {}
        self._loop: NetworkLoop | None = None
        self._tls: ssl.SSLContext | None = None
        self._used = False
        self._client = self._make_client()

    # -- life

    def start(self) -> None:
        """Begin to connect; returns at once."""
        if self._used:
            self._client = self._make_client()
        self._used = True
        host, port = self.options.address
        properties = _properties(
            PacketTypes.CONNECT, SessionExpiryInterval=self.options.session_s, ReceiveMaximum=MAX_IN_FLIGHT
        )
        self._client.connect_async(
            host, port, KEEPALIVE_S, clean_start=not self.options.session_s, properties=properties
        )
        self._loop = NetworkLoop(self._client, self._fall, self._is_held, self._pause)
        self._loop.start()

    def stop(self) -> None:
        """Disconnect. The broker keeps a session for as long as was agreed.

        What was published or acknowledged while the subscriptions stood has reached a broker that answers within
        ``network_loop.GOODBYE_S``; what it had not is given up, and what was not acknowledged comes again.
        """
        self._end()

    def keep_session(self, session_s: int) -> None:
        """Have the broker keep the session for another time than before.

        Connects again, with the same session; a client that was not started uses it when it is.
        """
        if session_s == self.options.session_s:
            return
        self.options = replace(self.options, session_s=session_s)
        if self._loop is not None:
            self._end()
            self.start()

    def connect_again(self) -> None:
        """Give this connection up and make another: for a process that was stopped for a while and goes on."""
        self._end(at_once=True)
        self.start()

    def _end(self, *, at_once: bool = False) -> None:
        """Disconnect. ``at_once``: without waiting until the broker has read what was sent."""
        self.trouble = STOPPED
        if self._loop is not None:
            self._loop.stop(at_once=at_once)
            self._loop = None
            for name in CALLBACKS:
                # Without references to us its memory is free at once.
                setattr(self._client, name, None)
        self._stands, self.trouble = False, STOPPED

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the connection and its subscriptions stand; False after the time-out."""
        with self._ready:
            return self._ready.wait_for(lambda: self._stands, timeout_s)

    @property
    def is_ready(self) -> bool:
        """Whether the connection and its subscriptions stand."""
        return self._stands

    # -- messages

    def publish(  # noqa: PLR0913 - what a message consists of
        self,
        topic: str,
        payload: bytes,
        *,
        response_topic: str = "",
        correlation: bytes = b"",
        expiry_s: int = 0,
        unread: Callable[[], None] | None = None,
    ) -> None:
        """Send a message at least once, also after the connection was lost in between; returns at once.

        ``unread``: called on the network thread if the broker says that no reader has subscribed. Raises
        ``BusUnavailable`` if too many messages wait already.
        """
        properties = _properties(
            PacketTypes.PUBLISH,
            ResponseTopic=response_topic,
            CorrelationData=correlation,
            MessageExpiryInterval=expiry_s,
        )
        info = self._client.publish(topic, payload, qos=1, properties=properties)
        if info.rc not in SENT:
            raise BusUnavailable("too many messages wait for the broker: try again later")
        self._topic_of[info.mid] = topic, unread

    def mention(self, topic: str, payload: bytes, *, correlation: bytes = b"", expiry_s: int = 0) -> None:
        """Send a message at most once: without a connection, or where that ends now, it is lost. Returns at once."""
        properties = _properties(PacketTypes.PUBLISH, CorrelationData=correlation, MessageExpiryInterval=expiry_s)
        self._client.publish(topic, payload, qos=0, properties=properties)

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that a message is dealt with; one of an earlier connection is left, and comes again."""
        if not message.number:
            return
        with self._guard:
            if message.connection != self._connection:
                return
            if not self._stands:
                self._unacknowledged.append(message.number)
                return
            self._client.ack(message.number, 1)

    def read_on(self) -> None:
        """Read again at once, as it is held no more."""
        if (loop := self._loop) is not None:
            loop.wake()

    # -- callbacks of paho, on its network thread

    def _make_client(self) -> Client:
        options = self.options
        client = Client(
            CallbackAPIVersion.VERSION2,
            options.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=self._manual_ack,
        )
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        client.max_queued_messages_set(MAX_QUEUED)
        self._log_in(client, options.password)
        if options.is_encrypted:
            self._tls = make_tls_context(options)
            client.tls_set_context(self._tls)
        # An error in one of ours would end the network thread for good.
        client.suppress_exceptions = True
        client.on_pre_connect = lambda client, _data: self._take_credential(client)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        return client

    def _take_credential(self, client: Client) -> None:
        """Take the password and the certificate of the moment for a connection that is about to be made."""
        options = self.options
        if options.find_password is not None:
            self._log_in(client, options.find_password())
        if self._tls is not None and options.certificate:
            with suppress(OSError):
                # While files are being replaced the ones before still count.
                self._tls.load_cert_chain(options.certificate, options.key)

    def _log_in(self, client: Client, password: str) -> None:
        username, password = split_login(self.options.username, password)
        if username:
            client.username_pw_set(username, password or None)

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._fall(f"the broker refuses the connection: {code}")
            return
        with self._guard:
            self._connection += 1
            self._since_s = time.monotonic()
            self._stands = False
            self._unacknowledged.clear()
        if not self._topics:
            self._stand()
            return
        client.subscribe([(topic, SubscribeOptions(qos=quality)) for topic, quality in self._topics.items()])

    def _on_subscribe(
        self, _client: Client, _data: object, _mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        refused = {topic for topic, code in zip(self._topics, codes, strict=False) if code.is_failure}
        self.refused_topics = refused
        if refused:
            self._fall(f"the broker refuses to let us read {', '.join(sorted(refused))}")
            return
        self._stand()

    def _stand(self) -> None:
        with self._ready:
            # Before any other thread goes on, which may be one that is to stop this client.
            for number in self._unacknowledged:
                self._client.ack(number, 1)
            self._unacknowledged.clear()
            self._stands, self.trouble = True, ""
            self._ready.notify_all()
        self._connected()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        if self._receive is None:
            return
        given = message.properties
        received = Message(
            message.topic,
            bytes(message.payload),
            getattr(given, "ResponseTopic", ""),
            getattr(given, "CorrelationData", b""),
            message.mid,
            self._connection,
            message.dup,
        )
        try:
            self._receive(received)
        except Exception as error:  # noqa: BLE001 - one message must not end the connection
            log.error("message not taken", topic=received.topic, error=type(error).__name__)

    def _on_publish(
        self, _client: Client, _data: object, mid: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        topic, unread = self._topic_of.pop(mid, ("", None))
        if code.value == NO_READERS_CODE and unread is not None:
            unread()
        if code.is_failure:
            log.error("the broker refused a message", topic=topic, reason=str(code))

    def _on_disconnect(
        self, _client: Client, _data: object, flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        lasted_s = time.monotonic() - self._since_s
        self._short = self._short + 1 if lasted_s < SHORT_CONNECTION_S else 0
        taken_over = flags.is_disconnect_packet_from_server and code.value == TAKEN_OVER_CODE
        other = f"another process connects as {self.options.client_id}: give each its own name ([bus] name)"
        if taken_over:
            self._fall(other)
        elif self._short >= SHORT_CONNECTIONS:
            self._fall(f"the connection is lost again and again: the broker restarts, or {other}")
        elif flags.is_disconnect_packet_from_server:
            self._fall(f"the broker ended the connection: {code}")
        elif self._stands:
            self._fall("the connection to the broker is lost")

    def _fall(self, reason: str) -> None:
        with self._ready:
            if self.trouble not in (reason, STOPPED):
                log.warning("bus unavailable", reason=reason)
            self._stands, self.trouble = False, reason
            self._ready.notify_all()


_NO_PROPERTIES = {
    packet: Properties(packet)  # type: ignore[no-untyped-call]  # paho annotates everything else
    for packet in (PacketTypes.CONNECT, PacketTypes.PUBLISH)
}


def _properties(packet: int, **values: str | bytes | int) -> Properties:
    """Return the properties of a packet; empty ones are left out."""
    properties = copy(_NO_PROPERTIES[packet])
    # Past their own setter, which takes longer than all else of a message, and checks what is known here.
    vars(properties).update({name: one for name, one in values.items() if one or name == "SessionExpiryInterval"})
    return properties


def make_tls_context(options: BusOptions) -> ssl.SSLContext:
    """Make the TLS settings of a client: TLS 1.2 or newer, and a broker whose certificate fits its name.

    Raises ``ConfigError`` if a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=options.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if options.certificate:
            context.load_cert_chain(options.certificate, options.key)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        problem = f"bus.ca, bus.certificate, bus.key: cannot be used ({reason}): each must be a readable PEM file"
        raise ConfigError([problem]) from None
    return context
