"""Conflicts and ambiguous matches: lists with filters, one conflict, and settling one or many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from wanesync.admin.api.cursors import decode_cursor, encode_cursor
from wanesync.admin.personal_values import ValueFormatter
from wanesync.admin.rendering import NavEntry, render
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.errors import ConfigError, GuardError
from wanesync.core.model import Side
from wanesync.ops.people.conflicts import KIND_TEXTS, Pick, read_conflict, read_page
from wanesync.ops.people.links import list_ambiguous
from wanesync.ops.people.record_pages import read_record_pages
from wanesync.ops.people.reveals import note_reveal
from wanesync.ops.people.settle_conflicts import (
    Choice,
    ConflictSelection,
    check_choice,
    check_count,
    check_seen,
    mark_seen,
    select_conflicts,
)
from wanesync.store.tables.conflicts import NEWEST, ConflictFilter, KindGroup

router = APIRouter(prefix="/conflicts", include_in_schema=False)
NAV = NavEntry("/conflicts", "Conflicts", 50)
Seer = Annotated[Visitor, require(Permission.SEE)]
Settler = Annotated[Visitor, require(Permission.RESOLVE)]

PAGE_CONFLICTS = 50
PAGE_RECORDS = 25
MAX_SETTLED = 500
"""Fields of people settled by one request (our choice): a few seconds; the rest by another one."""
GROUPS = [(str(KindGroup.STANDING), "the sides differ"), (str(KindGroup.KEPT), "a value lost and is kept")]
PICKS = [
    (str(Pick.HUBSPOT), "HubSpot's value is right"),
    (str(Pick.STRIPE), "Stripe's value is right"),
    (str(Pick.BOTH), "both are right, or what stands is"),
    (str(Pick.KEPT), "the value that was kept is right"),
    (str(Pick.VALUE), "this value is right"),
]
Text = Annotated[str, Query(max_length=255)]
Typed = Annotated[str, Form(max_length=255)]


@dataclass(frozen=True, slots=True)
class ConflictQuery:
    """The filters as texts, "" where one is not used."""

    side: str = ""
    field: str = ""
    kind: str = ""
    only: str = ""
    person: str = ""

    def read(self) -> ConflictFilter:
        """Return them as values; what is none of its choices selects all."""
        return ConflictFilter(
            Side(self.side) if self.side in tuple(Side) else None,
            self.field.strip(),
            self.kind.strip(),
            KindGroup(self.only) if self.only in tuple(KindGroup) else None,
            (self.person.strip(),) if self.person.strip() else (),
        )

    def used(self) -> dict[str, str]:
        """Return those that are used."""
        names = ("side", "field", "kind", "only", "person")
        return {name: text for name in names if (text := getattr(self, name).strip())}

    def address(self, **more: str) -> str:
        """Return the address of the list with these filters. ``more``: further parameters."""
        wanted = self.used() | {name: text for name, text in more.items() if text}
        return f"/conflicts?{urlencode(wanted)}" if wanted else "/conflicts"


def _from_address(
    side: Text = "", field: Text = "", kind: Text = "", only: Text = "", person: Text = ""
) -> ConflictQuery:
    return ConflictQuery(side, field, kind, only, person)


def _from_form(
    side: Typed = "", field: Typed = "", kind: Typed = "", only: Typed = "", person: Typed = ""
) -> ConflictQuery:
    return ConflictQuery(side, field, kind, only, person)


InAddress = Annotated[ConflictQuery, Depends(_from_address)]
InForm = Annotated[ConflictQuery, Depends(_from_form)]


@router.get("")
def show(
    request: Request,
    services: Services,
    visitor: Seer,
    query: InAddress,
    cursor: Annotated[str, Query(max_length=1_000)] = "",
    settled: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """A page of open conflicts, the newest first."""
    notice = f"{settled:,} {'conflict' if settled == 1 else 'conflicts'} settled; workers write what follows from it."
    return _render_list(request, services, visitor, query, cursor, notice=notice if settled else "")


def _render_list(
    request: Request,
    services: AdminServices,
    visitor: Visitor,
    query: ConflictQuery,
    cursor: str = "",
    *,
    notice: str = "",
    problem: str = "",
) -> Response:
    listing = query.address()
    position = decode_cursor(services.store, listing, cursor)
    before = (int(position[0]), str(position[1])) if position else NEWEST
    page = read_page(services.store, services.rules.fields, query.read(), PAGE_CONFLICTS, before)
    following = encode_cursor(services.store, listing, page.next) if page.next else ""
    return render(
        request,
        "conflicts/page.html",
        status=422 if problem else 200,
        page=page,
        query=query,
        groups=GROUPS,
        picks=PICKS,
        fields=sorted({facet.field.partition("/")[0] for facet in page.facets}),
        kinds=sorted({facet.kind for facet in page.facets}),
        kind_texts=KIND_TEXTS,
        following=query.address(cursor=following) if following else "",
        newest=listing if cursor else "",
        values=ValueFormatter.of(services.rules.fields),
        notice=notice,
        problem=problem,
        most=MAX_SETTLED,
        ambiguous=list_ambiguous(services.store, 0)[1],
        may_settle=visitor.may(Permission.RESOLVE),
    )


# -- settling


@router.post("/settle")
def settle(
    request: Request,
    services: Services,
    visitor: Settler,
    query: InForm,
    choose: Annotated[Pick, Form()],
    ids: Annotated[list[Annotated[str, Form(max_length=64)]], Form(max_length=PAGE_CONFLICTS)] = [],  # noqa: B006 - FastAPI copies it
    scope: Annotated[str, Form(pattern="^(marked|all)$")] = "marked",
    value: Annotated[str, Form(max_length=5_000)] = "",
    confirm: Annotated[int, Form(ge=0)] = 0,
) -> Response:
    """Settle the marked conflicts, or all that match: first the count is shown, then it is confirmed."""
    choice = Choice(choose, value)
    wanted = replace(query.read(), people=tuple(ids)) if scope == "marked" else query.read()
    problem = _find_problem(choice, wanted, marked=scope == "marked")
    if problem:
        return _render_list(request, services, visitor, query, problem=problem)
    selection = select_conflicts(services.store, services.rules.fields, wanted, MAX_SETTLED)
    settler = services.decisions.make_settler(visitor.operator)
    if not confirm:
        return _render_count(
            request, services, query, selection, choice, settler.preview(selection, choice), ids, scope
        )
    check_count(selection, confirm)
    done = settler.settle(selection, choice)
    if not done.left:
        return RedirectResponse(query.address(settled=str(done.conflicts)), 303)
    return render(request, "conflicts/settled.html", done=done, back=query.address())


def _find_problem(choice: Choice, wanted: ConflictFilter, *, marked: bool) -> str:
    """Return why a form settles nothing: nothing is marked, an empty filter, a value without its choice."""
    try:
        check_choice(choice)
    except ConfigError as error:
        return "; ".join(error.problems)
    if marked and not wanted.people:
        return "mark the conflicts first"
    return "choose a filter first, or mark the conflicts" if wanted.is_empty else ""


def _render_count(
    request: Request,
    services: AdminServices,
    query: ConflictQuery,
    selection: ConflictSelection,
    choice: Choice,
    preview: object,
    ids: list[str],
    scope: str,
) -> Response:
    return render(
        request,
        "conflicts/confirm.html",
        selection=selection,
        preview=preview,
        choice=choice,
        picks=dict(PICKS),
        query=query,
        ids=ids,
        scope=scope,
        back=query.address(),
        most=MAX_SETTLED,
        values=ValueFormatter.of(services.rules.fields),
    )


# -- ambiguous records


@router.get("/ambiguous")
def show_ambiguous(
    request: Request, services: Services, visitor: Seer, cursor: Annotated[str, Query(max_length=1_000)] = ""
) -> Response:
    """Records that several others match, with what they may belong to."""
    position = decode_cursor(services.store, "ambiguous", cursor)
    records, total, more = list_ambiguous(services.store, PAGE_RECORDS, str(position[0]) if position else "")
    following = f"/conflicts/ambiguous?cursor={encode_cursor(services.store, 'ambiguous', [more])}" if more else ""
    return render(
        request,
        "conflicts/ambiguous.html",
        records=records,
        total=total,
        following=following,
        first="/conflicts/ambiguous" if cursor else "",
        values=ValueFormatter.of(services.rules.fields),
        may_link=visitor.may(Permission.LINK),
    )


# -- one conflict


@router.get("/{conflict_id}")
def show_conflict(request: Request, services: Services, visitor: Seer, conflict_id: str) -> Response:
    """One conflict: what both sides hold, what is kept, and what may be chosen."""
    return _render_conflict(request, services, visitor, conflict_id)


@router.post("/{conflict_id}/reveal")
def reveal_conflict(
    request: Request, services: Services, visitor: Annotated[Visitor, require(Permission.REVEAL)], conflict_id: str
) -> Response:
    """The same with values in plain; noted in the audit log before."""
    read_conflict(services.store, services.rules.fields, conflict_id)
    note_reveal(services.store, visitor.operator, conflict_id, "conflict")
    return _render_conflict(request, services, visitor, conflict_id, plain=True)


def _render_conflict(
    request: Request,
    services: AdminServices,
    visitor: Visitor,
    conflict_id: str,
    *,
    plain: bool = False,
    problem: str = "",
    typed: str = "",
) -> Response:
    entry = read_conflict(services.store, services.rules.fields, conflict_id)
    return render(
        request,
        "conflicts/conflict.html",
        status=422 if problem else 200,
        entry=entry,
        conflict_id=conflict_id,
        values=ValueFormatter.of(services.rules.fields, plain=plain),
        kind_texts=KIND_TEXTS,
        seen=mark_seen(services.store, entry),
        pages=read_record_pages(services.store, is_rehearsal=services.config.is_rehearsal),
        problem=problem,
        typed=typed,
        may_reveal=visitor.may(Permission.REVEAL) and not plain,
        may_settle=visitor.may(Permission.RESOLVE),
    )


@router.post("/{conflict_id}/settle")
def settle_conflict(
    request: Request,
    services: Services,
    visitor: Settler,
    conflict_id: str,
    seen: Annotated[str, Form(max_length=64)],
    choose: Annotated[str, Form(max_length=80)] = "",
    value: Annotated[str, Form(max_length=5_000)] = "",
) -> Response:
    """Settle one conflict. ``choose``: a choice, of a kept value with its conflict's id after a colon."""
    fields = services.rules.fields
    entry = read_conflict(services.store, fields, conflict_id)
    try:
        choice = _read_choice(choose, value)
        check_seen(services.store, entry, seen)
        done = services.decisions.make_settler(visitor.operator).settle(ConflictSelection([entry]), choice)
        problem = "; ".join(why for _, why in done.left)
    except ConfigError as error:
        problem = "; ".join(error.problems)
    except GuardError as error:
        problem = str(error)
    if problem:
        return _render_conflict(request, services, visitor, conflict_id, problem=problem, typed=value)
    return RedirectResponse(f"/people/{quote(entry.contact_id or entry.customer_id)}?done=settled", 303)


def _read_choice(choose: str, value: str) -> Choice:
    """Return the choice of a form. Raises ConfigError for none, or one without its value."""
    word, _, kept_id = choose.partition(":")
    if word not in tuple(Pick):
        raise ConfigError(["choose what is right"])
    choice = Choice(Pick(word), value if word == Pick.VALUE else "", kept_id)
    check_choice(choice)
    return choice
