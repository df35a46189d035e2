"""Cursors are opaque, and belong to one list with its filters."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanesync.admin.api.cursors import InvalidCursor, decode_cursor, encode_cursor

POSITION: list[str | int] = [1_700_000_000_000, "01HX"]


class Keyed:
    """Keyed hashes without a database."""

    def __init__(self, key: bytes = b"1") -> None:
        self._key = key

    def row_hash(self, text: str) -> str:
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=16).hexdigest()


SIGNER = Keyed()


def test_a_cursor_leads_back_to_its_position() -> None:
    cursor = encode_cursor(SIGNER, "jobs?side=stripe", POSITION)
    assert decode_cursor(SIGNER, "jobs?side=stripe", cursor) == POSITION
    assert decode_cursor(SIGNER, "jobs", "") is None


def test_a_cursor_of_another_list_filter_or_installation_is_refused() -> None:
    cursor = encode_cursor(SIGNER, "jobs?side=stripe", POSITION)
    for signer, listing in ((SIGNER, "jobs?side=hubspot"), (Keyed(b"2"), "jobs?side=stripe")):
        with pytest.raises(InvalidCursor, match="begin again without one"):
            decode_cursor(signer, listing, cursor)


@given(st.text(min_size=1, max_size=80))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(SIGNER, "jobs", text)


@given(st.integers(0, 60), st.integers(1, 255))
def test_a_changed_cursor_is_refused(place: int, flip: int) -> None:
    cursor = encode_cursor(SIGNER, "jobs", POSITION)
    content = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    content[place % len(content)] ^= flip
    with pytest.raises(InvalidCursor):
        decode_cursor(SIGNER, "jobs", base64.urlsafe_b64encode(content).decode())
