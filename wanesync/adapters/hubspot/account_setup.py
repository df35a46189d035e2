"""What a set-up reads from HubSpot (``core.setup_facts.HubSpotSetupPort``): scopes, quota, properties and rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wanesync.adapters.hubspot import search, setup
from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions
from wanesync.adapters.hubspot.api_paths import DEFINITION, RULES, TOKEN_INFO, USAGE
from wanesync.adapters.hubspot.client import HubSpotClient
from wanesync.adapters.hubspot.contacts import field_names
from wanesync.adapters.hubspot.errors import ErrorTable, read_unreadable
from wanesync.adapters.hubspot.purchases import EVENT_PROPERTIES
from wanesync.adapters.json_values import epoch_ms, mapping, rows, text, whole
from wanesync.core.errors import CallError, Failure
from wanesync.core.fields import FieldMap
from wanesync.core.ports import Account, Limits
from wanesync.core.setup.portal_checks import PortalFacts
from wanesync.core.setup.setup_facts import DailyUsage, PropertyDetail, RecentChange, TokenFacts

CONTACTS = "0-1"
"""Object type of contacts."""
CREATED = "createdate"
MAX_HISTORIES = 50
"""Most contacts of one read with histories (HubSpot, contacts guide)."""
CREATION_MS = 5_000
"""Changes within this time of a creation belong to it: whether HubSpot sends webhooks for them is not documented."""


class HubSpotSetup:
    """One portal, as a set-up sees it."""

    def __init__(self, options: HubSpotOptions, fields: FieldMap) -> None:
        self._token, self._event_name = options.token, options.event_name
        self._adapter = HubSpotAdapter(options, fields)
        table = ErrorTable(field_names(fields))
        self._client = HubSpotClient(
            options.token, options.base_url, table, version=options.api_version, network=options.network
        )
        self._client.put_gate(options.gate)

    @property
    def last_limits(self) -> Limits:
        """The app's limits according to the newest answer."""
        return self._adapter.last_limits

    def account(self) -> Account:
        """Return portal id, mode and clock."""
        return self._adapter.account()

    def inspect(self) -> PortalFacts:
        """Return what the account has (two requests)."""
        return self._adapter.inspect()

    def can_define_events(self) -> bool:
        """Return whether event definitions can be read."""
        return self._adapter.can_define_events()

    def can_read_contacts(self) -> bool:
        """Return whether contacts can be read."""
        try:
            self._adapter.list_contacts("", 1)
        except CallError as error:
            if error.failure is Failure.FORBIDDEN:
                return False
            raise
        return True

    def read_token(self) -> TokenFacts:
        """Return what the token may do (private apps guide; answers for project apps and service keys as well)."""
        reply = self._client.call_path("POST", TOKEN_INFO, body={"tokenKey": self._token})
        scopes = frozenset(map(text, rows(reply.body.get("scopes"))))
        portal = text(reply.body.get("hubId"))
        if not portal or not scopes:
            raise read_unreadable(reply.status, "a token without portal or scopes")
        return TokenFacts(portal, text(reply.body.get("appId")), scopes)

    def read_usage(self) -> DailyUsage:
        """Return the day's requests of all private apps of the account."""
        reply = self._client.call_path("GET", USAGE)
        shown = next((mapping(entry) for entry in rows(reply.body.get("results"))), {})
        return DailyUsage(whole(shown.get("currentUsage")) or 0, whole(shown.get("usageLimit")) or 0)

    def read_details(self) -> Mapping[str, PropertyDetail]:
        """Return what each property accepts (two requests); rules only where the account shows them."""
        properties = setup.read_properties(self._client)
        rules = self._read_rules()
        return {name: _read_detail(entry, rules.get(name, ())) for name, entry in properties.items() if name}

    def read_recent_changes(self, since_ms: int, properties: Sequence[str]) -> Sequence[RecentChange]:
        """Return the changes of properties, without those that came with the creation of a contact (two requests)."""
        found = sorted(search.find_modified(self._client, since_ms, ""), key=lambda hit: -hit[1])[:MAX_HISTORIES]
        if not found:
            return []
        asked = {
            "properties": [CREATED],
            "propertiesWithHistory": list(properties),
            "inputs": [{"id": record_id} for record_id, _ in found],
        }
        reply = self._client.call(self._client.contact_batches.read, asked)
        contacts = [mapping(raw) for raw in rows(reply.body.get("results"))]
        return [change for contact in contacts for change in _read_changes(contact, since_ms)]

    def find_event_gaps(self) -> Sequence[str]:
        """Return what the definition of our event lacks: it may have been made by hand, or by an earlier release."""
        try:
            reply = self._client.call_path("GET", DEFINITION, eventName=self._event_name)
        except CallError as error:
            if error.failure not in (Failure.FORBIDDEN, Failure.NOT_FOUND, Failure.REFUSED):
                raise
            return []
        shown = {
            text(entry.get("name")): text(entry.get("type"))
            for entry in map(mapping, rows(reply.body.get("properties")))
        }
        return [name for name, (_, kind) in EVENT_PROPERTIES.items() if shown.get(name) != kind] if shown else []

    def _read_rules(self) -> dict[str, tuple[str, ...]]:
        """Return property -> kinds of its validation rules (property validations guide)."""
        try:
            reply = self._client.call_path("GET", RULES, objectTypeId=CONTACTS)
        except CallError as error:
            if error.failure not in (Failure.FORBIDDEN, Failure.NOT_FOUND, Failure.UNAVAILABLE):
                raise
            return {}
        return {
            text(entry.get("propertyName")): tuple(
                text(mapping(rule).get("ruleType")) for rule in rows(entry.get("propertyValidationRules"))
            )
            for entry in map(mapping, rows(reply.body.get("results")))
        }


def _read_changes(contact: Mapping[str, object], since_ms: int) -> Iterator[RecentChange]:
    created_ms = epoch_ms(mapping(contact.get("properties")).get(CREATED) or contact.get("createdAt"))
    first_ms = max(since_ms, created_ms + CREATION_MS)
    for name, versions in mapping(contact.get("propertiesWithHistory")).items():
        for version in map(mapping, rows(versions)):
            at_ms = epoch_ms(version.get("timestamp"))
            if at_ms >= first_ms:
                yield RecentChange(text(contact.get("id")), name, at_ms)


def _read_detail(entry: Mapping[str, object], rules: tuple[str, ...]) -> PropertyDetail:
    metadata = mapping(entry.get("modificationMetadata"))
    shown = [option for option in map(mapping, rows(entry.get("options"))) if option.get("hidden") is not True]
    return PropertyDetail(
        type=text(entry.get("type")) or "string",
        read_only=metadata.get("readOnlyValue") is True or entry.get("calculated") is True,
        options=tuple(text(option.get("value")) for option in shown),
        rules=rules,
    )
