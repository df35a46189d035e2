"""The stand-in Stripe: one account as a state machine, with its authentication, limits and faults."""

from __future__ import annotations

import base64
import binascii
import random
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from email.utils import formatdate
from urllib.parse import parse_qsl

import orjson

from wanesync.sandbox import json_text
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.journal import Journal
from wanesync.sandbox.limits import ArrivalCounter, RateWindow
from wanesync.sandbox.spoiled import enlarge, spoil
from wanesync.sandbox.stand_in import Delivery, Request, Response, WebhookTarget
from wanesync.sandbox.stripe.account import Account, Cause, StripeSettings, flatten_set
from wanesync.sandbox.stripe.billing.subscriptions import follow_payment
from wanesync.sandbox.stripe.call import Call, expand
from wanesync.sandbox.stripe.collection import FOREVER, Window
from wanesync.sandbox.stripe.dashboard import edit
from wanesync.sandbox.stripe.idempotency import IdempotencyStore, Stored, fingerprint
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.operations import Operation, find_operation
from wanesync.sandbox.stripe.permissions import Grants
from wanesync.sandbox.stripe.refusals import INVALID, Refusal, refuse_down, refuse_locked, refuse_path, refuse_rate

RECORD_ANSWERS = frozenset(
    {"GET /v1/customers/{id}", "POST /v1/customers/{id}", "POST /v1/customers", "GET /v1/customers"}
)
MEMBERS = ("address", "address.*", "business_name", "email", "metadata", "name", "phone")
"""What a customer in an answer may lack."""
TEST_KEY = re.compile(r"[sr]k_test_[A-Za-z0-9_]+")


