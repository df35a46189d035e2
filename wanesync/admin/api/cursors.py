"""Cursors of lists that are read page by page: opaque, and of no use for another list or another filter.

A cursor holds the position of the last row of a page and a keyed hash over it and over the list with its filters, so
that no position can be made up. It holds ids and times, no personal data.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import Annotated, Protocol

import orjson
from fastapi import Depends, Query

from wanesync.core.errors import WanesyncError

MAX_LIMIT = 500
"""Most rows of a page (our choice)."""
DEFAULT_LIMIT = 50
"""Rows of a page without ``limit`` (our choice)."""
_HASH_CHARS = 32
Position = Sequence[str | int]
"""Where a page ended: the values of the columns that order the list, of its last row."""


class InvalidCursor(WanesyncError):
    """A cursor that was changed, or belongs to another list or filter."""

    exit_code = 2

    def __init__(self) -> None:
        super().__init__("the cursor does not belong to this list with these filters: begin again without one")


class Signer(Protocol):
    """What makes keyed hashes; the store."""

    def row_hash(self, text: str, /) -> str:
        """Return 32 hex characters that are equal for equal texts."""
        ...


class Paging:
    """Dependency: ``?cursor=`` and ``?limit=`` of a list."""

    def __init__(
        self,
        cursor: Annotated[
            str, Query(max_length=1000, description="`next` of the page before; left out: the first page.")
        ] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most items of the page.")] = DEFAULT_LIMIT,
    ) -> None:
        self.cursor, self.limit = cursor, limit


PagingQuery = Annotated[Paging, Depends()]


def encode_cursor(signer: Signer, listing: str, position: Position) -> str:
    """Return the cursor of the page after ``position``. ``listing``: the name of the list and every filter of it."""
    text = orjson.dumps(list(position)).decode()
    return base64.urlsafe_b64encode((_sign(signer, listing, text) + text).encode()).decode().rstrip("=")


def decode_cursor(signer: Signer, listing: str, cursor: str) -> list[str | int] | None:
    """Return the position in a cursor that ``encode_cursor`` made for this list; None for "". Raises InvalidCursor."""
    if not cursor:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise InvalidCursor from error
    signature, position = text[:_HASH_CHARS], text[_HASH_CHARS:]
    if not hmac.compare_digest(signature.encode(), _sign(signer, listing, position).encode()):
        raise InvalidCursor
    found: list[str | int] = orjson.loads(position)
    return found


def _sign(signer: Signer, listing: str, position: str) -> str:
    return signer.row_hash(f"cursor\n{listing}\n{position}")
