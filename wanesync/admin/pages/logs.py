"""Log lines, the journal and the audit log: searched, followed live, downloaded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar

import anyio
from anyio import to_thread
from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from wanesync.admin.live_services import NOT_BUFFERED, Live, watch_session
from wanesync.admin.log_filters import InAddress, InForm, LogQuery, mask_for_page, show_entry
from wanesync.admin.rendering import NavEntry, environment, render
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.errors import ConfigError, DatabaseUnavailable, GuardError
from wanesync.ops.logs.export import FORMATS, gather
from wanesync.ops.logs.search import (
    CLOCKS_MS,
    JOURNAL_KINDS,
    MAX_EXPORTED,
    Entry,
    Follower,
    Source,
    find_person,
    note_export,
    read_all,
    read_page,
)
from wanesync.store.tables.operating.log_lines import LEVELS

router = APIRouter(prefix="/logs", include_in_schema=False)
NAV = NavEntry("/logs", "Logs", 70, Permission.SEE_LOGS)
Reader = Annotated[Visitor, require(Permission.SEE_LOGS)]

PAGE_ENTRIES = 50
"""Entries of a page: few enough to reach what is below with the keyboard."""
LOOK_S = 1.0
"""How often a stream looks for new entries."""
STREAM_S = 300.0
"""How long one stream lasts: the browser then connects again, and is checked again."""
CHECK_S = 10.0
"""How often it is looked whether the session of a stream still holds."""
QUIET_S = 15.0
"""After so long without an entry a stream sends a comment, so that proxies keep it open."""
MAX_DIGITS = 16
"""Of a time in ms: more is none."""
MAX_STREAMS = 20
"""Streams of a process at a time (our choice): each reads the database once a second."""
MAX_OF_VISITOR = 8
"""Streams of one user at a time (our choice), as on the overview: one alone does not take the place of all."""
NO_PERSON = "no record has this address: records are stored once they were listed or changed"


class _Streams:
    """How many streams are open in this process."""

    open = 0
    of_visitor: ClassVar[Counter[str]] = Counter()


@router.get("")
def show(request: Request, services: Services, visitor: Reader, query: InAddress, cursor: str = "") -> Response:
    """A page of entries, the newest first."""
    problem, page = "", None
    now_ms = services.store.now_ms()
    try:
        page = read_page(services.store, query.read(now_ms, visitor), cursor, PAGE_ENTRIES)
    except ConfigError as error:
        problem = "; ".join(error.problems)
    following = query.address(cursor=page.cursor) if page and page.cursor else ""
    return render(
        request,
        "logs/page.html",
        status=422 if problem else 200,
        query=query,
        problem=problem,
        rows=[show_entry(entry) for entry in page.entries] if page else [],
        following=following,
        newest=query.address() if cursor else "",
        searched_to_ms=page.searched_to_ms if page else None,
        kinds=JOURNAL_KINDS,
        levels=[*LEVELS],
        sources=_list_sources(visitor),
        may_export=visitor.may(Permission.EXPORT),
        stream=query.address("/logs/live") if not (cursor or query.until or problem) else "",
        from_ms=now_ms - CLOCKS_MS,
        stores_lines=services.config.log.store,
        most=MAX_EXPORTED,
    )


def _list_sources(visitor: Visitor) -> list[tuple[str, str]]:
    labels = {Source.LOG: "log lines", Source.JOURNAL: "journal", Source.AUDIT: "audit log"}
    return [(str(source), text) for source, text in labels.items()
            if source is not Source.AUDIT or visitor.may(Permission.SEE_AUDIT)]  # fmt: skip


@router.post("/find")
def find(request: Request, services: Services, visitor: Reader, query: InForm) -> Response:
    """Filters as they were typed become an address; an e-mail address becomes the ids of its records."""
    person = find_person(services.store, query.person)
    if query.person.strip() and not person:
        return _show_unknown(request, visitor, replace(query, person=""))
    return RedirectResponse(replace(query, person=person).address(), 303)


def _show_unknown(request: Request, visitor: Visitor, query: LogQuery) -> Response:
    return render(
        request, "logs/page.html", status=404, query=query, problem=NO_PERSON, rows=[], following="", newest="",
        searched_to_ms=None, kinds=JOURNAL_KINDS, levels=[*LEVELS], sources=_list_sources(visitor), may_export=False,
        stream="", from_ms=0, stores_lines=True, most=MAX_EXPORTED,
    )  # fmt: skip


@router.post("/download")
def download(
    services: Services,
    visitor: Annotated[Visitor, require(Permission.EXPORT)],
    query: InForm,
    form: Annotated[str, Form(alias="format", pattern="^(csv|jsonl)$")] = "csv",
) -> Response:
    """Every entry that matches, values masked, as a file; audited."""
    return stream_export(services, visitor, query, form)


def stream_export(services: AdminServices, visitor: Visitor, query: LogQuery, form: str) -> Response:
    """Return the entries that match as a streamed file. Raises ConfigError."""
    store = services.store
    wanted = query.read(store.now_ms(), visitor)
    media_type, write = FORMATS[form]
    note_export(store, visitor.operator, form, sorted(query.used()))
    entries = map(mask_for_page, read_all(store, wanted))
    name = time.strftime("wanesync-logs-%Y%m%d-%H%M%S", time.gmtime(store.now_ms() / 1000))
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return StreamingResponse(_encode(gather(write(entries))), media_type=media_type, headers=headers)


def _encode(pieces: Iterator[str]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece.encode("utf-8", "replace")


@router.get("/live")
async def stream(
    request: Request,
    live: Live,
    visitor: Reader,
    query: InAddress,
    from_ms: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> Response:
    """New entries as server-sent events, each the rows of a table; a browser that lost the stream misses none.

    ``from_ms``: entries from then on; 0: from now on.
    """
    if _Streams.open >= MAX_STREAMS or _Streams.of_visitor[visitor.name] >= MAX_OF_VISITOR:
        raise GuardError("too many pages follow the log: close one of them")
    store = live.services.store
    wanted = query.read(store.now_ms(), visitor)
    last = request.headers.get("last-event-id", "")
    if last.isascii() and last.isdigit() and len(last) < MAX_DIGITS:
        from_ms = int(last)
    make = partial(Follower, store, wanted, from_ms)
    may_go_on = watch_session(live.services, visitor)
    events = count_stream(visitor.name, follow(make, query, may_go_on, lambda: live.hub.closing))
    return StreamingResponse(events, media_type="text/event-stream", headers=NOT_BUFFERED)


async def count_stream(visitor: str, events: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield the events of a stream, which counts for its visitor until it ends."""
    _Streams.of_visitor[visitor] += 1
    try:
        async for event in events:
            yield event
    finally:
        _Streams.of_visitor[visitor] -= 1
        if not _Streams.of_visitor[visitor]:
            del _Streams.of_visitor[visitor]


