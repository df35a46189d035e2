"""The roles of the broker as Mosquitto's dynamic security plugin takes them, made from the table of topics.

The file's form: mosquitto.org/documentation/dynamic-security, and ``plugins/dynamic-security`` of releases 2.0 and 2.1
(2.1 still reads the form of 2.0). Without a matching entry everything is refused, the delivery of a message as well.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from wanesync.bus.topics import COMMAND_ANSWERS, COMMANDS, RIGHTS, Right, Verb, rights_of
from wanesync.core.roles import BUS_ROLES, Role
from wanesync.ops.broker.mosquitto import Release

OPERATOR = "operator"
"""The broker's own role: ``wanesync broker`` changes credentials with it."""
PASSWORD_BYTES = 32
"""Random bytes of a password: 256 bits, so that its hash cannot be searched."""
ITERATIONS = 101
"""What the plugin of 2.0 uses for a password that it is given. The broker computes it in its only thread at each
connection, and more of them are for passwords that can be guessed; these cannot."""
SALT_BYTES = 12
"""What the plugin of 2.0 takes, no other length."""
HASH_BYTES = 64
SEND, RECEIVE, SUBSCRIBE = "publishClientSend", "publishClientReceive", "subscribePattern"


@dataclass(frozen=True, slots=True)
class Client:
    """A credential: its user name, its role, and its password, "" if only a certificate proves it."""

    username: str
    role: str
    password: str = ""


def make_password() -> str:
    """Return a new random password of 43 characters."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def make_document(clients: Sequence[Client], release: Release) -> str:
    """Return ``dynamic-security.json``: roles with their rights, clients with hashed passwords."""
    document = {
        "defaultACLAccess": {
            "publishClientSend": False,
            "publishClientReceive": False,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [_describe_client(client) for client in clients],
        "groups": [],
        "roles": describe_roles(release),
    }
    return json.dumps(document, indent=1)


class RoleEntry(TypedDict):
    """A role as the plugin's file has it."""

    rolename: str
    acls: list[Mapping[str, object]]


def describe_roles(release: Release) -> list[RoleEntry]:
    """Return all roles with their rules."""
    return [RoleEntry(rolename=str(role), acls=list(rules_of(role, release))) for role in (*BUS_ROLES, OPERATOR)]


def rules_of(role: str, release: Release) -> Iterator[Mapping[str, object]]:
    """Yield the plugin's rules of a role of ours, or of the operator."""
    if role == OPERATOR:
        yield _allow(SEND, COMMANDS)
        yield _allow(SUBSCRIBE, COMMAND_ANSWERS)
        yield _allow(RECEIVE, COMMAND_ANSWERS)
        return
    for right in rights_of(Role(role)):
        if right.verb is Verb.PUBLISH:
            yield _allow(SEND, right.topic)
        else:
            topic = _own_answers(right.topic, release)
            yield _allow(SUBSCRIBE, topic)
            yield _allow(RECEIVE, topic.split("/", 2)[2] if topic.startswith("$share/") else topic)


def describe_rights() -> str:
    """Return the matrix of roles and topics as a table of Markdown (docs/broker.md#who-may-do-what)."""
    topics = list(dict.fromkeys(right.topic for right in RIGHTS))
    lines = [f"| topic | {' | '.join(BUS_ROLES)} |", f"|---|{'---|' * len(BUS_ROLES)}"]
    for topic in topics:
        cells = (_word(role, topic) for role in BUS_ROLES)
        lines.append(f"| `{topic}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _word(role: Role, topic: str) -> str:
    words = (str(verb) for verb in Verb if Right(role, verb, topic) in RIGHTS)
    return ", ".join(words)


def _own_answers(topic: str, release: Release) -> str:
    """Narrow the answers of a role to those of one client, which the plugin of 2.0 cannot."""
    if release is Release.V2_1 and topic.startswith("wane/answer/"):
        return topic.replace("+", "%c")
    return topic


def _allow(kind: str, topic: str) -> Mapping[str, object]:
    return {"acltype": kind, "topic": topic, "priority": 0, "allow": True}


def _describe_client(client: Client) -> Mapping[str, object]:
    described: dict[str, object] = {"username": client.username, "roles": [{"rolename": client.role}]}
    if client.password:
        salt = secrets.token_bytes(SALT_BYTES)
        found = hashlib.pbkdf2_hmac("sha512", client.password.encode(), salt, ITERATIONS, HASH_BYTES)
        described |= {
            "password": base64.b64encode(found).decode(),
            "salt": base64.b64encode(salt).decode(),
            "iterations": ITERATIONS,
        }
    return described
