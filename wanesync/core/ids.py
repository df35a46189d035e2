"""Our identifiers, and the names under which they are stored on contacts and customers.

Identifiers are time-ordered, so that tables grow at one end (UUID version 7, RFC 9562).
"""

from __future__ import annotations

import hashlib
import random

# The HubSpot contact properties and Stripe metadata keys that carry ids of ours. ``wanesync_intent`` is unique in the
# portal (``hasUniqueValue``): a second contact of the same create is refused.
CUSTOMER_ID_PROPERTY = "stripe_customer_id"
INTENT_PROPERTY = "wanesync_intent"
CONTACT_ID_KEY = "hubspot_contact_id"
PORTAL_ID_KEY = "hubspot_portal_id"

OWN_KEY = "wane-"
"""How all idempotency keys of this program begin."""

OUR_IDS = frozenset({CUSTOMER_ID_PROPERTY, CONTACT_ID_KEY})
"""The names under which our ids are parked on a link whose record has no place for them."""

MAX_INDEXED_BYTES = 255
"""Longest text in an index: ids of HubSpot and Stripe are shorter, and Postgres refuses entries above 2,704 bytes."""
_KEPT_CHARACTERS = 40  # of a text that is too long, before its hash; up to 4 bytes each


def make_id(now_ms: int, rng: random.Random) -> str:
    """Return a UUIDv7 as text, made from a time in ms and a source of randomness."""
    value = (now_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | rng.getrandbits(12) << 64 | 0b10 << 62 | rng.getrandbits(62)
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def made_ms(identifier: str) -> int:
    """Return the time in ms at which ``make_id`` made an id."""
    return int(identifier[:8] + identifier[9:13], 16)


def least_id(at_ms: int) -> str:
    """Return a text that sorts above every id made before a time in ms and below every later one."""
    digits = f"{at_ms & ((1 << 48) - 1):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def bound(text: str) -> str:
    """Return a text that any index takes: as it is, or its beginning and its hash if it is too long or no valid text.

    Equal texts stay equal. Adapters refuse such texts before; this is the last defence of the database
    (docs/correctness.md#bad-rows).
    """
    if len(text) <= MAX_INDEXED_BYTES and text.isascii() and "\0" not in text:
        return text
    plain = text.encode("utf-8", "surrogatepass")
    head = text[:_KEPT_CHARACTERS].encode("utf-8", "replace").decode().replace("\0", "?")
    valid = text.encode("utf-8", "replace") == plain and "\0" not in text
    if valid and len(plain) <= MAX_INDEXED_BYTES:
        return text
    return f"{head}#{hashlib.blake2b(plain, digest_size=16).hexdigest()}"
