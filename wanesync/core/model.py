"""The values the engine works with: records, links, pending writes, conflicts and events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wanesync.core.values.characters import normalise_email as normalise_email  # noqa: PLC0414 - offered here as well

MAX_FREE_KEYS = 2
"""Free metadata keys are counted up to here: ours are two."""


class Side(StrEnum):
    """One of the two systems that are kept the same."""

    HUBSPOT = "hubspot"
    STRIPE = "stripe"

    other: Side
    """The opposite side."""


Side.HUBSPOT.other, Side.STRIPE.other = Side.STRIPE, Side.HUBSPOT


@dataclass(frozen=True, slots=True)
class Record:
    """A contact or a customer in neutral form: mapped fields only, each in the canonical form of its side.

    ``values``: field name -> value, "" or missing when blank. ``unknown``: names of fields this copy does not hold,
    which are not blank (docs/correctness.md#unknown-fields). ``emails``: every normalised address, a contact's
    secondary ones too. ``other_id``: the id of its counterpart that we wrote on it, "" if none. ``intent``: the id of
    the pending write that created a contact. ``modified_ms``: HubSpot's ``lastmodifieddate``; 0 on Stripe, which has
    no modification time. ``merged_ids``: contacts that were merged into this one. ``carry``: a customer's whole
    address and further locales, which are sent again whenever one part of them is written, and the texts Stripe fills
    a missing name in from. ``free_keys``: how many more metadata keys a customer has room for, counted up to the two of
    ours.
    """

    side: Side
    id: str
    values: Mapping[str, str] = field(default_factory=dict)
    emails: frozenset[str] = frozenset()
    other_id: str = ""
    intent: str = ""
    created_ms: int = 0
    modified_ms: int = 0
    billed: bool = False
    merged_ids: tuple[str, ...] = ()
    carry: Mapping[str, str] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    free_keys: int = MAX_FREE_KEYS


class NoteCode(StrEnum):
    """Why nothing is created for a record, or nothing is written to it; code and SQL compare this."""

    BY_DECISION = "by_decision"
    """Excluded by an operator's decision, until an operator decides otherwise."""
    EXCLUDED = "excluded"
    """No e-mail address, or creations on the other side are switched off, or its counterpart is excluded."""
    AMBIGUOUS = "ambiguous"
    """Several records match, or its ids and its e-mail addresses match different records."""
    ORPHANED = "orphaned"
    """Its counterpart was deleted."""
    ERASED = "erased"
    """The data of its counterpart, or of a person with its address, were deleted for privacy."""
    MISSING = "missing"
    """Reads do not find it, or a record that may be its counterpart, and no deletion is known."""
    WANTED = "wanted"
    """Its counterpart is created because an operator decided so, whatever was deleted before."""
    DAMAGED = "damaged"
    """Its stored copy cannot be decrypted: it is read again."""
    FIRST_LISTING = "first_listing"
    """Nothing is created before both sides have been listed once completely."""


@dataclass(frozen=True, slots=True)
class Note:
    """Why a record is left alone: a code for the program, a text for people."""

    code: NoteCode
    text: str

    def __str__(self) -> str:
        return self.text


BY_DECISION = Note(NoteCode.BY_DECISION, "excluded: by decision")
WANTED = Note(NoteCode.WANTED, "to be created: by decision")
COUNTERPART_EXCLUDED = Note(NoteCode.EXCLUDED, "excluded: kept apart from its other record by decision")
MERGED_EXCLUDED = Note(NoteCode.EXCLUDED, "excluded: a contact that was merged into it was excluded by decision")


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """Our newest copy of a record (docs/correctness.md#versions-of-records).

    ``valid_from_ms`` .. ``valid_to_ms``: the copy was current at some time in this interval. ``revision``: how often
    it was stored. ``stale``: it is not known which copy is newer; nothing is planned until the record is read.
    ``hmacs``: keyed hashes of its e-mail addresses. ``survivor``: the contact it was merged into, "" if none.
    ``note``: why it is left alone, None if it is not. ``erased``: deleted for privacy, which is final. ``absent_ms``:
    since when reads do not find it, 0 if they do; ``missing``: they have not for so long that it is no longer asked
    for (docs/correctness.md#absence). ``alive``: neither deleted nor merged away. ``wanted``: an operator decided
    that its counterpart is created. ``excluded``: to be left alone, because an operator decided so. ``unanswered``: how
    many answers in a row lacked a field of the map, so that a read for it backs off. ``may_return``: it was deleted,
    and its side can restore it. A deletion is at ``valid_to_ms``.
    """

    record: Record
    valid_from_ms: int
    valid_to_ms: int
    revision: int
    stale: bool = False
    deleted: bool = False
    survivor: str = ""
    hmacs: frozenset[str] = frozenset()
    note: Note | None = None
    unanswered: int = 0
    erased: bool = False
    absent_ms: int = 0
    missing: bool = False
    side: Side = field(init=False, repr=False, compare=False)
    id: str = field(init=False, repr=False, compare=False)
    alive: bool = field(init=False, repr=False, compare=False)
    excluded: bool = field(init=False, repr=False, compare=False)
    absent: bool = field(init=False, repr=False, compare=False)
    wanted: bool = field(init=False, repr=False, compare=False)
    may_return: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Fill the fields that follow from the others."""
        fill = object.__setattr__
        fill(self, "side", self.record.side)
        fill(self, "id", self.record.id)
        fill(self, "alive", not self.deleted and not self.survivor)
        fill(self, "excluded", self.note is not None and self.note.code is NoteCode.BY_DECISION)
        fill(self, "absent", self.absent_ms > 0)
        is_reversible = self.side is Side.HUBSPOT and not self.erased and not self.survivor
        fill(self, "may_return", self.deleted and is_reversible)
        fill(self, "wanted", self.note is not None and self.note.code is NoteCode.WANTED)


class LinkState(StrEnum):
    """Whether values flow over a link.

    ``orphaned``: one of its records was deleted. ``released``: an operator unlinked the two, and they are not linked
    again automatically.
    """

    ACTIVE = "active"
    ORPHANED = "orphaned"
    RELEASED = "released"


class ParkReason(StrEnum):
    """Why a side refused a field (docs/correctness.md#parked-fields)."""

    INVALID = "invalid"
    PORTAL_RULE = "portal_rule"
    READ_ONLY = "read_only"
    UNKNOWN_PROPERTY = "unknown_property"
    NO_ROOM = "no_room"
    TAKEN = "taken"


PARK_TEXTS = {
    ParkReason.INVALID: "the value is not valid there",
    ParkReason.PORTAL_RULE: "a validation rule of the portal does not allow the value",
    ParkReason.READ_ONLY: "the property is read-only",
    ParkReason.UNKNOWN_PROPERTY: "the property does not exist",
    ParkReason.NO_ROOM: "there is no room for it: metadata holds at most 50 keys",
    ParkReason.TAKEN: "another record has the value",
}
"""Each reason in words for people."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A field whose write a side refused: the value that was sent, why it was refused, and when (database time)."""

    side: Side
    value: str
    reason: ParkReason = ParkReason.TAKEN
    at_ms: int = field(default=0, compare=False)


def has_room(park: Parked, record: Record, copy_ms: int, keys: int) -> bool:
    """Return whether a copy newer than a refusal for want of room shows so many free metadata keys."""
    return park.reason is ParkReason.NO_ROOM and copy_ms > park.at_ms and record.free_keys >= keys


BasePair = tuple[str, str]
"""What each side held when both last agreed on a field: (HubSpot value, Stripe value)."""


def filled_in_key(name: str) -> str:
    """Return the name under which a base holds what Stripe had filled a field in with, as its Stripe half."""
    return f"{name}/filled_in"


def is_unmapped(name: str) -> bool:
    """Return whether the name of what is to be put back is a path of Stripe that no field holds, not a field's name."""
    return "." in name


def not_taken_key(name: str) -> str:
    """Return the name under which a base holds a business name that a contact's company did not take.

    Its HubSpot half is what stood there after that write, its Stripe half what was sent.
    """
    return f"{name}/not_taken"


def agreed_blank_key(name: str) -> str:
    """Return the name under which a base holds the pair of a field in an earlier form of its values, if one is blank.

    See docs/correctness.md#changes-of-the-field-map.
    """
    return f"{name}/agreed_blank"


def both_right_key(name: str) -> str:
    """Return the name under which a base holds the pair of a field of which an operator said that both are right.

    See docs/correctness.md#settled-by-a-person.
    """
    return f"{name}/both_right"


@dataclass(frozen=True, slots=True)
class PutBack:
    """A value that a write of ours buried unread and that is to stand again (docs/correctness.md#put-back).

    ``side``: where it was set. ``over``: the base as our write left it; once that or one of the two records has
    changed, the value is not put back any more. ``contested``: the other side was edited at the same time, and the
    owner of the field wins. ``decided``: an operator decided so: a blank clears whatever the field map says, and an
    edit made since simply is the newer value.
    """

    side: Side
    value: str
    over: BasePair
    contested: bool
    decided: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """One contact paired with one customer.

    ``primary``: the one link of a contact over which values flow. ``base``: field -> base pair; a field that is not in
    it was never agreed on; a name with a slash says more about a field (``filled_in_key``, ``agreed_blank_key``).
    ``version``: raised by every change. ``parked``: field, or our ids by their name there -> its write, which was
    refused for good and waits for a change. ``decided``: an operator linked the two.
    """

    id: str
    hubspot_id: str
    stripe_id: str
    primary: bool
    base: Mapping[str, BasePair]
    version: int
    state: LinkState = LinkState.ACTIVE
    parked: Mapping[str, Parked] = field(default_factory=dict)
    put_back: Mapping[str, PutBack] = field(default_factory=dict)
    decided: bool = False

    def id_on(self, side: Side) -> str:
        """Return the id of the link's record on a side."""
        return self.hubspot_id if side is Side.HUBSPOT else self.stripe_id


@dataclass(frozen=True, slots=True)
class Deletion:
    """The newest deletion of a record with an address. ``erased``: for privacy, which only a person lifts."""

    at_ms: int
    erased: bool = False

    def blocks(self, created_ms: int) -> bool:
        """Return whether a record created then gets no counterpart (docs/correctness.md#tombstones)."""
        return self.erased or created_ms <= self.at_ms


RecordRef = tuple[Side, str]
"""A record: its side and its id there."""


def contact_key(contact_id: str) -> str:
    """Return the key of the jobs and locks of a contact and all its links."""
    return f"contact:{contact_id}"


def customer_key(customer_id: str) -> str:
    """Return the key of the jobs and locks of a customer without a contact."""
    return f"customer:{customer_id}"


def guest_key(hmac: str) -> str:
    """Return the key of the contact to be created for the address hash of a guest."""
    return f"guest:{hmac}"


def split_key(key: str) -> tuple[str, str]:
    """Return the kind and the id of a key: ``contact:7`` -> ("contact", "7")."""
    kind, _, record_id = key.partition(":")
    return kind, record_id


class WriteKind(StrEnum):
    """What a pending write does."""

    CREATE = "create"
    UPDATE = "update"


class WriteResult(StrEnum):
    """How a pending write ended; one without a result is open (docs/correctness.md#unknown-outcomes)."""

    OK = "ok"
    MATCHED = "matched"  # its answer was lost; the record it made was found by our id
    CONFLICT = "conflict"  # another record has the e-mail address
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    LOST = "lost"  # given up without an answer: planned again from a later read
    RELEASED = "released"  # closed by an operator


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one intended write: the target's value before and after, and the source's value it comes from.

    ``put_back``: it restores the target's own value (docs/correctness.md#put-back), so the base stays as it is.
    """

    before: str
    after: str
    source: str
    put_back: bool = False


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """A vendor call that is stored with its exact body before it is sent, so that a lost answer can be settled.

    ``idempotency_key``: Stripe's header; for a contact the value of a unique property. ``source_id``: the counterpart
    the values come from. ``target_id``: "" for a create. ``hmacs``: address hashes that a create claims. ``sent_ms``:
    0 before it was sent. ``result`` None: no answer yet. ``generation``: counts the creates of one record.
    ``planned_ms``: ``lastmodifieddate`` of the contact as it was planned from; 0 on Stripe.
    ``landed_ms``: by when an answered update had taken effect, by the vendor's clock; 0 if that is not known.
    ``authorship``: field -> (``lastmodifieddate`` of the contact when its history was read, whether this write made
    the value it then held). ``left_out``: fields of a create that were refused before, and are not in it.
    ``redefined``: fields it changed that the map defines anew since; not stored.
    """

    id: str
    side: Side
    kind: WriteKind
    link_key: str
    source_id: str
    target_id: str
    idempotency_key: str
    body: str
    changes: Mapping[str, Change]
    hmacs: frozenset[str] = frozenset()
    link_id: str = ""
    sent_ms: int = 0
    result: WriteResult | None = None
    generation: int = 0
    authorship: Mapping[str, tuple[int, bool]] = field(default_factory=dict)
    planned_ms: int = 0
    landed_ms: int = 0
    left_out: Mapping[str, Parked] = field(default_factory=dict)
    redefined: frozenset[str] = frozenset()

    @property
    def is_diverted(self) -> bool:
        """Whether it is an update of a contact that was merged away: it lands on the survivor, its target by now."""
        is_update = self.side is Side.HUBSPOT and self.kind is WriteKind.UPDATE
        return is_update and self.link_key != contact_key(self.target_id)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A value that did not win: it is kept and listed, so that nothing is lost silently.

    ``kind``: ``policy`` (both sides edited, the owner won), ``differ`` (different on first contact, or both edited and
    the owner's value is ``unsplit``: nothing is written), ``overwritten`` (found in an event, or replaced by our
    write, before it was synced), ``parked`` (refused by the side), ``not_taken`` (sent with success, but another value
    stands; the values of both sides are kept), ``unsplit`` (a Stripe name that HubSpot's two name
    fields cannot take without a guess), ``several_numbers``, ``too_long``, ``unknown_country`` (a value that the other
    side cannot hold: docs/correctness.md#values-that-do-not-fit), ``held`` (kept back by a hold, then discarded or
    overtaken).
    """

    side: Side
    record_id: str
    field: str
    value: str
    kind: str


OBSERVED_KIND = "observed"
"""The kind of an event that no vendor sent: what a read found while a write of ours was under way."""


@dataclass(frozen=True, slots=True)
class Event:
    """A stored webhook element: a hint that a record changed, with the values it carried.

    ``kind``: created, updated, deleted, privacy_deleted, restored, merged, purchase, observed. ``occurred_ms``: by the
    vendor's clock, whole seconds on Stripe. ``values``: field name, or ``name/firstname`` for one property of two ->
    value. ``previous``: field -> value before (Stripe). ``request_key``: idempotency key of the request that caused it
    (Stripe). ``kept_id``: of a merge, the contact whose values HubSpot kept, "" if it is the survivor itself or not
    named. ``source``: HubSpot's ``changeSource/sourceId``, ``user:`` before it unless it is ours. ``record``: the
    object the event carried, if it may be used. ``read``: the record was read since. ``judged``: its values were
    checked for lost updates (docs/correctness.md#lost-updates).
    """

    key: str
    side: Side
    kind: str
    record_id: str
    occurred_ms: int
    values: Mapping[str, str] = field(default_factory=dict)
    previous: Mapping[str, str] = field(default_factory=dict)
    request_key: str = ""
    source: str = ""
    record: Record | None = None
    merged_ids: tuple[str, ...] = ()
    kept_id: str = ""
    read: bool = False
    judged: bool = False
    received_ms: int = 0
