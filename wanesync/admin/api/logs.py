"""``/api/v1/logs``: log lines, the journal and the audit log as one list; search and download."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from pydantic import Field, JsonValue
from starlette.responses import Response

from wanesync.admin.api.models import ApiModel, Page
from wanesync.admin.api.routes import make_router
from wanesync.admin.log_filters import InAddress, mask_for_page
from wanesync.admin.pages.logs import stream_export
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import Services
from wanesync.ops.logs.export import describe_entry
from wanesync.ops.logs.search import read_page

router = make_router("logs")
MAX_LIMIT = 500
"""Entries of one page."""


class LogEntry(ApiModel):
    """A log line, an entry of the journal, or a row of the audit log; "" for what it has not. Values are masked."""

    at: str = Field(examples=["2026-11-30 08:30:00.250Z"])
    source: Literal["log", "journal", "audit"]
    level: str
    kind: str = Field(description="The text of a line, the kind of an entry, or an action.")
    side: str
    id: str = Field(description="The record, payment, or subject it is about.")
    link_id: str
    operator: str
    via: str
    process: str
    logger: str
    correlation_id: str
    data: dict[str, JsonValue]


class LogEntries(Page[LogEntry]):
    """Entries, the newest first."""

    searched_to_ms: int | None = Field(
        default=None, description="Where a search without an index stopped, to go on with `next`; null: complete."
    )


@router.get("/logs", summary="Search the log")
def search(
    services: Services,
    visitor: Annotated[Visitor, require(Permission.SEE_LOGS)],
    query: InAddress,
    cursor: Annotated[str, Query(max_length=1_000, description="`next` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most items of the page.")] = 100,
) -> LogEntries:
    """Log lines, the journal and, for administrators, the audit log, the newest first.

    `since`, `until`: 2h, 5d, or a date. `kind`, `source`: several with commas between. `person`: an address, or the
    ids of records, with commas between.
    """
    page = read_page(services.store, query.read(services.store.now_ms(), visitor), cursor, limit)
    items = [LogEntry.model_validate(describe_entry(mask_for_page(entry))) for entry in page.entries]
    return LogEntries(items=items, next=page.cursor or None, searched_to_ms=page.searched_to_ms)


@router.get(
    "/logs/export",
    summary="Download the log",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}, "application/jsonl": {}}}},
)
def export(
    services: Services,
    visitor: Annotated[Visitor, require(Permission.EXPORT)],
    query: InAddress,
    form: Annotated[Literal["csv", "jsonl"], Query(alias="format", description="Of the file.")] = "csv",
) -> Response:
    """Every entry that matches, at most 100,000, as CSV or JSON lines; audited."""
    return stream_export(services, visitor, query, form)
