"""The topics of the bus, and which role may publish or read each: the one table behind broker, tests and docs.

``RIGHTS`` is complete: what no entry allows is refused. The broker's configuration, docs/asyncapi.yaml and docs/mqtt.md
are compared with it by tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wanesync.core.model import Side
from wanesync.core.roles import BUS_ROLES, HANDLERS, WORKERS, Role

PREFIX = "wane"
SHARE = "queue"
"""The group in which queue processes share what the handlers publish."""
WILDCARD = "+"
COMMANDS = "$CONTROL/dynamic-security/v1"
"""Where Mosquitto's dynamic security plugin takes commands, of the broker's operator alone."""
COMMAND_ANSWERS = f"{COMMANDS}/response"
MAX_CLIENT_ID_CHARS = 128
"""Our bound; a broker has to take 23 characters only, Mosquitto takes 65,535 (MQTT 5, 3.1.3.1)."""


class Verb(StrEnum):
    """What a role may do with a topic."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"


class WorkAction(StrEnum):
    """What a job that became due is expected to do; the last part of a work topic."""

    READ = "read"
    CREATE = "create"
    CREATE_MANY = "create-many"
    UPDATE = "update"
    EVENT = "event"
    NOTE = "note"


class Report(StrEnum):
    """How a claimed job ended; the last part of a ``done`` topic."""

    DONE = "done"
    RETRY = "retry"
    WAIT = "wait"
    DEAD = "dead"


class Control(StrEnum):
    """What changed for all parts; the last part of a ``control`` topic."""

    LIMITS = "limits"
    PAUSE = "pause"
    RESUME = "resume"


ACTIONS: dict[Side, tuple[WorkAction, ...]] = {
    Side.HUBSPOT: tuple(WorkAction),
    Side.STRIPE: (WorkAction.READ, WorkAction.CREATE, WorkAction.UPDATE),
}
"""Side -> its work topics. Only HubSpot creates many at once, and takes purchases."""


def incoming(side: Side) -> str:
    """Return the topic of the webhooks of a side."""
    return f"{PREFIX}/in/{side}"


def answer(role: Role, client_id: str) -> str:
    """Return the topic on which a handler is answered; ``client_id`` ``+``: all of its role."""
    return f"{PREFIX}/answer/{role}/{client_id}"


def work(side: Side, action: WorkAction | str) -> str:
    """Return the topic that wakes the workers of a side; ``action`` ``+``: whatever they are to do."""
    return f"{PREFIX}/work/{side}/{action}"


def done(side: Side | str, report: Report | str) -> str:
    """Return the topic on which the workers of a side report."""
    return f"{PREFIX}/done/{side}/{report}"


def control(change: Control | str) -> str:
    """Return the topic on which a change is published for all parts."""
    return f"{PREFIX}/control/{change}"


CONTROLS = tuple(control(change) for change in Control)
"""What every part but the queue reads."""


def done_topics() -> tuple[str, ...]:
    """Return every topic on which workers report."""
    return tuple(done(side, report) for side in Side for report in Report)


def shared(topic: str) -> str:
    """Return the subscription in which queue processes share a topic: each message goes to one of them."""
    return f"$share/{SHARE}/{topic}"


INCOMING = tuple(shared(incoming(side)) for side in Side)
"""What queue processes subscribe for webhooks, each by a connection of its own."""


def client_id(role: Role, instance: str) -> str:
    """Return the client id of a process. ``instance``: unique among the processes of its role."""
    return f"{role}-{instance}"[:MAX_CLIENT_ID_CHARS]


@dataclass(frozen=True, slots=True)
class Right:
    """One thing a role may do. ``topic``: a topic, or a filter with ``+``; ``$share/…`` stands for itself."""

    role: Role
    verb: Verb
    topic: str


def _rights() -> tuple[Right, ...]:
    rights: list[Right] = []

    def allow(role: Role, verb: Verb, *topics: str) -> None:
        rights.extend(Right(role, verb, topic) for topic in topics)

    for side, handler in HANDLERS.items():
        allow(handler, Verb.PUBLISH, incoming(side))
        allow(handler, Verb.SUBSCRIBE, answer(handler, WILDCARD))
        allow(Role.QUEUE, Verb.PUBLISH, answer(handler, WILDCARD))
    for side, worker in WORKERS.items():
        allow(worker, Verb.SUBSCRIBE, *(work(side, action) for action in ACTIONS[side]))
        allow(worker, Verb.PUBLISH, *(done(side, report) for report in Report))
        allow(Role.QUEUE, Verb.PUBLISH, *(work(side, action) for action in ACTIONS[side]))
        for reader in (Role.QUEUE, Role.ADMIN):
            allow(reader, Verb.SUBSCRIBE, *(done(side, report) for report in Report))
    allow(Role.QUEUE, Verb.SUBSCRIBE, *INCOMING)
    allow(Role.QUEUE, Verb.PUBLISH, *map(control, Control))
    for role in BUS_ROLES:
        if role is not Role.QUEUE:
            allow(role, Verb.SUBSCRIBE, *map(control, Control))
    return tuple(rights)


RIGHTS = _rights()
"""Everything that any role may do on the bus."""


def rights_of(role: Role) -> tuple[Right, ...]:
    """Return what a role may do."""
    return tuple(right for right in RIGHTS if right.role is role)


def subscriptions(role: Role) -> tuple[str, ...]:
    """Return the filters that a role may read."""
    return tuple(right.topic for right in rights_of(role) if right.verb is Verb.SUBSCRIBE)


def matches(topic_filter: str, topic: str) -> bool:
    """Return whether a filter of ours (``+`` for one level, no ``#``) takes a topic; ``$share/…/`` is passed over."""
    if topic_filter.startswith("$share/"):
        topic_filter = topic_filter.split("/", 2)[2]
    wanted, given = topic_filter.split("/"), topic.split("/")
    return len(wanted) == len(given) and all(one in (WILDCARD, two) for one, two in zip(wanted, given, strict=True))


def may(role: Role, verb: Verb, topic: str) -> bool:
    """Return whether a role may publish a topic, or read what is published to it."""
    return any(right.verb is verb and matches(right.topic, topic) for right in rights_of(role))
