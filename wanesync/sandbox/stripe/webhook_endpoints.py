"""Webhook endpoints, and the list of events."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from wanesync.sandbox.stripe.account import EVENT_RETENTION_S
from wanesync.sandbox.stripe.call import LISTS, PAGES, Call, merge_metadata, show_page
from wanesync.sandbox.stripe.form import Array, Boolean, Form, Metadata, ParameterType, Text
from wanesync.sandbox.stripe.objects import Record, new_endpoint, show_deleted
from wanesync.sandbox.stripe.refusals import Refusal

MAX_ENDPOINTS = 16
"""docs.stripe.com/webhooks: so many of an account and mode."""
EVENT_TYPE = re.compile(r"\*|[a-z0-9_]+(\.[a-z0-9_]+)+")
SHARED: dict[str, ParameterType] = {
    "description": Text(),
    "enabled_events": Array(Text(clears=False)),
    "metadata": Metadata(),
    "url": Text(clears=False),
}
CREATE = Form({**SHARED, "api_version": Text(clears=False), "connect": Boolean()}, ("enabled_events", "url"))
UPDATE = Form({**SHARED, "disabled": Boolean()})
LIST = Form(PAGES)
EVENTS = Form(
    {**LISTS, "delivery_success": Boolean(), "type": Text(clears=False), "types": Array(Text(clears=False), 20)}
)


def check_params(params: Record) -> None:
    """Raise Refusal for an invalid URL, an empty list of events, and an invalid event type."""
    if "url" in params and not re.fullmatch(r"https?://[^\s/]+\S*", params["url"]):
        raise Refusal(
            400, "Invalid URL: An explicit scheme (such as https) must be provided.", code="url_invalid", param="url"
        )
    for number, name in enumerate(params.get("enabled_events", ())):
        if not EVENT_TYPE.fullmatch(name):
            where = f"enabled_events[{number}]"
            raise Refusal(400, f"Invalid {where}: must be one of the event types, or *", param=where)
    if params.get("enabled_events") == []:
        raise Refusal(400, "Invalid array: enabled_events must not be empty.", param="enabled_events")


def create(call: Call) -> Record:
    """POST /v1/webhook_endpoints: the only answer with the secret."""
    account, params = call.account, call.params
    check_params(params)
    if len(account.endpoints) >= MAX_ENDPOINTS:
        raise Refusal(400, f"You have reached the maximum of {MAX_ENDPOINTS} test webhook endpoints.")
    blank = new_endpoint(account.new_object("we_", call.cause, 24), params["url"], params["enabled_events"])
    record = blank | {
        "api_version": params.get("api_version"),
        "description": params.get("description"),
        "metadata": merge_metadata({}, params.get("metadata", {})),
    }
    secret = account.new_id("whsec_", 32)
    account.secrets[record["id"]] = secret
    account.store(account.endpoints, record, call.cause)
    account.webhooks.open_endpoint(record, secret)
    return {**record, "secret": secret}


def retrieve(call: Call) -> Record:
    """GET /v1/webhook_endpoints/{id}."""
    return call.account.find(call.account.endpoints, call.ids[0])


def update(call: Call) -> Record:
    """POST /v1/webhook_endpoints/{id}; disabling discards its waiting deliveries."""
    account, params = call.account, call.params
    record = account.find(account.endpoints, call.ids[0])
    check_params(params)
    changes: Record = {name: params[name] for name in ("description", "enabled_events", "url") if name in params}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(record["metadata"], params["metadata"])
    if "disabled" in params:
        changes["status"] = "disabled" if params["disabled"] else "enabled"
    record = account.change(account.endpoints, record, changes, call.cause)
    if record["status"] == "enabled":
        account.webhooks.open_endpoint(record, account.secrets[record["id"]])
    else:
        account.webhooks.close_endpoint(record["id"])
    return record


def delete(call: Call) -> Record:
    """DELETE /v1/webhook_endpoints/{id}."""
    account = call.account
    record = account.find(account.endpoints, call.ids[0])
    account.remove(account.endpoints, record["id"], call.cause)
    account.webhooks.close_endpoint(record["id"])
    account.secrets.pop(record["id"])
    return show_deleted("webhook_endpoint", record["id"])


def list_all(call: Call) -> Record:
    """GET /v1/webhook_endpoints."""
    return show_page(call, call.account.endpoints, call.account.endpoints.listed())


def list_events(call: Call) -> Record:
    """GET /v1/events: of the last 30 days; ``type`` may have a wildcard, ``types`` up to 20 names."""
    events, params = call.account.events, call.params
    if "type" in params and "types" in params:
        raise Refusal(400, "You may only specify one of these parameters: type, types.", param="types")
    events.forget_before(call.cause.now_s - EVENT_RETENTION_S)
    patterns = params.get("types") or ([params["type"]] if "type" in params else None)
    lists = events.listed()
    if patterns is not None:
        names = [name for name in events.values("type") if any(fnmatchcase(name, pattern) for pattern in patterns)]
        lists = events.listed("type", tuple(names))
    pending, wanted = call.account.webhooks.pending, params.get("delivery_success")
    page = show_page(
        call, events, lists, None if wanted is None else lambda event: (pending(event["id"]) == 0) == wanted
    )
    return {**page, "data": [{**event, "pending_webhooks": pending(event["id"])} for event in page["data"]]}


def retrieve_event(call: Call) -> Record:
    """GET /v1/events/{id}, for 30 days."""
    events = call.account.events
    events.forget_before(call.cause.now_s - EVENT_RETENTION_S)
    event = call.account.find(events, call.ids[0])
    return {**event, "pending_webhooks": call.account.webhooks.pending(event["id"])}
