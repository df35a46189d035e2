"""Seals messages with AES-256-GCM: the topic is the associated data, and each direction has a key of its own.

A broker, or a part whose rights it grants by mistake, can neither read a message nor move it to another topic, nor
give an answer to another question. The shape: version (1 byte) | key id (4) | nonce (12) | ciphertext and tag.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wanesync.bus.seal_keys import Direction, KeySet, direction_of, parse_entries
from wanesync.core.errors import ConfigError, WanesyncError

_VERSION = b"\x01"
_HEAD = 17
OVERHEAD_BYTES = _HEAD + 16
"""How much longer a sealed message is than its content."""


class NotSealed(WanesyncError):
    """A message was altered, moved to another topic, or sealed with a key that is not configured: it is dropped."""


class Seal:
    """Seals with the first of the configured keys, opens with each.

    ``entries``: those of ``[bus] seal_key`` (``seal_keys``). Raises ``ConfigError``.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        sets = parse_entries(entries)
        if not sets:
            raise ConfigError(["bus.seal_key: is needed for the bus: wanesync keys bus ROLE prints that of each part"])
        self._newest = sets[0].id.encode()
        self._boxes = {one.id.encode(): _boxes(one) for one in sets}

    def seal(self, topic: str, content: bytes, exchange: bytes = b"") -> bytes:
        """Seal a content for a topic. Raises ``ConfigError`` if this part has no key for it.

        ``exchange``: of a question or an answer, what it is bound to besides (``bind_exchange``).
        """
        box = self._boxes[self._newest].get(direction_of(topic))
        if box is None:
            raise ConfigError([f"bus.seal_key: is the key of another part: it does not seal {topic}"])
        nonce = os.urandom(12)
        return _VERSION + self._newest + nonce + box.encrypt(nonce, content, _bind(topic, self._newest, exchange))

    def open(self, topic: str, sealed: bytes, exchange: bytes = b"") -> bytes:
        """Return the content of a message that came on a topic, in an exchange. Raises ``NotSealed``."""
        key_id = sealed[1:5]
        try:
            box = self._boxes.get(key_id, {}).get(direction_of(topic))
        except ValueError:
            box = None
        if box is None or sealed[:1] != _VERSION or len(sealed) < OVERHEAD_BYTES:
            raise NotSealed("a message is not sealed with a key of this part: compare [bus] seal_key of both parts")
        try:
            return box.decrypt(sealed[5:_HEAD], sealed[_HEAD:], _bind(topic, key_id, exchange))
        except InvalidTag:
            raise NotSealed("a message was altered, or moved from another topic or question") from None


def _boxes(keys: KeySet) -> dict[Direction, AESGCM]:
    return {direction: AESGCM(key) for direction, key in keys.keys.items()}


def bind_exchange(correlation: bytes, response_topic: str = "") -> bytes:
    """Return what a question and its answer are bound to, so that an older answer of the broker is none to a new one.

    ``response_topic``: of a question; an answer has it as its topic. Nothing for a message that wants no answer.
    """
    if not correlation and not response_topic:
        return b""
    return b"%d:%b%b" % (len(correlation), correlation, response_topic.encode())


def _bind(topic: str, key_id: bytes, exchange: bytes) -> bytes:
    return b"|".join((topic.encode(), key_id, exchange))
