"""How often a password may be guessed: counted in the database, so over all processes (OWASP ASVS 5.0, 6.3.1).

At most 10 guesses at a user and 50 from an address are looked at in 10 minutes. One address alone gets 8 at a user, so
that its owner can still come in from another one; a browser that was signed in before has a count of its own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from wanesync.core.errors import TooManyGuesses
from wanesync.store.database import Store, Tx

SPAN_MS = 600_000
PER_USER, PER_ADDRESS, PER_PAIR, PER_DEVICE = 10, 50, 8, 10
_IPV6_NETWORK = 64
"""Bits of an IPv6 address that name a customer of a provider; the rest a machine chooses by itself."""
Subjects = Sequence[tuple[str, int]]
"""What a guess counts for, each with its limit."""


def find_subjects(store: Store, user: str, address: str, *, device: str = "") -> Subjects:
    """Return what a guess counts for, as keyed hashes: people type passwords where the name belongs.

    ``device``: the id of a browser that this user was signed in with before, "" for any other.
    """
    if device:
        return [(store.row_hash(f"device|{device}"), PER_DEVICE)]
    network = _widen(address)
    return [
        (store.row_hash(f"address|{network}"), PER_ADDRESS),
        (store.row_hash(f"pair|{user}|{network}"), PER_PAIR),
        (store.row_hash(f"user|{user}"), PER_USER),
    ]


def count_guess(store: Store, subjects: Subjects) -> None:
    """Count a guess before it is looked at. Raises TooManyGuesses; what is refused counts for nothing further."""

    def count(tx: Tx) -> bool:
        tx.admin_guesses.drop_old(tx.now_ms - 2 * SPAN_MS)
        return all(tx.admin_guesses.count(subject, SPAN_MS) <= limit for subject, limit in subjects)

    if not store.run(count):
        raise TooManyGuesses(SPAN_MS // 1000)


def give_back(tx: Tx, subjects: Subjects) -> None:
    """Undo the count of a guess that was right."""
    for subject, _ in subjects:
        tx.admin_guesses.give_back(subject)


def _widen(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        # A socket for both families gives an IPv4 address so: all of them are in one network of 64 bits.
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False))
    return str(parsed)
