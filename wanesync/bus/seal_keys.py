"""The keys that seal messages: one bus key, which only queue processes hold whole, and what each part needs of it.

An entry of ``[bus] seal_key`` is one of two:

- the bus key, for a queue process: ``ID:BASE64``, the id 4 letters or digits, then 32 bytes.
- the key of a part: ``ID:ROLE:BASE64``, the keys of the directions that the role uses, 32 bytes each, in the order of
  ``DIRECTIONS_OF``. ``wanesync keys bus ROLE`` prints it.

The first entry seals, every entry opens: a new bus key stands first while the old one is still in use.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wanesync.core.errors import ConfigError
from wanesync.core.roles import HANDLERS, WORKERS, Role

KEY_BYTES = 32
"""AES-256."""
_INFO = b"wanesync bus 1 "
"""Keeps these keys apart from keys that any other use would derive from the same secret."""
_NO_KEY = "must be ID:BASE64, the bus key, or ID:ROLE:BASE64, the key of a part, printed by wanesync keys bus"
_WHOLE = re.compile(r"([A-Za-z0-9]{4}):([A-Za-z0-9+/_=-]+)")
_PART = re.compile(r"([A-Za-z0-9]{4}):([a-z-]+):([A-Za-z0-9+/_=-]+)")


class Direction(StrEnum):
    """One direction of the bus: its messages have a key of their own."""

    HUBSPOT_IN = "in/hubspot"
    STRIPE_IN = "in/stripe"
    HUBSPOT_ANSWER = "answer/hubspot-handler"
    STRIPE_ANSWER = "answer/stripe-handler"
    HUBSPOT_WORK = "work/hubspot"
    STRIPE_WORK = "work/stripe"
    HUBSPOT_DONE = "done/hubspot"
    STRIPE_DONE = "done/stripe"
    CONTROL = "control"


DIRECTIONS_OF: Mapping[Role, tuple[Direction, ...]] = {
    Role.QUEUE: tuple(Direction),
    Role.ADMIN: (Direction.HUBSPOT_DONE, Direction.STRIPE_DONE, Direction.CONTROL),
    **{
        role: (Direction(f"in/{side}"), Direction(f"answer/{role}"), Direction.CONTROL)
        for side, role in HANDLERS.items()
    },
    **{
        role: (Direction(f"work/{side}"), Direction(f"done/{side}"), Direction.CONTROL)
        for side, role in WORKERS.items()
    },
}
"""Role -> the directions it writes or reads. The broker's rights say which of the two."""


@dataclass(frozen=True, slots=True, repr=False)
class KeySet:
    """The keys of one entry: key id, and direction -> 32 bytes."""

    id: str
    keys: Mapping[Direction, bytes]


def direction_of(topic: str) -> Direction:
    """Return the direction of a topic. Raises ``ValueError`` for one that is not ours."""
    _, kind, rest = topic.split("/", 2)
    return Direction.CONTROL if kind == "control" else Direction(f"{kind}/{rest.partition('/')[0]}")


def make_bus_key(key_id: str | None = None) -> str:
    """Return a new bus key as ``ID:BASE64``."""
    return f"{key_id or secrets.token_hex(2)}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def derive_part_key(entry: str, role: Role) -> str:
    """Return what a part needs of a bus key, as ``ID:ROLE:BASE64``. Raises ``ConfigError``."""
    parsed = parse_entry(entry)
    if not _WHOLE.fullmatch(entry):
        raise ConfigError(["this is the key of a part already: the keys of parts are derived from the bus key"])
    packed = b"".join(parsed.keys[direction] for direction in DIRECTIONS_OF[role])
    return f"{parsed.id}:{role}:{base64.b64encode(packed).decode()}"


def parse_entry(entry: str) -> KeySet:
    """Read one entry of ``[bus] seal_key``. Raises ``ConfigError``, whose text holds nothing of it."""
    if match := _WHOLE.fullmatch(entry):
        secret = _decode(match[2])
        if len(secret) == KEY_BYTES:
            return KeySet(match[1], {direction: _derive(secret, direction) for direction in Direction})
    elif (match := _PART.fullmatch(entry)) and match[2] in {str(role) for role in DIRECTIONS_OF}:
        directions, packed = DIRECTIONS_OF[Role(match[2])], _decode(match[3])
        if len(packed) == KEY_BYTES * len(directions):
            pieces = (packed[start : start + KEY_BYTES] for start in range(0, len(packed), KEY_BYTES))
            return KeySet(match[1], dict(zip(directions, pieces, strict=True)))
    raise ConfigError([_NO_KEY])


def parse_entries(entries: Sequence[str]) -> tuple[KeySet, ...]:
    """Read all entries, the sealing one first. Raises ``ConfigError``."""
    sets = tuple(map(parse_entry, entries))
    if len({one.id for one in sets}) != len(sets):
        raise ConfigError(["an id is used twice: what one key sealed the other could not open"])
    return sets


def _derive(secret: bytes, direction: Direction) -> bytes:
    # Without a salt (RFC 5869, 3.1): the bus key is uniformly random.
    return HKDF(SHA256(), KEY_BYTES, None, _INFO + direction.encode()).derive(secret)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        return b""
