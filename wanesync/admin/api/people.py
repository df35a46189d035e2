"""``/api/v1/people`` and ``/api/v1/links``: find a person, all that is stored of one, link and unlink records."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field

from wanesync.admin.api.cursors import DEFAULT_LIMIT, MAX_LIMIT, PagingQuery, decode_cursor, encode_cursor
from wanesync.admin.api.models import ApiModel, Page
from wanesync.admin.api.routes import NOT_KEYED, make_router
from wanesync.admin.personal_values import ValueFormatter
from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, require
from wanesync.admin.services import AdminServices, Services
from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.model import Side, StoredRecord
from wanesync.core.operating.explanation import SyncState
from wanesync.ops.people.links import AmbiguousRecord, LinkPreview, list_ambiguous
from wanesync.ops.people.person import TIMELINE_ENTRIES, Person, read_person_page
from wanesync.ops.people.record_pages import RecordPages, read_record_pages
from wanesync.ops.people.reveals import note_reveal
from wanesync.ops.people.search import PeopleSearch, PersonSummary
from wanesync.ops.people.timeline import TimelineEntry, What

router = make_router("people")
MAX_ENTRIES = 5_000
Seer = Annotated[Visitor, require(Permission.SEE)]
Linking = Annotated[Visitor, require(Permission.LINK)]
Key = Annotated[str, Path(max_length=255, description="The id of a contact, customer, payment or charge.")]
Entries = Annotated[int, Query(ge=1, le=MAX_ENTRIES, description="Most things of the timeline.")]
NOT_STORED = {NOT_KEYED: True}


class Found(ApiModel):
    """A person in a list; values are masked."""

    contact_id: str
    customer_ids: list[str] = Field(description="The primary customer first.")
    email: str
    name: str


class SearchRequest(ApiModel):
    """What is searched for."""

    text: str = Field(
        max_length=1_000, description="An address, an id, a payment, a name or a phone number.", examples=["cus_1"]
    )
    after: str = Field(default="", max_length=300, description="`next` of the search before, to go on there.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)


class SearchResult(ApiModel):
    """The people found; a search by name or phone number is bounded, and goes on from `next`."""

    items: list[Found]
    next: str | None
    searched: int = Field(description="Records read by this request; 0 where an index was enough.")


class FieldState(ApiModel):
    """One field of a person: what both sides hold, and what each held when they last agreed."""

    field: str
    owner: Side
    hubspot: str
    stripe: str
    base_hubspot: str | None
    base_stripe: str | None
    agree: bool
    notes: list[str]
    conflict_ids: list[str]


class FieldChange(ApiModel):
    """A value before and after."""

    field: str
    before: str
    after: str


class Happening(ApiModel):
    """One thing that happened: a webhook, an echo, a write, a decision, or another line of the journal."""

    id: str
    at_ms: int
    what: What
    side: Side | None
    record_id: str
    text: str
    changes: list[FieldChange]
    operator: str
    cause: str = Field(description="The write that caused a webhook; empty for others.")
    effects: list[str] = Field(description="The webhooks that a write caused.")


class PersonDetail(ApiModel):
    """All that is stored of a person. Values are masked, unless they were revealed."""

    contact_id: str
    customer_id: str
    other_customer_ids: list[str]
    contact_page: str
    customer_page: str
    linked: bool
    state: SyncState
    sentence: str = Field(description="Why the person is in sync or not.")
    way_out: str
    more: list[str]
    fields: list[FieldState]
    timeline: list[Happening]


class LinkRequest(ApiModel):
    """The two records."""

    contact_id: str = Field(max_length=255, examples=["2041"])
    customer_id: str = Field(max_length=255, examples=["cus_1"])
    dry_run: bool = False


class LinkResult(ApiModel):
    """What linking or unlinking did, or would do; values are masked."""

    done: bool
    already: bool
    second: bool = Field(description="The contact keeps its primary customer: only purchases flow from this one.")
    writes: list[FieldChange]
    differ: list[str] = Field(description="Fields in which both values stay, to be settled as conflicts.")
    new_primary: str = Field(
        description="The customer that becomes the contact's primary one where its primary is unlinked, else empty: "
        "writes and differ are those of the contact and that one."
    )


class Candidate(ApiModel):
    """A record that an ambiguous one may belong to."""

    side: Side
    id: str
    linked_with: str


class Ambiguous(ApiModel):
    """A record that several others match."""

    side: Side
    id: str
    reason: str
    candidates: list[Candidate]
    rivals: list[str]


@router.post("/people/search", summary="Find people", openapi_extra=NOT_STORED)
def search_people(visitor: Seer, services: Services, wanted: SearchRequest) -> SearchResult:
    """Find people by an e-mail address, an id of either side, a payment, a name or a phone number.

    A POST, so that no personal data stand in an address. The role viewer finds whole words of names, and phone numbers
    by at least seven last digits.
    """
    search = PeopleSearch(services.store, services.rules.fields, exact=not visitor.may(Permission.REVEAL))
    found = search.find(wanted.text, wanted.limit, wanted.after)
    values = ValueFormatter.of(services.rules.fields)
    goes_on = found.scan.next if found.scan else ""
    return SearchResult(
        items=[_summarise(one, values) for one in found.people],
        next=goes_on or None,
        searched=found.scan.searched if found.scan else 0,
    )


@router.get("/people/{key}", summary="Show a person")
def show_person(_visitor: Seer, services: Services, key: Key, entries: Entries = TIMELINE_ENTRIES) -> PersonDetail:
    """Both sides field by field, why they are in sync or not, and what happened; values are masked."""
    return _describe(services, _read(services, key, entries), plain=False)


@router.post("/people/{key}/reveal", summary="Show a person in plain", openapi_extra=NOT_STORED)
def reveal_person(
    visitor: Annotated[Visitor, require(Permission.REVEAL)],
    services: Services,
    key: Key,
    entries: Entries = TIMELINE_ENTRIES,
) -> PersonDetail:
    """The same with values in plain; noted in the audit log."""
    person = _read(services, key, entries)
    note_reveal(services.store, visitor.operator, person.key, "person")
    return _describe(services, person, plain=True)


@router.get("/ambiguous", summary="List ambiguous records")
def show_ambiguous(_visitor: Seer, services: Services, paging: PagingQuery) -> Page[Ambiguous]:
    """Records that several others match, with what they may belong to."""
    position = decode_cursor(services.store, "ambiguous", paging.cursor)
    found, _, more = list_ambiguous(services.store, paging.limit, str(position[0]) if position else "")
    following = encode_cursor(services.store, "ambiguous", [more]) if more else None
    return Page(items=[_describe_ambiguous(one) for one in found], next=following)


@router.post("/links", summary="Link a contact and a customer")
def link(visitor: Linking, services: Services, wanted: LinkRequest) -> LinkResult:
    """Blanks are filled from the other side; different values are both kept and listed as conflicts."""
    linker = services.decisions.make_linker(visitor.operator)
    act = linker.preview_link if wanted.dry_run else linker.link
    return _describe_link(services, act(wanted.contact_id, wanted.customer_id), dry_run=wanted.dry_run)


@router.post("/links/end", summary="Unlink a contact and a customer")
def unlink(visitor: Linking, services: Services, wanted: LinkRequest) -> LinkResult:
    """End their link for good; they are not linked again automatically.

    Where the contact's primary customer is unlinked, another one takes its place, and none of its blanks is filled.
    """
    linker = services.decisions.make_linker(visitor.operator)
    act = linker.preview_unlink if wanted.dry_run else linker.unlink
    return _describe_link(services, act(wanted.contact_id, wanted.customer_id), dry_run=wanted.dry_run)


def _summarise(one: PersonSummary, values: ValueFormatter) -> Found:
    return Found(
        contact_id=one.contact.id if one.contact else "",
        customer_ids=[customer.id for customer in one.customers],
        email=values.show("email", one.value("email")),
        name=values.show("name", one.value("name")),
    )


def _read(services: AdminServices, key: str, entries: int) -> Person:
    """Read a person by an id. Raises NotFound; also for an address, which does not belong into a path."""
    if "@" in key:
        raise NotFound("a person is opened by an id: search for the address with POST /people/search")
    return read_person_page(services.store, services.rules, key, entries)


def _describe(services: AdminServices, person: Person, *, plain: bool) -> PersonDetail:
    values = ValueFormatter.of(services.rules.fields, plain=plain)
    pages = read_record_pages(services.store, is_rehearsal=services.config.is_rehearsal)
    why = person.explanation
    return PersonDetail(
        contact_id=person.contact.id if person.contact else "",
        customer_id=person.customer.id if person.customer else "",
        other_customer_ids=[one.id for one in person.others],
        contact_page=_find_page(pages, person.contact),
        customer_page=_find_page(pages, person.customer),
        linked=person.link is not None,
        state=why.state,
        sentence=why.sentence,
        way_out=why.way_out,
        more=list(why.more),
        fields=[
            FieldState(
                field=row.name,
                owner=row.owner,
                hubspot=values.show(row.name, row.hubspot),
                stripe=values.show(row.name, row.stripe),
                base_hubspot=values.show(row.name, row.base[0]) if row.base else None,
                base_stripe=values.show(row.name, row.base[1]) if row.base else None,
                agree=row.agree,
                notes=list(row.notes),
                conflict_ids=list(row.conflict_ids),
            )
            for row in person.rows
        ],
        timeline=[_describe_happening(entry, values) for entry in person.timeline],
    )


def _find_page(pages: RecordPages, copy: StoredRecord | None) -> str:
    base = "" if copy is None else pages.contact if copy.side is Side.HUBSPOT else pages.customer
    return f"{base}{copy.id}" if copy is not None and base else ""


def _describe_happening(entry: TimelineEntry, values: ValueFormatter) -> Happening:
    return Happening(
        id=entry.id,
        at_ms=entry.at_ms,
        what=entry.what,
        side=entry.side,
        record_id=entry.record_id,
        text=entry.text,
        changes=[
            FieldChange(field=name, before=values.show(name, before), after=values.show(name, after))
            for name, (before, after) in entry.fields.items()
        ],
        operator=entry.operator.name if entry.operator else "",
        cause=entry.cause,
        effects=list(entry.effects),
    )


def _describe_ambiguous(one: AmbiguousRecord) -> Ambiguous:
    return Ambiguous(
        side=one.stored.side,
        id=one.stored.id,
        reason=str(one.stored.note or ""),
        candidates=[
            Candidate(side=each.side, id=each.id, linked_with=one.linked.get((each.side, each.id), ""))
            for each in one.candidates
        ],
        rivals=[each.id for each in one.rivals],
    )


def _describe_link(services: AdminServices, preview: LinkPreview, *, dry_run: bool) -> LinkResult:
    """Return what was done. Raises ConfigError where a dry run shows that it cannot be done."""
    if preview.refused:
        raise ConfigError([preview.refused])
    values = ValueFormatter.of(services.rules.fields)
    return LinkResult(
        done=not dry_run and not preview.already,
        already=preview.already,
        second=preview.second,
        writes=[
            FieldChange(field=name, before=values.show(name, before), after=values.show(name, after))
            for name, _, before, after in preview.written
        ],
        differ=list(preview.kept_apart),
        new_primary=preview.new_primary,
    )
