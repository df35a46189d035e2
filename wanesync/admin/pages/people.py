"""People: search, and all that is stored of one; links are made and ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from wanesync.admin.personal_values import ValueFormatter
from wanesync.admin.rendering import NavEntry, render
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.model import Side
from wanesync.ops.people.person import TIMELINE_ENTRIES, read_person_page
from wanesync.ops.people.record_pages import RecordPages, read_record_pages
from wanesync.ops.people.reveals import note_reveal
from wanesync.ops.people.search import SCAN_MS, STEP_SCAN_MS, PeopleFound, PeopleSearch, summarise_ids

router = APIRouter(prefix="/people", include_in_schema=False)
NAV = NavEntry("/people", "People", 40)
Seer = Annotated[Visitor, require(Permission.SEE)]
Linking = Annotated[Visitor, require(Permission.LINK)]
Id = Annotated[str, Form(max_length=255)]

PAGE_PEOPLE = 50
MAX_SEARCHED = 1 << 40
"""More records than any installation has."""
MAX_ENTRIES = 5_000
"""Most things of a timeline on one page."""


@router.get("")
def show(
    request: Request, services: Services, _visitor: Seer, ids: Annotated[str, Query(max_length=10_000)] = ""
) -> Response:
    """The search, or the people of a list of ids: an address of a page holds ids only, never personal data."""
    wanted = [one for one in ids.split(",") if one][:PAGE_PEOPLE]
    found = PeopleFound(summarise_ids(services.store, wanted)) if wanted else None
    return _render_list(request, services, found, text="")


@router.post("/find")
def find(
    request: Request,
    services: Services,
    visitor: Seer,
    text: Annotated[str, Form(max_length=1_000)] = "",
    after: Annotated[str, Form(max_length=300)] = "",
    known: Annotated[str, Form(max_length=20_000)] = "",
    searched: Annotated[int, Form(ge=0, le=MAX_SEARCHED)] = 0,
) -> Response:
    """Find people; a single one is opened. A POST, so that no address or name stands in the history of a browser.

    A search by name goes on by itself, a short step a request, and each shows what it and those before found:
    ``known``, ids, among ``searched`` records. Without scripts a button goes on, in longer steps.
    """
    ids = [one for one in known.split(",") if one][:PAGE_PEOPLE]
    by_itself = not after or request.headers.get("hx-request") == "true"
    search = PeopleSearch(
        services.store,
        services.rules.fields,
        exact=not visitor.may(Permission.REVEAL),
        scan_ms=STEP_SCAN_MS if by_itself else SCAN_MS,
    )
    try:
        found = search.find(text, max(1, PAGE_PEOPLE - len(ids)), after)
    except ConfigError as error:
        return _render_list(request, services, None, text=text, problem="; ".join(error.problems))
    if len(found.people) == 1 and not after and not (found.scan and found.scan.next):
        return RedirectResponse(f"/people/{quote(found.people[0].key)}", 303)
    return _render_list(request, services, _join(services, ids, found, searched), text=text)


def _join(services: AdminServices, ids: Sequence[str], found: PeopleFound, searched: int) -> PeopleFound:
    """Return what a step of a search and those before it found; a person is named once."""
    before = summarise_ids(services.store, ids) if ids else []
    people = {one.key: one for one in [*before, *found.people]}
    scan = found.scan and found.scan._replace(searched=searched + found.scan.searched)
    return PeopleFound([*people.values()], scan)


def _render_list(
    request: Request, services: AdminServices, found: PeopleFound | None, *, text: str, problem: str = ""
) -> Response:
    return render(
        request,
        "people/search.html",
        fragment="results",
        status=422 if problem else 200,
        found=found,
        text=text,
        problem=problem,
        values=ValueFormatter.of(services.rules.fields),
        goes_on=bool(found and found.scan and found.scan.next and len(found.people) < PAGE_PEOPLE),
        address=f"/people?ids={','.join(quote(one.key) for one in found.people)}" if found and found.people else "",
        pages=_read_pages(services),
    )


def _read_pages(services: AdminServices) -> RecordPages:
    return read_record_pages(services.store, is_rehearsal=services.config.is_rehearsal)


# -- linking


@router.get("/link")
def preview_link(
    request: Request, services: Services, visitor: Linking, contact: str = "", customer: str = ""
) -> Response:
    """What linking two records would do."""
    if not (contact.strip() and customer.strip()):
        return render(request, "people/link.html", preview=None, problem="", values=None)
    return _render_link(request, services, visitor, contact.strip(), customer.strip(), ends=False)


@router.get("/unlink")
def preview_unlink(
    request: Request, services: Services, visitor: Linking, contact: str = "", customer: str = ""
) -> Response:
    """What unlinking two records would do."""
    return _render_link(request, services, visitor, contact.strip(), customer.strip(), ends=True)


def _render_link(
    request: Request, services: AdminServices, visitor: Visitor, contact: str, customer: str, *, ends: bool
) -> Response:
    linker, problem, preview = services.decisions.make_linker(visitor.operator), "", None
    try:
        look = linker.preview_unlink if ends else linker.preview_link
        preview = look(contact, customer)
        problem = preview.refused
    except ConfigError as error:
        problem = "; ".join(error.problems)
    return render(
        request,
        "people/unlink.html" if ends else "people/link.html",
        status=422 if problem else 200,
        preview=preview,
        problem=problem,
        contact=contact,
        customer=customer,
        values=ValueFormatter.of(services.rules.fields),
    )


@router.post("/link")
def link(services: Services, visitor: Linking, contact: Id, customer: Id) -> Response:
    """Link two records."""
    services.decisions.make_linker(visitor.operator).link(contact, customer)
    return RedirectResponse(f"/people/{quote(contact)}?done=linked", 303)


@router.post("/unlink")
def unlink(services: Services, visitor: Linking, contact: Id, customer: Id) -> Response:
    """End the link of two records."""
    services.decisions.make_linker(visitor.operator).unlink(contact, customer)
    return RedirectResponse(f"/people/{quote(contact)}?done=unlinked", 303)


# -- one person

DONE = {
    "linked": "Linked; workers write what follows from it.",
    "unlinked": "Unlinked: nothing flows between the two any more.",
    "settled": "Settled; workers write what follows from it.",
}


@router.get("/{key}")
def show_person(
    request: Request,
    services: Services,
    visitor: Seer,
    key: str,
    entries: Annotated[int, Query(ge=1, le=MAX_ENTRIES)] = TIMELINE_ENTRIES,
    done: str = "",
) -> Response:
    """All that is stored of a person, values masked."""
    return _render_person(request, services, visitor, key, entries, notice=DONE.get(done, ""))


@router.post("/{key}/reveal")
def reveal_person(
    request: Request,
    services: Services,
    visitor: Annotated[Visitor, require(Permission.REVEAL)],
    key: str,
    entries: Annotated[int, Form(ge=1, le=MAX_ENTRIES)] = TIMELINE_ENTRIES,
) -> Response:
    """The same with values in plain; noted in the audit log before."""
    person = read_person_page(services.store, services.rules, key, 1)
    note_reveal(services.store, visitor.operator, person.key, "person")
    return _render_person(request, services, visitor, key, entries, plain=True)


def _render_person(
    request: Request,
    services: AdminServices,
    visitor: Visitor,
    key: str,
    entries: int,
    *,
    plain: bool = False,
    notice: str = "",
) -> Response:
    if "@" in key:
        raise NotFound("a person is opened by an id: search for the address instead")
    person = read_person_page(services.store, services.rules, key, entries)
    return render(
        request,
        "people/person.html",
        person=person,
        values=ValueFormatter.of(services.rules.fields, plain=plain),
        notice=notice,
        entries=entries,
        more=min(entries * 5, MAX_ENTRIES) if len(person.timeline) >= entries and entries < MAX_ENTRIES else 0,
        pages=_read_pages(services),
        sides=[*Side],
        kinds=_count_kinds([entry.what for entry in person.timeline]),
        may_reveal=visitor.may(Permission.REVEAL) and not plain,
        may_link=visitor.may(Permission.LINK),
        may_settle=visitor.may(Permission.RESOLVE),
    )


def _count_kinds(kinds: Sequence[str]) -> list[tuple[str, int]]:
    return [(kind, kinds.count(kind)) for kind in dict.fromkeys(kinds)]
