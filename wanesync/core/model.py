"""The words of the house as values (DESIGN section 2)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Side(StrEnum):
    """One of the two systems."""

    HUBSPOT = "hubspot"
    STRIPE = "stripe"

    other: Side
    """The opposite side."""


Side.HUBSPOT.other, Side.STRIPE.other = Side.STRIPE, Side.HUBSPOT


def normalise_email(address: str) -> str:
    """Trim, Unicode NFC, lower case: the form in which addresses are compared and hashed."""
    # Twice, because lower case may compose what upper case could not: J with caron.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", address).lower()).strip()


@dataclass(frozen=True, slots=True)
class Record:
    """A contact or a customer in neutral form: mapped fields only, each in its side's canonical form.

    ``values``: field name -> value, "" when blank, missing or null. ``emails``: every normalised
    address (a contact's secondary ones too). ``other_id``: our id of the opposite record written on
    it, "" if none. ``intent``: the intent id a contact of ours was created with. ``modified_ms``:
    HubSpot's ``lastmodifieddate``, 0 on Stripe, which has none. ``carry``: a customer's address as
    it stands and its further locales, which go out again whenever one part of them is written.
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
COUNTERPART_EXCLUDED = Note(NoteCode.EXCLUDED, "excluded: kept apart from its other record by decision")


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """Our newest copy of a record, as the store keeps it (CORRECTNESS sections 1 and 4).

    ``valid_from_ms`` .. ``valid_to_ms``: the interval in which the copy was true. ``moved`` counts its
    stores. ``stale``: the order of what we saw is not known; nothing is planned until the next
    read. ``hmacs``: keyed hashes of its addresses. ``survivor``: the contact it was merged into.
    ``note``: why it is left alone, None if it is not. ``alive``: neither deleted nor merged away.
    ``excluded``: to be left alone, because an operator decided so.
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
    side: Side = field(init=False, repr=False, compare=False)
    id: str = field(init=False, repr=False, compare=False)
    alive: bool = field(init=False, repr=False, compare=False)
    excluded: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Fill the fields that follow from the others."""
        fill = object.__setattr__
        fill(self, "side", self.record.side)
        fill(self, "id", self.record.id)
        fill(self, "alive", not self.deleted and not self.survivor)
        fill(self, "excluded", self.note is not None and self.note.code is NoteCode.BY_DECISION)


class LinkState(StrEnum):
    """``released``: taken apart by hand, not to be linked again by itself."""

    ACTIVE = "active"
    ORPHANED = "orphaned"
    RELEASED = "released"


BasePair = tuple[str, str]
"""What each side held when they last agreed on a field: (hubspot value, stripe value)."""


@dataclass(frozen=True, slots=True)
class Link:
    """One contact with one customer.

    ``base``: field -> halves; a field that is not in it was never agreed on. ``parked``: field ->
    (side, value) whose write was refused for good and waits for a change (an address that is taken).
    """

    id: str
    hubspot_id: str
    stripe_id: str
    primary: bool
    base: Mapping[str, BasePair]
    version: int
    state: LinkState = LinkState.ACTIVE
    parked: Mapping[str, tuple[Side, str]] = field(default_factory=dict)
    fields_version: str = ""
    canon_version: int = 0

    def id_on(self, side: Side) -> str:
        """The id of the link's record on a side."""
        return self.hubspot_id if side is Side.HUBSPOT else self.stripe_id


RecordRef = tuple[Side, str]
"""A record: its side and its id there."""


def contact_key(contact_id: str) -> str:
    """The key of jobs and locks of a contact and of all its links."""
    return f"contact:{contact_id}"


def customer_key(customer_id: str) -> str:
    """The key of jobs and locks of a customer no contact is linked to."""
    return f"customer:{customer_id}"


def guest_key(hmac: str) -> str:
    """The key of the contact to be made for a guest's address."""
    return f"guest:{hmac}"


def split_key(key: str) -> tuple[str, str]:
    """``contact:7`` -> ("contact", "7")."""
    kind, _, record_id = key.partition(":")
    return kind, record_id


class WriteKind(StrEnum):
    """What an own write does."""

    CREATE = "create"
    UPDATE = "update"


class WriteResult(StrEnum):
    """How an own write ended; one without an answer is an open intent."""

    OK = "ok"
    MATCHED = "matched"  # the record it made was found by our id
    CONFLICT = "conflict"  # the address was taken
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    LOST = "lost"  # given up: planned again from what was read afterwards
    RELEASED = "released"  # by hand


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one intended write: from what the target was seen to hold, to what, given the source's value."""

    before: str
    after: str
    source: str


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """One intended, sent or answered write of ours: the exact body, so that it can be settled.

    ``key``: Stripe's idempotency key; for a contact the intent id, which rides in a unique property.
    ``target_id`` is "" for a create; ``source_id`` is the opposite record. ``carried``: fields that
    ride along unchanged (Stripe addresses go out whole). ``answer`` None: an open intent. ``told``:
    field -> when the contact was last modified as HubSpot's history told whether this write made the
    value it holds, and whether it did.
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


@dataclass(frozen=True, slots=True)
class Conflict:
    """A value that did not win: kept, listed, never lost silently.

    ``kind``: ``policy`` (both sides edited, the owner won), ``differ`` (unlike on first contact, or
    both edited and the owner's ``unsplit``: nothing is written), ``overwritten`` (seen only in an
    event, or found under our write), ``parked`` (refused by the side), ``unsplit`` (a Stripe name that
    HubSpot's two name fields cannot take without a guess), ``held`` (the brake held it back, and it
    was discarded or overtaken).
    """

    side: Side
    record_id: str
    field: str
    value: str
    kind: str


@dataclass(frozen=True, slots=True)
class Event:
    """A stored event: a hint that a record changed, with the values it carried.

    ``kind``: created, updated, deleted, privacy_deleted, merged, purchase. ``occurred_ms``: the
    source's own time (whole seconds on Stripe). ``request_key``: the idempotency key of the request
    that caused it (Stripe). ``by_user``: not known to be caused by us. ``record``: the object the
    event carried, if it may be used. ``previous``: field -> value before (Stripe).
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
    read: bool = False
    judged: bool = False
    received_ms: int = 0