async def follow(
    make: Callable[[], Follower], query: LogQuery, may_go_on: Callable[[], bool], is_closing: Callable[[], bool]
) -> AsyncIterator[str]:
    """Yield the events of a stream until its time is over, its session or the service ends, or the browser is gone."""
    _Streams.open += 1
    try:
        follower = await to_thread.run_sync(make)
        began_s = spoke_s = checked_s = time.monotonic()
        yield "retry: 2000\n\n"
        while (now_s := time.monotonic()) - began_s < STREAM_S and not is_closing():
            if now_s - checked_s >= CHECK_S:
                checked_s = now_s
                if not await to_thread.run_sync(may_go_on):
                    yield "event: ended\ndata:\n\n"
                    return
            new = await to_thread.run_sync(_look, follower)
            if new:
                spoke_s = now_s
                yield _write_event(new, query)
            elif now_s - spoke_s > QUIET_S:
                spoke_s = now_s
                yield ": quiet\n\n"
            await anyio.sleep(LOOK_S)
    finally:
        _Streams.open -= 1


def _look(follower: Follower) -> list[Entry]:
    try:
        return follower.look()
    except DatabaseUnavailable:
        return []  # the next look may succeed


def _write_event(new: list[Entry], query: LogQuery) -> str:
    """Return one event: the rows, the newest first, and the time from which a new stream would go on."""
    macros = environment().get_template("logs/rows.html")
    html = macros.render(rows=[show_entry(entry) for entry in reversed(new)], query=query)
    lines = "".join(f"data: {line}\n" for line in html.splitlines() if line.strip())
    return f"id: {new[-1].at_ms + 1}\nevent: entries\n{lines}\n"
