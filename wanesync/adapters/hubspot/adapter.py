"""HubSpot as live sync and reconcile need it (``core.ports.HubSpotPort``), over the official SDK."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wanesync.adapters.checked_values import MAX_ID_CHARS, IncompleteElement, InvalidElement, find_fault
from wanesync.adapters.http_answers import AnswerTooLarge, check_header_value
from wanesync.adapters.hubspot import batches, purchases, search, setup
from wanesync.adapters.hubspot.api_paths import ACCOUNT, DEFINITIONS
from wanesync.adapters.hubspot.bisect_batch import BatchBisector
from wanesync.adapters.hubspot.client import HubSpotClient, Reply
from wanesync.adapters.hubspot.contacts import (
    MODIFIED,
    OURS,
    describe_too_long,
    field_names,
    properties_to_read,
    read_contact,
    read_id,
    read_remains,
)
from wanesync.adapters.hubspot.errors import ErrorTable, RefusedCall, read_unreadable
from wanesync.adapters.json_values import epoch_ms, mapping, rows, text
from wanesync.adapters.network import PINNED, NetworkPolicy
from wanesync.core.cursors import CursorTrail
from wanesync.core.errors import CallError, Failure
from wanesync.core.fields import FieldMap
from wanesync.core.model import Record, Side
from wanesync.core.ports import (
    Account,
    ApiKey,
    Authors,
    CreateItem,
    Limits,
    Page,
    RequestEnd,
    SetAside,
    Survey,
    UpdateItem,
    observe_nothing,
)
from wanesync.core.purchases import Purchase
from wanesync.core.setup.api_versions import HubSpotVersion
from wanesync.core.setup.portal_checks import PortalFacts

MAX_PAGE_RECORDS = 100
"""Contacts of one page of a listing (developers.hubspot.com, CRM objects API)."""
APP_SOURCES = frozenset({"INTEGRATION", "API"})
"""Source types of changes that an app made (propertiesWithHistory)."""


@dataclass(frozen=True, slots=True)
class HubSpotOptions:
    """Access to one portal, and its names.

    ``portal``: its id, for the names of events. ``own_source_ids``: the app ids our writes show up under.
    ``gate`` is called right before each request's bytes leave, and may wait; ``sent`` right after. ``network``: how
    they leave.
    ``key``: where it is given, takes the place of ``token``. ``observe`` is told how each request ended.
    """

    token: str = field(repr=False)
    base_url: str | None = None
    portal: str = ""
    event_name: str = "stripe_purchase"
    own_source_ids: frozenset[str] = frozenset()
    api_version: HubSpotVersion = "v3"
    gate: Callable[[], None] = lambda: None
    sent: Callable[[], None] = lambda: None
    observe: Callable[[RequestEnd], None] = observe_nothing
    network: NetworkPolicy = PINNED
    key: ApiKey | None = None

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` for a key that no header takes: the library's own error would show it."""
        check_header_value(self.token, "hubspot.access_token")


