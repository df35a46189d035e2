"""The portal: its records, and the only functions that change contacts.

Each change updates the store, the history, the search index, the journal and the webhooks together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from uuid import UUID

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.hubspot.answers import Problem, Refusal, bad_request, conflict, invalid
from wanesync.sandbox.hubspot.contacts import MERGE, USER, Contact, ContactStore, Source, Version, number_of
from wanesync.sandbox.hubspot.properties import PropertyStore, later_stage
from wanesync.sandbox.hubspot.search_index import SearchIndex
from wanesync.sandbox.hubspot.settings import HubSpotSettings
from wanesync.sandbox.hubspot.webhooks import EventContext, Webhooks
from wanesync.sandbox.journal import Journal

RESTORE_MS = (
    90 * 86_400_000
)  # how long a contact stays in the recycle bin (knowledge.hubspot.com, Restore deleted records)
FIRST_ID = 171_000_000_000  # beyond 31 bits, as real ids are
IDENTITIES_LIMIT = 250  # merged records of one contact (knowledge.hubspot.com, Merge records)


class Portal:
    """All state of one HubSpot account."""

    def __init__(self, rng: random.Random, settings: HubSpotSettings, faults: Callable[[], Faults]) -> None:
        self.rng, self.settings = rng, settings
        self.contacts = ContactStore()
        self.properties = PropertyStore()
        self.search_index = SearchIndex(settings.search_lag_ms)
        self.webhooks = Webhooks(rng, settings, faults)
        self.journal = Journal()
        self.blocked_emails: set[str] = set()
        self._last_id, self._faults = FIRST_ID, faults

    def next_id(self) -> int:
        """A new record id: ascending, with gaps."""
        self._last_id += self.rng.randint(1, 9)
        return self._last_id

    def next_uuid(self) -> str:
        """A new correlation or request id."""
        return str(UUID(int=self.rng.getrandbits(128), version=4))

    def occurs(self, chance: float) -> bool:
        """Whether something of this probability happens now; draws nothing where it cannot."""
        return bool(chance) and self.rng.random() < chance

    @property
    def faults(self) -> Faults:
        """The injected faults."""
        return self._faults()

    def check(self, contact: Contact | None, values: Mapping[str, str], source: Source) -> None:
        """Raise the Refusal for invalid or conflicting values of ``contact`` (None: a new contact)."""
        problems = self.properties.unknown(values) + self.properties.problems(values, source is USER)
        if contact is None and source is not USER:
            problems += self.properties.lacking(values)
        if problems:
            raise invalid(problems)
        if contact is None and not any(values.get(name) for name in ("email", "firstname", "lastname")):
            raise bad_request("At least one of email, firstname or lastname is needed to create a contact")
        holder_id = None if contact is None else contact.id
        for email in addresses(values):
            if email in self.blocked_emails:
                raise invalid([Problem("email", "INVALID_EMAIL", "email has been GDPR blacklisted")])
            holder = self.contacts.by_value("email", email)
            if holder is not None and holder.id != holder_id:
                raise conflict(holder.id)
        self._check_uniques(holder_id, values)

    def _check_uniques(self, holder_id: int | None, values: Mapping[str, str]) -> None:
        for name in self.contacts.uniques:
            holder = self.contacts.by_value(name, values.get(name, ""))
            if holder is not None and holder.id != holder_id:
                message = (
                    f"Cannot set PropertyValueCoordinates{{portalId={self.settings.portal_id}, objectTypeId="
                    f"ObjectTypeId{{legacyObjectType=CONTACT}}, propertyName={name}, value={values[name]}}} "
                    f"on {holder_id}. {holder.id} already has that value."
                )
                raise invalid([Problem(name, "CONFLICTING_UNIQUE_VALUE", message)])

    def create(self, values: Mapping[str, str], source: Source, now_ms: int) -> Contact:
        """Create a contact. Raises Refusal."""
        self.check(None, values, source)
        properties = {name: value for name, value in self._kept(values).items() if value != ""}
        properties.setdefault("lifecyclestage", "lead")
        contact = Contact(self.next_id(), properties, now_ms, now_ms, source)
        lag_ms = self._faults().read_lag_ms
        contact.visible_ms = now_ms + self.rng.randint(0, lag_ms) if lag_ms else 0
        self.contacts.add(contact)
        self.search_index.put(contact, now_ms)
        self.journal.add(now_ms, "contact.created", str(contact.id), source.tag, properties)
        context = EventContext(contact.id, now_ms, source)
        self.webhooks.created(context)
        if self.settings.emit_initial_changes:
            self.webhooks.changed(context, self._visible(properties))
        return contact

    def change(self, contact: Contact, values: Mapping[str, str], source: Source, now_ms: int) -> None:
        """Set values of a contact; equal values change nothing. Raises Refusal."""
        self.check(contact, values, source)
        changes = {
            name: value for name, value in self._kept(values).items() if contact.properties.get(name, "") != value
        }
        stage = changes.get("lifecyclestage")
        if stage is not None and not later_stage(contact.properties.get("lifecyclestage"), stage):
            del changes["lifecyclestage"]  # ignored without an error, as HubSpot does
        if not changes:
            return
        at_ms = self._touch(contact, now_ms)
        for name, value in changes.items():
            contact.later.setdefault(name, []).append(Version(value, at_ms, source))
        merged = {**contact.properties, **changes}
        self.contacts.replace(contact, {name: value for name, value in merged.items() if value != ""})
        self.search_index.put(contact, now_ms)
        self.journal.add(now_ms, "contact.updated", str(contact.id), source.tag, changes)
        self.webhooks.changed(EventContext(contact.id, at_ms, source), self._visible(changes))

    def delete(self, contact: Contact, source: Source, now_ms: int, private: bool = False) -> None:
        """Move a contact into the recycle bin; a privacy deletion is permanent."""
        at_ms = self._touch(contact, now_ms)
        self.contacts.remove(contact, None if private else now_ms)
        self.search_index.drop(contact.id, now_ms)
        self.journal.add(now_ms, "contact.deleted", str(contact.id), source.tag, {})
        self.webhooks.deleted(EventContext(contact.id, at_ms, source), private)

    def restore(self, record_id: str, source: Source, now_ms: int) -> Contact:
        """Bring a contact back from the recycle bin, with its id and values. Raises Refusal."""
        contact = self.contacts.archived.get(number_of(record_id) or 0)
        if contact is None or contact.archived_ms is None or now_ms - contact.archived_ms > RESTORE_MS:
            raise bad_request(f"no contact with the id {record_id!r} is in the recycle bin")
        taken = [email for email in contact.emails() if self.contacts.by_value("email", email) is not None]
        if taken:
            raise conflict(None)
        self._check_uniques(contact.id, contact.properties)
        at_ms = self._touch(contact, now_ms)
        self.contacts.bring_back(contact)
        self.search_index.put(contact, now_ms)
        self.journal.add(now_ms, "contact.restored", str(contact.id), source.tag, contact.properties)
        self.webhooks.restored(EventContext(contact.id, at_ms, source))
        return contact

    def redefine(self, name: str, values: Mapping[str, str]) -> None:
        """Change a property definition as an admin does; see ``PropertyStore.redefine``. Raises Refusal."""
        self.properties.redefine(name, values)

    def merge(
        self, primary: Contact, other: Contact, source: Source, now_ms: int, *, keeps_id: bool = False
    ) -> Contact:
        """Merge two contacts: values of the primary win, other addresses become additional ones.

        The survivor is a new contact, unless ``keeps_id``: then it is the primary one with its id.
        """
        gone_now = ((other.id, now_ms),) if keeps_id else ((primary.id, now_ms), (other.id, now_ms))
        absorbed = (*primary.absorbed, *other.absorbed, *gone_now)
        if primary.id == other.id:
            raise bad_request("Cannot merge a contact with itself")
        if len(absorbed) > IDENTITIES_LIMIT:
            raise Refusal(414, "VALIDATION_ERROR", f"Cannot have more than {IDENTITIES_LIMIT} identities")
        moved = {name: value for name, value in other.properties.items() if name not in primary.properties}
        emails = list(dict.fromkeys(primary.emails() + other.emails()))
        properties = {**moved, **primary.properties}
        if emails:
            properties["email"] = emails[0]
        if emails[1:]:
            properties["hs_additional_emails"] = ";".join(emails[1:])
        properties["hs_merged_object_ids"] = ";".join(str(number) for number, _ in absorbed)
        properties["hs_calculated_merged_vids"] = ";".join(f"{number}:{at_ms}" for number, at_ms in absorbed)
        at_ms = max(self._touch(primary, now_ms), self._touch(other, now_ms))
        for contact in (other,) if keeps_id else (primary, other):
            self.contacts.remove(contact)
            self.search_index.drop(contact.id, now_ms)
        if keeps_id:
            survivor = primary
            for name in properties.keys() - primary.properties.keys():
                survivor.later.setdefault(name, []).append(Version(properties[name], at_ms, MERGE))
            survivor.modified_ms = at_ms
            self.contacts.replace(survivor, properties)
        else:
            survivor = Contact(self.next_id(), properties, min(primary.created_ms, other.created_ms), at_ms, MERGE)
            self.contacts.forward[primary.id] = survivor.id
            self.contacts.add(survivor)
        survivor.absorbed = absorbed
        self.contacts.forward[other.id] = survivor.id
        self.search_index.put(survivor, now_ms)
        gone = {"primary": str(primary.id), "merged": str(other.id)}
        self.journal.add(now_ms, "contact.merged", str(survivor.id), source.tag, gone)
        self.webhooks.merged(EventContext(primary.id, at_ms, source), other.id, survivor.id, len(moved))
        return survivor

    def _kept(self, values: Mapping[str, str]) -> dict[str, str]:
        """The values as they are stored: normalized, and shortened where the definition says so."""
        return {name: self.properties.by_name[name].keep(value) for name, value in normalized(values).items()}

    def _touch(self, contact: Contact, now_ms: int) -> int:
        # Strictly ascending: it orders the states of one contact.
        contact.modified_ms = max(now_ms, contact.modified_ms + 1)
        return contact.modified_ms

    def _visible(self, changes: Mapping[str, str]) -> dict[str, str]:
        """The changes that send webhooks, each as a webhook holds it."""
        items = {name: self.properties.by_name[name] for name in changes}
        return {name: items[name].tell(value) for name, value in changes.items() if not items[name].hidden}


def addresses(values: Mapping[str, str]) -> list[str]:
    """All e-mail addresses in the values, in lower case."""
    secondary = values.get("hs_additional_emails", "").split(";")
    return [email.strip().lower() for email in (values.get("email", ""), *secondary) if email.strip()]


def normalized(values: Mapping[str, str]) -> dict[str, str]:
    """The values as HubSpot stores them: e-mail addresses trimmed and in lower case, the others unchanged."""
    return {
        name: ";".join(addresses({name: value})) if name in ("email", "hs_additional_emails") else value
        for name, value in values.items()
    }
