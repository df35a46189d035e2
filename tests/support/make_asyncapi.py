"""Writes docs/asyncapi.yaml from the table of topics: ``python -m tests.support.make_asyncapi``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from wanesync.bus import topics
from wanesync.bus.envelope import OVERHEAD_BYTES
from wanesync.bus.topics import ACTIONS, RIGHTS, Control, Report, Verb
from wanesync.core.model import Side
from wanesync.core.operating.figures import BUCKETS
from wanesync.core.roles import HANDLERS

PLACE = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
Node = dict[str, Any]
"""A part of a YAML document."""
SEALED = (
    "On the wire every payload is sealed: version (1 byte), key id (4), nonce (12), then AES-256-GCM with the topic as "
    f"associated data, {OVERHEAD_BYTES} bytes more than the JSON described here. A webhook and its answer are bound to "
    "the correlation data as well, and the webhook to its response topic."
)
TEXT: Node = {"type": "string"}
COUNT: Node = {"type": "integer", "minimum": 0}
IDS: Node = {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 100}


def members(required: list[str], properties: Node) -> Node:
    """An object with these members and no other."""
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


HEAD = ["kind", "arrived_ms", "counts", "process", "started_ms", "test", "times"]
COUNTED: Node = {"type": "array", "items": {"type": "array", "minItems": 3, "maxItems": 3}}
TIMES: Node = {
    "type": "array",
    "items": COUNT,
    "maxItems": BUCKETS + 1,
    "description": "How long answers took: the sum in ms, and the number in each bucket of a histogram; or empty.",
}
MESSAGES: dict[str, Node] = {
    "incoming": {
        "title": "A webhook, a test event of doctor, or a report of a handler",
        "summary": "The head of the message; the body of a webhook follows after a line feed, as it came.",
        "payload": members(
            HEAD,
            {
                "kind": {"enum": ["post", "test", "beat"]},
                "arrived_ms": COUNT,
                "counts": COUNTED,
                "process": TEXT,
                "started_ms": COUNT,
                "test": {"type": ["object", "null"]},
                "times": TIMES,
            },
        ),
        "bindings": {"mqtt": {"responseTopic": "wane/answer/{role}/{clientId}", "bindingVersion": "0.2.0"}},
        "correlationId": {
            "description": "MQTT 5 correlation data: 16 random bytes, the same when a message is sent again.",
            "location": "$message.header#/correlationData",
        },
    },
    "answer": {
        "title": "What became of it",
        "summary": "Published after the commit; no value of a record.",
        "payload": members(
            ["status"],
            {
                "status": {"enum": ["stored", "invalid", "unavailable", "test", "none"]},
                "new": COUNT,
                "reason": TEXT,
                "verdict": {"enum": ["ok", "signature", "clock"]},
            },
        ),
    },
    "work": {
        "title": "Jobs that became due",
        "summary": "Ids of jobs, never data; there may be more of them than it names.",
        "payload": members(["jobs"], {"jobs": IDS}),
    },
    "done": {
        "title": "How jobs ended",
        "summary": "Published after the commit; no value of a record.",
        "payload": members(
            ["jobs"],
            {
                "jobs": {
                    "type": "array",
                    "maxItems": 100,
                    "items": members(["id", "code", "reason"], {"id": TEXT, "code": TEXT, "reason": TEXT}),
                }
            },
        ),
    },
    "change": {
        "title": "What changed for all parts",
        "summary": "Scopes of limits, or names of pauses; the database has their values.",
        "payload": members(["names"], {"names": {"type": "array", "items": TEXT}}),
    },
}


def find_channels() -> dict[str, tuple[str, str, Node]]:
    """Name -> address, message and parameters of every channel."""
    found: dict[str, tuple[str, str, Node]] = {}
    client = {"clientId": {"description": "Of the handler: its role, a hyphen and a random name."}}
    for side in Side:
        found[f"in-{side}"] = topics.incoming(side), "incoming", {}
        role = HANDLERS[side]
        found[f"answer-{role}"] = topics.answer(role, "{clientId}"), "answer", client
        found |= {f"work-{side}-{one}": (topics.work(side, one), "work", {}) for one in ACTIONS[side]}
        found |= {f"done-{side}-{one}": (topics.done(side, one), "done", {}) for one in Report}
    found |= {f"control-{one}": (topics.control(one), "change", {}) for one in Control}
    return found


def build() -> Node:
    """The whole document."""
    channels = find_channels()
    by_address = {address.replace("{clientId}", "+"): name for name, (address, _, _) in channels.items()}
    operations: Node = {}
    for right in RIGHTS:
        topic = right.topic.removeprefix("$share/queue/")
        name = by_address[topic]
        verb = "send" if right.verb is Verb.PUBLISH else "receive"
        reports = topic.startswith(("wane/done/", "wane/control/", "wane/work/"))
        at_most_once = topic.startswith("wane/answer/") or (verb == "receive" and reports)
        binding: Node = {"qos": 0 if at_most_once else 1, "retain": False, "bindingVersion": "0.2.0"}
        operation: Node = {
            "action": verb,
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": f"{right.role} {'publishes' if verb == 'send' else 'reads'}",
            "bindings": {"mqtt": binding},
        }
        if right.topic.startswith("$share/"):
            operation["description"] = f"Shared by all queue processes: {right.topic}"
        operations[f"{right.role}-{verb}-{name}"] = operation
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "wanesync",
            "version": "1.0.0",
            "description": f"The topics between the parts of a deployment (mqtt.md). {SEALED}",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/octet-stream",
        "servers": {
            "broker": {
                "host": "broker.example.com:8883",
                "protocol": "mqtts",
                "protocolVersion": "5",
                "description": "Mosquitto, with one role for each part.",
            }
        },
        "channels": {
            name: {
                "address": address,
                "messages": {message: {"$ref": f"#/components/messages/{message}"}},
                **({"parameters": parameters} if parameters else {}),
            }
            for name, (address, message, parameters) in channels.items()
        },
        "operations": operations,
        "components": {"messages": MESSAGES},
    }


def render() -> str:
    """The text of docs/asyncapi.yaml."""
    head = "# Made by python -m tests.support.make_asyncapi from the table in wanesync/bus/topics.py.\n"
    return head + yaml.dump(build(), Dumper=Plain, sort_keys=False, allow_unicode=True, width=120)


class Plain(yaml.SafeDumper):
    """Writes no anchors: equal parts are written again."""

    def ignore_aliases(self, data: object) -> bool:
        return True


if __name__ == "__main__":
    PLACE.write_text(render(), encoding="utf-8")
