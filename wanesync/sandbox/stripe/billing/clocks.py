"""Test clocks: a time of their own for some customers, whose subscriptions renew when it is advanced."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.billing import subscriptions
from wanesync.sandbox.stripe.call import Call
from wanesync.sandbox.stripe.form import Form, Integer, Text
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.refusals import Refusal
from wanesync.sandbox.stripe.resources import Operation, Resource, ignored

CLOCKS = Resource("test_helpers.test_clock", "/v1/test_helpers/test_clocks")
CREATE = Form({"frozen_time": Integer(0), "name": Text(300), **ignored("customer")}, ("frozen_time",))
ADVANCE = Form({"frozen_time": Integer(0)}, ("frozen_time",))
KEPT_S = 30 * 24 * 3600
MAX_PERIODS = 24  # an advance is at most two intervals at Stripe; this bounds daily subscriptions


def create(call: Call) -> Record:
    """POST /v1/test_helpers/test_clocks."""
    new_object = call.account.new_object("clock_", call.cause, 24)
    record: Record = {
        "id": new_object.id,
        "object": CLOCKS.kind,
        "created": new_object.created,
        "deletes_after": new_object.created + KEPT_S,
        "frozen_time": call.params["frozen_time"],
        "livemode": False,
        "name": call.params.get("name"),
        "status": "ready",
        "status_details": {},
    }
    return CLOCKS.announce(call, record)


def advance(call: Call) -> Record:
    """POST /v1/test_helpers/test_clocks/{id}/advance: it is ready again a little later."""
    account, record, at_s = call.account, CLOCKS.find(call), call.params["frozen_time"]
    if record["status"] != "ready":
        raise Refusal(400, "The test clock is still advancing.", code="test_clock_advancing").after_start()
    if at_s <= record["frozen_time"]:
        text = "A test clock can only be advanced to a later time."
        raise Refusal(400, text, param="frozen_time").after_start()
    details = {"advancing": {"target_frozen_time": at_s}}
    record = account.change(
        account.more[CLOCKS.kind], record, {"status": "advancing", "status_details": details}, call.cause
    )
    account.emit("test_helpers.test_clock.advancing", record, call.cause)
    due_ms = call.cause.now_ms + account.settings.settle_ms
    account.timers.set(due_ms, lambda at_ms: _arrive(account, record["id"], at_s, at_ms))
    return record


def delete(call: Call) -> Record:
    """DELETE /v1/test_helpers/test_clocks/{id}, with its customers, which end their subscriptions."""
    account, record = call.account, CLOCKS.find(call)
    for row in _subscriptions(account, record["id"]):
        subscriptions.end(account, row, call.cause)
    return CLOCKS.delete(call)


def _arrive(account: Account, clock_id: str, at_s: int, at_ms: int) -> None:
    record, cause = account.more[CLOCKS.kind].get(clock_id), Cause(at_ms, "stripe")
    if record is None:
        return
    for each in _subscriptions(account, clock_id):
        row = each
        for _ in range(MAX_PERIODS):
            if row["items"]["data"][0]["current_period_end"] > at_s or row["status"] in ("canceled", "paused"):
                break
            row = subscriptions.renew(account, row, cause)
    record = account.change(
        account.more[CLOCKS.kind], record, {"frozen_time": at_s, "status": "ready", "status_details": {}}, cause
    )
    account.emit("test_helpers.test_clock.ready", record, cause)


def _subscriptions(account: Account, clock_id: str) -> list[Record]:
    rows = account.more["subscription"].all_of("test_clock", clock_id)
    return [row for row in rows if row["status"] not in ("canceled", "incomplete")]


OPERATIONS = (
    Operation("POST", CLOCKS.path, CREATE, create),
    Operation("POST", f"{CLOCKS.one}/advance", ADVANCE, advance),
    Operation("DELETE", CLOCKS.one, Form(), delete),
    *CLOCKS.reads(),
)