def read_key(headers: Mapping[str, str], account_id: str, revoked: Collection[str] = ()) -> str:
    """The API key, from Bearer or Basic. Raises Refusal: 401 for an invalid key, 403 for another account."""
    key = _find_key(headers.get("authorization", ""))
    if not key:
        text = (
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
        raise Refusal(401, text).of_type(INVALID, {"WWW-Authenticate": 'Basic realm="Stripe"'})
    hidden = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else "*" * 8
    if not TEST_KEY.fullmatch(key):
        raise Refusal(401, f"Invalid API Key provided: {hidden}").of_type(
            INVALID, {"WWW-Authenticate": 'Basic realm="Stripe"'}
        )
    if key in revoked:
        raise Refusal(401, f"Expired API Key provided: {hidden}", code="api_key_expired").of_type(
            INVALID, {"WWW-Authenticate": 'Basic realm="Stripe"'}
        )
    wanted = headers.get("stripe-account", account_id)
    if wanted != account_id:
        text = (
            f"The provided key '{hidden}' does not have access to account '{wanted}' (or that account does not exist)."
        )
        raise Refusal(403, text, code="account_invalid")
    return key


def _find_key(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


__all__ = ["StripeMachine", "StripeSettings"]

FORM = "application/x-www-form-urlencoded"
SHORT_FORM = (
    "email name phone address shipping preferred_locales business_name individual_name description metadata currency"
).split()
VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?")
Pairs = list[tuple[str, str]]


class StripeMachine:
    """A ``StandIn`` for one account. ``account`` holds all records; ``dashboard.edit`` lists the kinds of edits.

    ``hold_key`` makes an idempotency key count as a request in progress.
    """

    def __init__(self, rng: random.Random, settings: StripeSettings | None = None) -> None:
        self.settings = settings or StripeSettings()
        self.account = Account(rng, self.settings)
        self.account.reactions["payment_intent.succeeded"] = follow_payment
        self._rng = rng
        self._answers = IdempotencyStore()
        self.grants = Grants(self.settings.account_id)
        self.revoked_keys: set[str] = set()
        self._arrivals = ArrivalCounter()
        self._global = RateWindow(self.settings.rate_per_s)
        self._search = RateWindow(self.settings.search_rate_per_s)
        self._windows: dict[str, RateWindow] = {}
        self._operations: Counter[str] = Counter()
        self._rate_limited = 0

    @property
    def journal(self) -> Journal:
        """Every committed change."""
        return self.account.journal

    def handle(self, request: Request, now_ms: int) -> Response:
        """Answer one API request."""
        refused = None if request.admitted else self.arrive(request, now_ms)
        if refused is not None:
            return refused
        self.account.timers.run(now_ms)
        request_id = self.account.new_id("req_")
        try:
            response = self._answer(request, request_id, now_ms)
        except Refusal as refusal:
            response = _render_refusal(refusal)
        return self._with_headers(request, request_id, response, now_ms)

    def arrive(self, request: Request, now_ms: int) -> Response | None:
        """Count a request and apply the limits; a response is a refusal."""
        self._arrivals.count(now_ms)
        try:
            operation, _ = self._find(request)
            self._operations[operation.name] += 1
            self._limit(operation, now_ms)
        except Refusal as refusal:
            self._rate_limited += "Stripe-Rate-Limited-Reason" in refusal.headers
            return self._with_headers(request, self.account.new_id("req_"), _render_refusal(refusal), now_ms)
        return None

    def _find(self, request: Request) -> tuple[Operation, tuple[str, ...]]:
        key = read_key(request.headers, self.settings.account_id, self.revoked_keys)
        found = find_operation(request.method, request.path)
        if found is None:
            raise refuse_path(request.method, request.path)
        self.grants.check(key, request.method, request.path)
        return found

    def _with_headers(self, request: Request, request_id: str, response: Response, now_ms: int) -> Response:
        """A response with the headers of every response."""
        headers = {
            "Content-Type": "application/json",
            "Date": formatdate(now_ms // 1000, usegmt=True),
            "Request-Id": request_id,
            "Stripe-Version": request.headers.get("stripe-version", self.settings.api_version),
            **response.headers,
        }
        if "idempotency-key" in request.headers and request.method == "POST":
            headers["Idempotency-Key"] = request.headers["idempotency-key"]
        if response.status == 429 and "Stripe-Rate-Limited-Reason" not in headers:
            # A lock time-out is not processed and has no request id (docs.stripe.com/rate-limits).
            del headers["Request-Id"]
        return replace(response, headers=headers)

    def edit(self, kind: str, record_id: str | None, values: Mapping[str, str], now_ms: int) -> str:
        """Edit a record as a user does in the Dashboard; see ``dashboard.edit``. Raises ValueError."""
        self.account.timers.run(now_ms)
        return edit(self.account, kind, record_id, values, Cause(now_ms, "user"))

    def next_delivery_ms(self) -> int | None:
        """When the earliest waiting webhook is due, or None."""
        due = (self.account.webhooks.next_ms(), self.account.timers.next_ms())
        return min((at_ms for at_ms in due if at_ms is not None), default=None)

    def take_deliveries(self, now_ms: int) -> Sequence[Delivery]:
        """The webhook POSTs due by now, newly signed."""
        self.account.timers.run(now_ms)
        return self.account.webhooks.take(now_ms)

    def finish_delivery(self, delivery_id: int, status: int | None, now_ms: int) -> None:
        """Record the answer to one POST: done if 2xx, otherwise retried later."""
        self.account.webhooks.finish(delivery_id, status, now_ms)

    def set_target(self, target: WebhookTarget | None) -> None:
        """Set where events go besides the webhook endpoints created through the API."""
        self.account.webhooks.set_target(target)

    def set_faults(self, faults: Faults) -> None:
        """Set the injected faults."""
        self.account.faults = faults

    def revoke(self, key: str) -> None:
        """Refuse a key from now on."""
        self.revoked_keys.add(key)

    def set_grants(self, key: str, grants: Iterable[str] | None) -> None:
        """Give a restricted key these permissions and no others (None: all). Raises ValueError."""
        self.grants.grant(key, grants)

    def set_limits(self, rate_per_s: int, operation_rate_per_s: int | None, search_rate_per_s: int) -> None:
        """Set the limits; None: single operations have only the limit of the account."""
        self.settings = replace(
            self.settings,
            rate_per_s=rate_per_s,
            operation_rate_per_s=operation_rate_per_s,
            search_rate_per_s=search_rate_per_s,
        )
        self._global.limit, self._search.limit = rate_per_s, search_rate_per_s

    def set_rate(self, per_s: int) -> None:
        """Set the limit of the account and none for single operations; search keeps its own."""
        self.set_limits(per_s, None, self.settings.search_rate_per_s)

    def records(self) -> list[dict[str, str]]:
        """Every existing customer, oldest first: ``id`` and the set values, such as ``address.city``."""
        rows, _ = self.account.customers.page(Window(FOREVER), self.account.customers.listed())
        return [{"id": row["id"], **flatten_set(row, SHORT_FORM)} for row in reversed(rows)]

    def hold_key(self, key: str) -> None:
        """Treat a request with this idempotency key as in progress: further ones get 409."""
        self._answers.hold(key)

    def release_key(self, key: str) -> None:
        """End the request in progress."""
        self._answers.release(key)

    def stats(self, now_ms: int) -> dict[str, object]:
        """Counts since the start."""
        return {
            "at_ms": now_ms,
            "requests": self._arrivals.total,
            "rate_limited": self._rate_limited,
            "largest_window_1s": self._arrivals.largest(),
            **self.account.webhooks.counts(),
            "customers": len(self.account.customers),
            "charges": len(self.account.charges),
            "events": len(self.account.events),
            "operations": dict(self._operations),
        }

    def _answer(self, request: Request, request_id: str, now_ms: int) -> Response:
        key = read_key(request.headers, self.settings.account_id, self.revoked_keys)
        operation, ids = self._find(request)
        if self._occurs(self.account.faults.error_503):
            raise refuse_down(503)
        pairs = _read_pairs(request)
        idempotency_key = request.headers.get("idempotency-key") if request.method == "POST" else None
        request_fingerprint = fingerprint(pairs) if idempotency_key else ""
        if idempotency_key:
            stored = self._answers.find(idempotency_key, request.path, request_fingerprint, now_ms)
            if stored is not None:
                return _replay(stored)
        params = operation.form.read(pairs)
        cause = Cause(now_ms, f"api:{key[-4:]}", request_id, idempotency_key)
        call = Call(self.account, request.path, ids, params, cause, key)
        response, executed = self._run(operation, call)
        if idempotency_key and executed:
            kept = Stored(request.path, request_fingerprint, response.status, response.body, request_id, now_ms)
            self._answers.keep(idempotency_key, kept)
        return self._spoiled(operation, response)

    def _spoiled(self, operation: Operation, response: Response) -> Response:
        """The response as it arrives; what is kept under its key is whole."""
        faults = self.account.faults
        if (
            (faults.empty_answer or faults.partial_answer)
            and response.status == 200
            and operation.name in RECORD_ANSWERS
        ):
            body = spoil(orjson.loads(response.body), faults, self._rng, MEMBERS)
            response = replace(response, body=json_text.write(body))
        return enlarge(response, faults, self._rng)

    def _limit(self, operation: Operation, now_ms: int) -> None:
        """Raise the 429. The window of the operation is first: a refusal there takes no slot of the account."""
        rate = self.settings.operation_rate_per_s
        if operation.is_search:
            if not self._search.admit(now_ms):
                raise refuse_rate("endpoint-rate")
        elif rate is not None:
            window = self._windows.setdefault(operation.name, RateWindow(rate))
            window.limit = rate
            if not window.admit(now_ms):
                raise refuse_rate("endpoint-rate")
        if not self._global.admit(now_ms):
            raise refuse_rate("global-rate")

    def _run(self, operation: Operation, call: Call) -> tuple[Response, bool]:
        """Run the operation with the injected faults; True: it was executed, so the key stores the answer."""
        faults, writes = self.account.faults, operation.method != "GET"
        if writes and call.ids and self._occurs(faults.lock):
            raise refuse_locked()
        broken = operation.method == "POST" and self._occurs(faults.error_500)
        if broken and self._rng.random() < 0.5:
            return _render_refusal(refuse_down(500)), True
        try:
            shown = operation.run(call)
            response = Response(200, {}, json_text.write(self._expand(shown, call)))
        except Refusal as refusal:
            if not refusal.executed:
                raise
            response = _render_refusal(refusal)
        if broken:
            # It took effect, but the answer does not show it: the outcome is indeterminate for the caller.
            response = _render_refusal(refuse_down(500))
        return replace(response, lost=writes and self._occurs(faults.lost_answer)), True

    def _expand(self, shown: Record, call: Call) -> Record:
        paths = call.params.get("expand")
        if not paths:
            return shown
        opened = expand(self.account, shown, paths)
        self.grants.check_expanded(call.key, opened)
        return opened

    def _occurs(self, probability: float) -> bool:
        return probability > 0 and self._rng.random() < probability


def _render_refusal(refusal: Refusal) -> Response:
    return Response(refusal.status, refusal.headers, orjson.dumps({"error": refusal.error}))


def _replay(stored: Stored) -> Response:
    headers = {"Idempotent-Replayed": "true", "Original-Request": stored.request_id}
    if stored.status >= 500:
        headers["Stripe-Should-Retry"] = "false"
    return Response(stored.status, headers, stored.body)


def _read_pairs(request: Request) -> Pairs:
    """The query and form parameters. Raises Refusal for another content type and for unreadable bodies."""
    version = request.headers.get("stripe-version")
    if version is not None and not VERSION.fullmatch(version):
        raise Refusal(400, f"Invalid Stripe API version: {version}")
    pairs = list(request.query)
    if request.method == "GET" or not request.body:
        return pairs
    if request.headers.get("content-type", FORM).partition(";")[0].strip().lower() != FORM:
        raise Refusal(400, f"Invalid request (check that your POST content type is {FORM}).")
    try:
        text = request.body.decode("utf-8")
        return pairs + parse_qsl(text, keep_blank_values=True, max_num_fields=1000, errors="strict")
    except ValueError as error:
        raise Refusal(400, "Invalid request: the body could not be read as an UTF-8 form.") from error
