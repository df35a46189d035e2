"""The log by API: searched page by page, and downloaded."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, JsonValue
from starlette.responses import Response

from wanesync.admin.log_filters import InAddress, mask_for_page
from wanesync.admin.pages.logs import stream_export
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import Services
from wanesync.ops.log_export import describe_entry
from wanesync.ops.log_search import read_page

router = APIRouter(prefix="/logs", tags=["logs"])

MAX_LIMIT = 500
"""Entries of one page."""


class LogEntry(BaseModel):
    """A log line, an entry of the journal, or a row of the audit log; "" for what it has not. Values are masked."""

    at: str
    source: Literal["log", "journal", "audit"]
    level: str
    kind: str
    side: str
    id: str
    link_id: str
    operator: str
    via: str
    process: str
    logger: str
    correlation_id: str
    data: dict[str, JsonValue]


class LogEntries(BaseModel):
    """Entries, the newest first. ``next``: the cursor of the next page, null at the end.

    ``searched_to_ms``: where a search without an index stopped, to go on with ``next``; null for a complete page.
    """

    items: list[LogEntry]
    next: str | None
    searched_to_ms: int | None = Field(description="ms since 1970")


@router.get("")
def search(
    services: Services,
    visitor: Annotated[Visitor, require(Permission.SEE_LOGS)],
    query: InAddress,
    cursor: Annotated[str, Query(max_length=1_000)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100,
) -> LogEntries:
    """Search the log, the journal and, for administrators, the audit log.

    ``since``, ``until``: 2h, 5d, or a date. ``kind``, ``source``: several with commas between. ``person``: an address,
    or the ids of records, with commas between.
    """
    page = read_page(services.store, query.read(services.store.now_ms(), visitor), cursor, limit)
    items = [LogEntry.model_validate(describe_entry(mask_for_page(entry))) for entry in page.entries]
    return LogEntries(items=items, next=page.cursor or None, searched_to_ms=page.searched_to_ms)


@router.get("/export", response_class=Response, responses={200: {"content": {"text/csv": {}, "application/jsonl": {}}}})
def export(
    services: Services,
    visitor: Annotated[Visitor, require(Permission.EXPORT)],
    query: InAddress,
    form: Annotated[Literal["csv", "jsonl"], Query(alias="format")] = "csv",
) -> Response:
    """Download every entry that matches, at most 100,000, as CSV or JSON lines; audited."""
    return stream_export(services, visitor, query, form)
