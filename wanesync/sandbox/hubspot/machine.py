"""The stand-in HubSpot: one portal as a state machine."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.hubspot.access import RateLimiter, authenticate, token_of
from wanesync.sandbox.hubspot.answers import Answer, Json, Refusal, encode
from wanesync.sandbox.hubspot.api_versions import version_of
from wanesync.sandbox.hubspot.call import Call, parse_body, parse_query
from wanesync.sandbox.hubspot.contacts import IMPORT, USER, Contact
from wanesync.sandbox.hubspot.events import Events
from wanesync.sandbox.hubspot.notes import Notes
from wanesync.sandbox.hubspot.portal import Portal
from wanesync.sandbox.hubspot.routes import Route, Routes
from wanesync.sandbox.hubspot.scopes import Grants
from wanesync.sandbox.hubspot.settings import HubSpotSettings
from wanesync.sandbox.hubspot.setup_endpoints import TokenEndpoint
from wanesync.sandbox.journal import Journal
from wanesync.sandbox.limits import ArrivalCounter
from wanesync.sandbox.spoiled import enlarge, spoil
from wanesync.sandbox.stand_in import Delivery, Request, Response, WebhookTarget

__all__ = ["HubSpotMachine", "HubSpotSettings"]

URI_LIMIT = 16_000  # characters; longer ones are answered with 414
RECORD_ANSWERS = frozenset(
    {"contacts.read", "contacts.batch_read", "contacts.list", "contacts.create", "contacts.batch_create",
     "contacts.update", "contacts.batch_update"}
)  # fmt: skip
MEMBERS = ("properties", "properties.*", "updatedAt")  # what a contact in an answer may lack
JSON_HEADER = {"Content-Type": "application/json;charset=utf-8"}


class HubSpotMachine:
    """A ``StandIn`` for one portal with one app. ``edit`` lists the kinds of edits."""

    def __init__(self, rng: random.Random, settings: HubSpotSettings | None = None) -> None:
        self.settings = settings or HubSpotSettings()
        self.faults = Faults()
        self.portal = Portal(rng, self.settings, self.current_faults)
        self.journal: Journal = self.portal.journal
        self.events, self.notes = Events(), Notes()
        self.rate_limiter = RateLimiter(self.settings)
        self.grants = Grants()
        self.revoked_keys: set[str] = set()
        self.operations: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self._arrivals = ArrivalCounter()
        self._rng = rng
        self._routes = Routes(self.events, self.notes, self.rate_limiter)
        self._routes.add_setup(TokenEndpoint(self.grants))

    def arrive(self, request: Request, now_ms: int) -> Response | None:
        """Count a request and apply the limits; a response is a refusal."""
        self._arrivals.count(now_ms)
        headers: dict[str, str] = dict(JSON_HEADER)
        try:
            authenticate(request.headers, self.settings.app_id, self.revoked_keys)
            route, _ = self._find(request)
            self.operations[route.operation] += 1
            self.versions[version_of(request.path)] += 1
            self._admit(route, headers, now_ms)
            self.grants.check(token_of(request.headers), route.operation)
        except Refusal as refusal:
            return Response(refusal.status, headers, encode(refusal.body(self.portal.next_uuid())))
        return None

    def handle(self, request: Request, now_ms: int) -> Response:
        """Answer one API request; the path is percent-decoded."""
        refused = None if request.admitted else self.arrive(request, now_ms)
        if refused is not None:
            return refused
        headers: dict[str, str] = dict(JSON_HEADER)
        try:
            source = authenticate(request.headers, self.settings.app_id, self.revoked_keys)
            route, variables = self._find(request)
            if not route.searches:
                headers.update(self.rate_limiter.headers(now_ms))
            if self._occurs(self.faults.error_503):
                raise Refusal(503, "SERVICE_UNAVAILABLE", "HubSpot is temporarily unavailable")
            query = parse_query(request.query, route.query)
            body = parse_body(request.body, route.members) if route.members or request.body else {}
            answer = route.endpoint(self.portal, Call(now_ms, source, variables, query, body))
        except Refusal as refusal:
            return Response(refusal.status, headers, encode(refusal.body(self.portal.next_uuid())))
        return self._with_faults(route, answer, headers)

    def next_delivery_ms(self) -> int | None:
        """When the earliest waiting webhook is due, or None."""
        return self.portal.webhooks.outbox.next_ms()

    def take_deliveries(self, now_ms: int) -> Sequence[Delivery]:
        """The webhook POSTs due by now, signed."""
        return self.portal.webhooks.outbox.take(now_ms)

    def finish_delivery(self, delivery_id: int, status: int | None, now_ms: int) -> None:
        """Record the answer to one POST (None: no answer)."""
        self.portal.webhooks.outbox.finish(delivery_id, status, now_ms)

    def set_target(self, target: WebhookTarget | None) -> None:
        """Set where webhooks go from now on (None: nowhere)."""
        self.portal.webhooks.outbox.target = target

    def set_faults(self, faults: Faults) -> None:
        """Set the injected faults."""
        self.faults = faults

    def set_grants(self, key: str, grants: Iterable[str] | None) -> None:
        """Give a token these scopes and no others (None: all). Raises ValueError."""
        self.grants.grant(key, grants)

    def revoke(self, key: str) -> None:
        """Refuse a token from now on."""
        self.revoked_keys.add(key)

    def current_faults(self) -> Faults:
        """The injected faults."""
        return self.faults

    def set_rate(self, per_s: int | None) -> None:
        """Enforce another rate from now on (None: only the 10 s window of the tier)."""
        self.rate_limiter.set_rate(per_s)

    def edit(self, kind: str, record_id: str | None, values: Mapping[str, str], now_ms: int) -> str:
        """Edit a contact as a user does in HubSpot: the record id (of the survivor for a merge).

        Kinds: create, update, import (an update by an import file), delete, merge (``into``, ``from``, ``keeps_id``),
        erase (privacy deletion), restore (from the recycle bin), property (``record_id`` names a definition, see
        ``PropertyStore.redefine``). Raises ValueError.
        """
        try:
            if kind == "property":
                self.portal.redefine(record_id or "", values)
                return record_id or ""
            if kind == "restore":
                return str(self.portal.restore(record_id or "", USER, now_ms).id)
            if kind == "create":
                return str(self.portal.create(values, USER, now_ms).id)
            if kind == "merge":
                primary, other = self._contact(values.get("into")), self._contact(values.get("from"))
                keeps = values.get("keeps_id", "").lower() == "true" or self.settings.merge_keeps_id
                return str(self.portal.merge(primary, other, USER, now_ms, keeps_id=keeps).id)
            contact = self._contact(record_id)
            if kind in ("update", "import"):
                self.portal.change(contact, values, USER if kind == "update" else IMPORT, now_ms)
            elif kind in ("delete", "erase"):
                self.portal.delete(contact, USER, now_ms, private=kind == "erase")
            else:
                raise ValueError(
                    f"kind {kind!r}: expected create, update, import, delete, restore, merge, erase or property"
                )
        except Refusal as refusal:
            raise ValueError(refusal.message) from refusal
        return str(contact.id)

    def records(self) -> list[dict[str, str]]:
        """Every live contact: ``id`` and the set properties, by ascending id."""
        store = self.portal.contacts
        return [{"id": str(number), **store.live[number].properties} for number in store.order]

    def stats(self, now_ms: int) -> dict[str, object]:
        """Counts since the start; ``webhooks_waiting`` counts events, ``webhooks_sent`` and ``_failed`` POSTs."""
        outbox, store = self.portal.webhooks.outbox, self.events.store
        return {
            "requests": self._arrivals.total,
            "rate_limited": self.rate_limiter.refused,
            "largest_window_1s": self._arrivals.largest(),
            "used_of_10s_window": self.rate_limiter.rolling.used(now_ms),
            "webhooks_sent": outbox.sent,
            "webhooks_failed": outbox.failed,
            "webhooks_lost": outbox.lost,
            "webhooks_waiting": outbox.waiting(),
            "operations": dict(self.operations),
            "versions": dict(self.versions),
            "contacts": len(self.portal.contacts.live),
            "archived": len(self.portal.contacts.archived),
            "notes": len(self.notes.by_id),
            "events_sent": store.sent,
            "events_repeated": store.repeated,
            "events_unmatched": store.unmatched,
        }

    def _contact(self, record_id: str | None) -> Contact:
        contact = self.portal.contacts.get(record_id or "")
        if contact is None:
            raise ValueError(f"no contact has the id {record_id!r}")
        return contact

    def _find(self, request: Request) -> tuple[Route, tuple[str, ...]]:
        length = len(request.path) + sum(len(key) + len(value) + 2 for key, value in request.query)
        if length > URI_LIMIT:
            raise Refusal(414, "URI_TOO_LONG", "the request's address is too long; use a batch read")
        return self._routes.find(request.method, request.path)

    def _admit(self, route: Route, headers: dict[str, str], now_ms: int) -> None:
        try:
            self.rate_limiter.admit(route.searches, now_ms, self.portal.next_uuid())
        finally:
            if not route.searches:
                headers.update(self.rate_limiter.headers(now_ms))

    def _with_faults(self, route: Route, answer: Answer, headers: dict[str, str]) -> Response:
        """The response, changed by the faults that occur after the effects."""
        if route.creates and self._occurs(self.faults.error_500):
            gateway: Json = {"status": "error", "message": "Bad Gateway"}
            return Response(502, headers, encode(gateway))
        lost = route.writes and self._occurs(self.faults.lost_answer)
        body = answer.body
        if body is not None and route.operation in RECORD_ANSWERS:
            body = spoil(body, self.faults, self._rng, MEMBERS)
        if body is not None and route.operation == "contacts.list" and self._occurs(self.faults.endless_list):
            body = {**body, "paging": {"next": {"after": str(self._rng.randrange(1 << 50, 1 << 52))}}}
        return enlarge(Response(answer.status, headers, encode(body), lost), self.faults, self._rng)

    def _occurs(self, chance: float) -> bool:
        return bool(chance) and self._rng.random() < chance