class HubSpotAdapter:
    """One portal. Thread-safe.

    ``before_extra`` is called before every request a method makes beyond its first: the simulator lets other things
    happen there. Rate slots are taken by the options' ``gate``.
    """

    def __init__(
        self,
        options: HubSpotOptions,
        fields: FieldMap,
        before_extra: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options, self._fields, self._before_extra = options, fields, before_extra
        self._table = ErrorTable(field_names(fields))
        self._client = HubSpotClient(
            options.token,
            options.base_url,
            self._table,
            monotonic=monotonic,
            version=options.api_version,
            network=options.network,
            key=options.key,
        )
        self._client.put_gate(options.gate, options.observe, options.sent)
        self._properties = properties_to_read(fields)

    @property
    def last_limits(self) -> Limits:
        """The app's limits according to the newest answer."""
        return self._client.last_limits

    def account(self) -> Account:
        """Return portal id and mode: every account but a STANDARD one is for tests."""
        reply = self._client.call_path("GET", ACCOUNT)
        mode = "live" if text(reply.body.get("accountType")) == "STANDARD" else "test"
        zone = text(reply.body.get("timeZone")) or "UTC"
        portal = text(reply.body.get("portalId"))
        if not portal:
            raise read_unreadable(reply.status, "an account without portalId")
        return Account(portal, mode, zone, reply.timing.to_ms)

    def read_contacts(self, ids: Sequence[str]) -> Mapping[str, Record | CallError | None]:
        """Read contacts with one request, and one more for each id that the answer does not mention.

        A merged id is answered with its survivor. Only an id that the answer names as missing or archived is None. An
        answer that is too large is asked for in halves.
        """
        batches.check_size(len(ids), lambda: len(set(ids)))
        if not ids:
            return {}
        asked = {"properties": self._properties, "inputs": [{"id": contact_id} for contact_id in ids]}
        try:
            reply = self._client.call(self._client.contact_batches.read, asked)
        except AnswerTooLarge as error:
            return self._read_halves(ids, error)
        body = reply.body
        if not isinstance(body.get("results"), list):
            raise read_unreadable(reply.status, "a batch without results")
        holders: dict[str, Record | CallError] = {}
        refused = [self._table.read_entry(mapping(entry)) for entry in rows(body.get("errors"))]
        missing = {i for one in refused if one.failure is Failure.NOT_FOUND for i in one.ids}
        # An id with any other error is not absent: there is no answer for it.
        holders |= {i: one for one in refused if one.failure is not Failure.NOT_FOUND for i in one.ids}
        for raw in map(mapping, rows(body["results"])):
            if raw.get("archived") is True:
                missing.add(text(raw.get("id")))
                continue
            found = self._read_result(raw, reply.status)
            if isinstance(found, CallError):
                holders[text(raw.get("id"))] = found
                continue
            for merged_id in found.merged_ids:
                holders.setdefault(merged_id, found)
            holders[found.id] = found
        answers: dict[str, Record | CallError | None] = {}
        for contact_id in ids:
            if contact_id in holders:
                answers[contact_id] = holders[contact_id]
            else:
                answers[contact_id] = None if contact_id in missing else self._read_alone(contact_id)
        return answers

    def find_archived(self, ids: Sequence[str]) -> frozenset[str]:
        """Return those of the contacts that are in the recycle bin: archived reads find nothing else."""
        batches.check_size(len(ids), lambda: len(set(ids)))
        asked = {"properties": [MODIFIED], "inputs": [{"id": contact_id} for contact_id in ids]}
        # A text: the SDK writes a truth value with a capital letter.
        body = self._client.call(self._client.contact_batches.read, asked, archived="true").body
        found = (mapping(raw) for raw in rows(body.get("results")))
        # An entry whose mark is no truth value counts as absent, not as deleted.
        return frozenset(text(raw.get("id")) for raw in found if raw.get("archived") is True) & frozenset(ids)

    def _read_halves(self, ids: Sequence[str], error: AnswerTooLarge) -> Mapping[str, Record | CallError | None]:
        if len(ids) == 1:
            return {ids[0]: CallError(Side.HUBSPOT, Failure.UNUSABLE, error.reason, error.status)}
        middle = len(ids) // 2
        self._before_extra()
        answers = dict(self.read_contacts(ids[:middle]))
        self._before_extra()
        return answers | dict(self.read_contacts(ids[middle:]))

    def _read_result(self, raw: Mapping[str, object], status: int) -> Record | CallError:
        """Return a contact of an answer, or why it cannot be used."""
        try:
            return read_contact(raw, self._fields)
        except IncompleteElement as error:
            return read_unreadable(status, str(error))
        except InvalidElement as error:
            return CallError(
                Side.HUBSPOT, Failure.UNUSABLE, f"set aside: {error}", status, remains=read_remains(raw, self._fields)
            )

    def _read_alone(self, contact_id: str) -> Record | CallError | None:
        self._before_extra()
        try:
            reply = self._client.call(self._client.contacts.get_by_id, contact_id, properties=self._properties)
        except AnswerTooLarge as error:
            return CallError(Side.HUBSPOT, Failure.UNUSABLE, error.reason, error.status)
        except CallError as error:
            return None if error.failure is Failure.NOT_FOUND else error
        if reply.body.get("archived") is True:
            return None
        found = self._read_result(reply.body, reply.status)
        if isinstance(found, Record) and contact_id not in (found.id, *found.merged_ids):
            return read_unreadable(reply.status, "another contact than the one that was asked for")
        return found

    def list_contacts(self, after: str, limit: int = MAX_PAGE_RECORDS) -> Page:
        """Return one page in id order; one that is too large is asked for in smaller ones, with a request each.

        A single contact that is too large is set aside.
        """
        try:
            return self._list_page(after, limit, self._properties)
        except AnswerTooLarge as error:
            if limit > 1:
                self._before_extra()
                return self.list_contacts(after, max(1, limit // 10))
            self._before_extra()
            page = self._list_page(after, 1, [MODIFIED, "email"])
            return replace(page, records=(), set_aside=[SetAside(one.id, error.reason, one) for one in page.records])

    def _list_page(self, after: str, limit: int, properties: Sequence[str]) -> Page:
        page = {"limit": limit, "properties": list(properties), **({"after": after} if after else {})}
        reply = self._client.call(self._client.contacts.get_page, **page)
        if not isinstance(reply.body.get("results"), list):
            raise read_unreadable(reply.status, "a page without results")
        records: list[Record] = []
        set_aside: list[SetAside] = []
        for raw in map(mapping, rows(reply.body["results"])):
            if raw.get("archived") is True:
                continue
            found = self._read_result(raw, reply.status)
            if isinstance(found, Record):
                records.append(found)
                if found.unknown:
                    set_aside += [SetAside(found.id, reason) for reason in describe_too_long(raw, found, self._fields)]
            else:
                remains = found.remains or read_remains(raw, self._fields)
                set_aside.append(SetAside(read_id(raw), found.reason, remains))
        following = _read_cursor(reply.body, reply.status)
        if following and following == after:
            raise read_unreadable(reply.status, "a cursor that cannot be used")
        return Page(records, following, reply.timing, set_aside)

    def search_modified(self, since_ms: int, above_id: str) -> Sequence[tuple[str, int]]:
        """Return up to 200 hits in id order, by keyset: a search shows at most 10,000 hits of one query."""
        return search.find_modified(self._client, since_ms, above_id)

    def survey_contacts(self) -> Survey:
        """Return how many contacts a search finds, and the highest id among them."""
        return search.survey(self._client)

    def create_contacts(self, items: Sequence[CreateItem]) -> Mapping[str, Record | CallError]:
        """Create contacts with one request; with more if the batch is refused as a whole (``bisect_batch``)."""
        batches.check_size(len(items), lambda: len({item.trace for item in items}))

        def send(group: Sequence[CreateItem]) -> dict[str, Record | CallError]:
            inputs = [
                {"objectWriteTraceId": item.trace, "properties": dict(item.properties), "associations": []}
                for item in group
            ]
            body = self._client.call(self._client.contact_batches.create, {"inputs": inputs}).body
            matched = batches.match_created(group, body, self._table)
            sent = {item.trace: item.properties for item in group}
            return {trace: self._read_created(raw, sent[trace]) for trace, raw in matched.items()}

        return BatchBisector[CreateItem, Record](send, _trace, batches.find_named_contacts, self._before_extra).run(
            items
        )

    def update_contacts(self, items: Sequence[UpdateItem]) -> Mapping[str, Record | CallError]:
        """Update contacts as ``create_contacts`` does, and read the rest of their properties with one more request.

        HubSpot's answer holds only the properties that were written. Those and ``modified_ms`` are taken from it, so
        that an edit between the two requests is not taken for our write.
        """
        written = self._update(items)
        asked = {item.trace: item.id for item in items if isinstance(written[item.trace], Record)}
        if not asked:
            return written
        self._before_extra()
        try:
            read = self.read_contacts(sorted(asked.values()))
        except CallError as error:
            reason = f"written, but not read afterwards: {error.reason}"
            unread = CallError(error.side, Failure.NO_ANSWER, reason, error.status)
            unread.__cause__ = error
            return written | dict.fromkeys(asked, unread)
        for trace, contact_id in asked.items():
            part, rest = written[trace], read[contact_id]
            if isinstance(rest, CallError):
                written[trace] = _unread(f"written, but not read afterwards: {rest.reason}")
            elif isinstance(part, Record):
                # Deleted, or not found yet: no refusal, because the update took effect.
                written[trace] = _unread("written, but not found afterwards") if rest is None else _complete(part, rest)
                if rest is not None and part.id not in (contact_id, rest.id):
                    written[trace] = _unread("another contact than the one that was written")
        return written

    def _update(self, items: Sequence[UpdateItem]) -> dict[str, Record | CallError]:
        batches.check_size(len(items), lambda: len({item.id for item in items}))

        def send(group: Sequence[UpdateItem]) -> dict[str, Record | CallError]:
            inputs = [
                {"objectWriteTraceId": item.trace, "id": item.id, "properties": dict(item.properties)} for item in group
            ]
            body = self._client.call(self._client.contact_batches.update, {"inputs": inputs}).body
            matched = batches.match_updated(group, body, self._table)
            return {trace: self._read_updated(raw) for trace, raw in matched.items()}

        return BatchBisector[UpdateItem, Record](send, _trace, batches.find_named_contacts, self._before_extra).run(
            items
        )

    def _read_created(self, raw: Mapping[str, object] | CallError, sent: Mapping[str, str]) -> Record | CallError:
        """Return a contact just created: its answer shows what is set, so what was not sent and is missing is blank."""
        if isinstance(raw, CallError):
            return raw
        shown = raw.get("properties")
        if not isinstance(shown, dict):
            return _unread("contact without properties")
        blank = {name: None for name in self._properties if name not in sent}
        return self._after_write(lambda: read_contact({**raw, "properties": {**blank, **shown}}, self._fields))

    def _read_updated(self, raw: Mapping[str, object] | CallError) -> Record | CallError:
        if isinstance(raw, CallError):
            return raw
        return self._after_write(lambda: read_contact(raw, self._fields, whole=False))

    def _after_write(self, read: Callable[[], Record]) -> Record | CallError:
        """Return what a write's answer shows: one that cannot be used leaves the outcome unknown."""
        try:
            return read()
        except InvalidElement as error:
            return _unread(str(error))

    def wrote_current(self, contact_id: str, properties: Sequence[str]) -> Authors:
        """Return whether we wrote the current values: an app with our id, or one that wrote a property of ours."""
        names = list(dict.fromkeys((*properties, *OURS)))
        reply = self._client.call(
            self._client.contacts.get_by_id, contact_id, properties=[MODIFIED], properties_with_history=names
        )
        if not isinstance(reply.body.get("propertiesWithHistory"), dict):
            raise read_unreadable(reply.status, "a contact without the history that was asked for")
        by_name = mapping(reply.body["propertiesWithHistory"])
        histories = {name: [mapping(version) for version in rows(by_name.get(name))] for name in names}
        own = {text(version.get("sourceId")) for name in OURS for version in histories[name] if _is_app(version)}
        own = (own | self._options.own_source_ids) - {""}
        ours = {}
        for name in properties:
            newest = max(histories[name], key=lambda version: epoch_ms(version.get("timestamp")), default={})
            ours[name] = _is_app(newest) and text(newest.get("sourceId")) in own
        modified = mapping(reply.body.get("properties")).get(MODIFIED) or reply.body.get("updatedAt")
        return Authors(epoch_ms(modified), ours)

    def send_events(self, items: Mapping[str, Purchase]) -> Mapping[str, CallError | None]:
        """Send events, 500 a request. One that HubSpot already has (409, or a 400 that says so) counts as accepted."""
        name = f"pe{self._options.portal}_{self._options.event_name}"

        def send(group: Sequence[Purchase]) -> dict[str, CallError | None]:
            inputs = [purchases.write_event(purchase, name) for purchase in group]
            try:
                reply = self._client.call(self._client.event_batches.send, {"inputs": inputs})
                errors = rows(reply.body.get("errors"))
                for entry in map(mapping, errors):
                    # Events have no trace id: the batch is bisected, and an event that is sent again counts once.
                    raise self._table.read_entry(entry)
                if reply.body.get("errors", errors) != errors or reply.body.get("numErrors"):
                    raise read_unreadable(reply.status, "errors that cannot be read")
            except RefusedCall as error:
                # Only the uuid of an event is unique, and it repeats only with its payment.
                repeated = error.repeated or error.status == 409 or error.failure is Failure.CONFLICT
                if not (len(group) == 1 and repeated):
                    raise
            return dict.fromkeys(purchase.payment_id for purchase in group)

        return self._send_purchases(items, send, purchases.MAX_EVENTS_PER_REQUEST)

    def create_notes(self, items: Mapping[str, Purchase]) -> Mapping[str, CallError | None]:
        """Create notes, 100 a request."""

        def send(group: Sequence[Purchase]) -> dict[str, CallError | None]:
            inputs = [purchases.write_note(purchase) for purchase in group]
            body = self._client.call(self._client.note_batches.create, {"inputs": inputs}).body
            return purchases.match_notes(group, body, self._table)

        return self._send_purchases(items, send, batches.MAX_BATCH_INPUTS)

    def _send_purchases(
        self,
        items: Mapping[str, Purchase],
        send: Callable[[Sequence[Purchase]], dict[str, CallError | None]],
        size: int,
    ) -> dict[str, CallError | None]:
        bisector = BatchBisector[Purchase, None](send, _payment, purchases.find_named_purchases, self._before_extra)
        chunks = batches.ChunkedBatch[Purchase, None](size, _payment, self._before_extra)
        return chunks.run(list(items.values()), bisector.run)

    def read_note_marks(self, contact_id: str) -> frozenset[str]:
        """Read the contact's notes by association (a search lags), then their bodies, 100 a request.

        A deleted contact has the same answer as one without notes, so without any the contact is read, then they again.
        """
        ids = self._read_note_ids(contact_id)
        if not ids:
            self._before_extra()
            found = self.read_contacts([contact_id])[contact_id]
            if not isinstance(found, Record):
                raise found or CallError(
                    Side.HUBSPOT, Failure.NOT_FOUND, "the contact whose notes were to be read is gone"
                )
            self._before_extra()
            ids = self._read_note_ids(found.id)
        marks: frozenset[str] = frozenset()
        for start in range(0, len(ids), batches.MAX_BATCH_INPUTS):
            self._before_extra()
            inputs = [{"id": note_id} for note_id in ids[start : start + batches.MAX_BATCH_INPUTS]]
            asked = {"properties": ["hs_note_body"], "inputs": inputs}
            reply = self._client.call(self._client.note_batches.read, asked)
            _results(reply)
            marks |= purchases.read_marks(reply.body)
        return marks

    def _read_note_ids(self, contact_id: str) -> list[str]:
        """Read the ids of a contact's notes, a page a request; by batch, which every version has."""
        ids: list[str] = []
        asked, trail = {"id": contact_id}, CursorTrail(Side.HUBSPOT)
        while True:
            reply = self._client.call(
                self._client.association_batches.get_page, "contacts", "notes", {"inputs": [asked]}
            )
            shown = next(
                (
                    raw
                    for raw in map(mapping, _results(reply))
                    if text(mapping(raw.get("from")).get("id")) == contact_id
                ),
                None,
            )
            if shown is None:
                return self._confirm_none(reply, ids)
            if not isinstance(shown.get("to"), list):
                raise read_unreadable(reply.status, "associations without a list of records")
            found = [text(mapping(entry).get("toObjectId")) for entry in rows(shown["to"])]
            ids += found
            following = trail.follow(asked.get("after", ""), _read_cursor(shown, reply.status), found)
            if not following:
                return ids
            self._before_extra()
            asked["after"] = following

    def _confirm_none(self, reply: Reply, ids: list[str]) -> list[str]:
        """Return ``ids`` if the answer says that there are no (more) associations: it is a 404 among its errors."""
        errors = [self._table.read_entry(mapping(entry)) for entry in rows(reply.body.get("errors"))]
        other = next((error for error in errors if error.failure is not Failure.NOT_FOUND), None)
        if other is not None:
            raise other
        if not errors:
            raise read_unreadable(reply.status, "no associations of the contact that was asked for")
        return ids

    def set_properties(self, values: Mapping[str, Mapping[str, str]]) -> Mapping[str, CallError | None]:
        """Write properties; return contact id -> None if written. Nothing is read afterwards."""
        items = [UpdateItem(contact_id, contact_id, properties) for contact_id, properties in values.items()]
        chunks = batches.ChunkedBatch[UpdateItem, Record](batches.MAX_BATCH_INPUTS, _trace, self._before_extra)
        written = chunks.run(items, self._update)
        return {key: found if isinstance(found, CallError) else None for key, found in written.items()}

    def can_define_events(self) -> bool:
        """Return whether event definitions can be read: a portal without custom events answers 403."""
        try:
            self._client.call_path("GET", DEFINITIONS)
        except CallError as error:
            if error.failure is Failure.FORBIDDEN:
                return False
            raise
        return True

    def has_property(self, name: str) -> bool:
        """Return whether contacts have a property of this internal name."""
        return name in setup.read_properties(self._client)

    def inspect(self) -> PortalFacts:
        """Return which properties contacts have, whether the event of purchases is defined, and the scopes of the key.

        Three requests.
        """
        facts = setup.inspect(self._client, self._options.event_name)
        return replace(facts, scopes=setup.find_scopes(self._client, self._options.token))

    def prepare(self, *, with_events: bool) -> Sequence[str]:
        """Create the properties and the event definition that are missing; several requests."""
        return setup.prepare(self._client, self._options.event_name, with_events=with_events)


def _results(reply: Reply) -> Sequence[object]:
    """Return the results of an answer: without any member of this name it is no answer."""
    if not isinstance(reply.body.get("results"), list):
        raise read_unreadable(reply.status, "no results")
    return rows(reply.body["results"])


def _read_cursor(shown: Mapping[str, object], status: int) -> str:
    """Return the cursor of the next page, "" at the end: which is where nothing is said of a next page."""
    paging = shown.get("paging") or {}
    following = paging.get("next") if isinstance(paging, dict) else paging
    if following is None:
        return ""
    cursor = text(mapping(following).get("after"))
    if not cursor or find_fault(cursor, MAX_ID_CHARS):
        raise read_unreadable(status, "a cursor that cannot be used")
    return cursor


def _is_app(version: Mapping[str, object]) -> bool:
    return text(version.get("sourceType")) in APP_SOURCES


def _complete(part: Record, rest: Record) -> Record:
    """Return a contact as it was after a write: the write's own fields and time over what was read later."""
    return replace(
        rest,
        values={**rest.values, **part.values},
        emails=part.emails | rest.emails,
        modified_ms=part.modified_ms or rest.modified_ms,
        unknown=rest.unknown - part.values.keys(),
    )


def _unread(reason: str) -> CallError:
    return CallError(Side.HUBSPOT, Failure.NO_ANSWER, f"unreadable answer: {reason}")


def _trace(item: CreateItem | UpdateItem) -> str:
    return item.trace


def _payment(purchase: Purchase) -> str:
    return purchase.payment_id
