"""Planted set-up faults: ``wanesync doctor`` names each in one line with the way out; a healthy one shows none."""

from __future__ import annotations

import base64
import datetime as dt
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.lanes import start_processes
from tests.support.set_up import PERMISSIONS, STRIPE_KEY, Handler, SetUp
from tests.support.stripe_client import Client
from wanesync.adapters.hubspot import account_setup
from wanesync.adapters.hubspot.adapter import HubSpotAdapter
from wanesync.adapters.stripe.events import EVENT_TYPES
from wanesync.core.model import Event, Side
from wanesync.core.setup import api_versions
from wanesync.core.setup.permissions import DEFINE_EVENTS, READ_CONTACTS, SEND_EVENTS, WRITE_CONTACTS
from wanesync.ops.checks import webhooks
from wanesync.reconcile.missed_count import store_missed
from wanesync.sandbox import server as sandbox_server
from wanesync.sandbox.hubspot.scopes import KNOWN
from wanesync.sandbox.server import HUBSPOT_KEY
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.store.tables.operating.webhook_counts import Outcome

Plant = Callable[[SetUp, pytest.MonkeyPatch], None]
FAULTS: dict[str, tuple[Plant, str, str]] = {}
"""Name -> what plants it, and what the one line must say: what is wrong, and the way out."""


def fault(text: str, fix: str) -> Callable[[Plant], Plant]:
    def add(plant: Plant) -> Plant:
        FAULTS[plant.__name__] = (plant, text, fix)
        return plant

    return add


# -- keys and accounts


@fault("HubSpot refuses the key", "copy the access token from the app's Auth tab into hubspot.access_token")
def hubspot_token_is_wrong(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.write("hubspot-token", "cat-na1-0000")


@fault("Stripe refuses the key", "copy the key from Developers, API keys into stripe.api_key")
def stripe_key_is_deleted(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.write("stripe-key", "rk_test_deleted-key")


@fault("the key is of 4242, this configuration and database of 17", "put a key of 17 into hubspot.access_token")
def key_is_of_another_portal(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.open().run(lambda tx: tx.settings.put("pin_portal", "17"))


@fault("this configuration and database of acct_other", "put a key of acct_other into stripe.api_key")
def key_is_of_another_account(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.open().run(lambda tx: tx.settings.put("pin_stripe_account", "acct_other"))


@fault("the key is a test key, the database belongs to live mode", "use a live key in stripe.api_key")
def key_is_of_the_other_mode(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.open().run(lambda tx: tx.settings.put("pin_stripe_mode", "live"))


@fault("HubSpot is a live account and Stripe is in test mode", "or both live")
def modes_are_mixed(_setup: SetUp, patch: pytest.MonkeyPatch) -> None:
    made = HubSpotAdapter.account
    patch.setattr(HubSpotAdapter, "account", lambda adapter: replace(made(adapter), mode="live"))


@fault("HubSpot cannot be reached", "check the network, [network] proxy and ca_bundle, and hubspot.base_url")
def hubspot_is_unreachable(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.change(setup.sandbox.hubspot_url, "http://127.0.0.1:9")


# -- rights


@fault(f"{WRITE_CONTACTS} is missing, no contact can be written", "add it to requiredScopes")
def scope_to_write_is_missing(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.sandbox.hubspot.set_grants(HUBSPOT_KEY, KNOWN - {WRITE_CONTACTS})


@fault(f"{READ_CONTACTS} is missing, no contact can be read", "hs project upload")
def scope_to_read_is_missing(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.sandbox.hubspot.set_grants(HUBSPOT_KEY, KNOWN - {READ_CONTACTS})


@fault("are missing, so that purchases become notes", 'or set purchases.sink = "note"')
def scopes_of_events_are_missing(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.sandbox.hubspot.set_grants(HUBSPOT_KEY, KNOWN - {DEFINE_EVENTS, SEND_EVENTS})


@fault(f"{SEND_EVENTS} is missing, purchases cannot be sent", "then approve it on the app's page")
def scope_of_the_configured_sink_is_missing(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.write(setup.file.name, setup.file.read_text() + '[purchases]\nsink = "custom_event"\n')
    setup.sandbox.hubspot.set_grants(HUBSPOT_KEY, KNOWN - {SEND_EVENTS})


@fault(f"{DEFINE_EVENTS} is missing, the event of purchases cannot be defined", "add it to requiredScopes")
def scope_to_define_the_event_is_missing(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.write(setup.file.name, setup.file.read_text() + '[purchases]\nsink = "custom_event"\n')
    setup.sandbox.hubspot.set_grants(HUBSPOT_KEY, KNOWN - {DEFINE_EVENTS})


def _without(permission: str) -> list[str]:
    return [held for held in PERMISSIONS if not held.startswith(permission)]


@fault("the restricted key may not read Charges and Refunds", "set Charges and Refunds to Read")
def stripe_key_may_not_read_charges(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.sandbox.stripe.set_grants(STRIPE_KEY, _without("charge"))


@fault("the restricted key may not read Events", "set Events to Read")
def stripe_key_may_not_read_events(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.sandbox.stripe.set_grants(STRIPE_KEY, _without("event"))


@fault("the restricted key may not read Customers", "set Customers to Write")
def stripe_key_may_not_read_customers(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.sandbox.stripe.set_grants(STRIPE_KEY, _without("customer"))


@fault("the event stripe_purchase lacks amount, or has them with another type", "set another purchases.event_name")
def event_has_another_type(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    definitions = setup.sandbox.hubspot.events.store.definitions
    (name,) = definitions
    definitions[name] = replace(definitions[name], types={**definitions[name].types, "amount": "number"})


@fault("which accounts it belongs to is not known yet", "run wanesync init")
def accounts_are_not_known(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.open().run(lambda tx: tx.settings.drop("pin_portal"))
    setup.change("[hubspot]", "[hubspot]\nportal_id = 4242")


@fault("the subscription of this account has no custom events", 'set purchases.sink = "note" (or "auto")')
def subscription_has_no_custom_events(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.write(setup.file.name, setup.file.read_text() + '[purchases]\nsink = "custom_event"\n')
    portal = setup.sandbox.hubspot.portal
    portal.settings = replace(portal.settings, tier="professional")


@fault("stripe:customers.create is paused (permission rak_customer_write", "mend what it says")
def stripe_key_may_not_write(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    reason = "permission rak_customer_write is missing"
    setup.open().run(lambda tx: tx.pauses.set("stripe:customers.create", reason, away=False, probe_at_ms=0))


# -- properties


def _property(name: str, **values: str) -> Plant:
    def plant(setup: SetUp, _: pytest.MonkeyPatch) -> None:
        setup.sandbox.edit("hubspot", "property", name, values)

    return plant


FAULTS["property_is_archived"] = (
    _property("zip", archived="true"),
    "field postal_code is paused: HubSpot's contact property zip does not exist",
    "create it there, or name another one in [[field]]",
)
FAULTS["property_is_read_only"] = (
    _property("city", read_only="true"),
    "HubSpot's contact property city is read-only",
    'give the field direction = "to_stripe"',
)
FAULTS["property_is_of_a_wrong_type"] = (
    _property("phone", type="number"),
    "phone is of type number, which holds no phone",
    "name another one in [[field]]",
)
FAULTS["property_is_a_drop_down"] = (
    _property("company", type="enumeration", options="Acme;Other"),
    "company takes only its options (Acme, Other), and HubSpot refuses every other value",
    "add an option for each value",
)
FAULTS["options_are_no_codes"] = (
    _property("country", type="enumeration", options="North;South"),
    "country takes only its options (North, South), and none is a country",
    "give them the values that Stripe has as internal values",
)
FAULTS["property_has_a_rule"] = (
    _property("zip", pattern="[0-9]{5}"),
    "zip has validation rules (REGEX)",
    "loosen them (HubSpot: Settings, Properties, zip, Rules)",
)


@fault("HubSpot has no contact property stripe_customer_id", "run wanesync init --hubspot")
def our_property_was_deleted(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    del setup.sandbox.hubspot.portal.properties.by_name["stripe_customer_id"]


@fault("the values of HubSpot's contact property wanesync_intent are not unique", "delete it there")
def our_property_is_not_unique(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    properties = setup.sandbox.hubspot.portal.properties.by_name
    properties["wanesync_intent"] = replace(properties["wanesync_intent"], unique=False)


@fault("HubSpot has no event definition stripe_purchase", "run wanesync init --hubspot")
def event_definition_is_missing(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.sandbox.hubspot.events.store.definitions.clear()


# -- webhooks


@fault("there is none for http://127.0.0.1", "create it: wanesync webhooks stripe create")
def endpoint_is_missing(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.run("webhooks", "stripe", "remove", "--yes")
    _forget_arrivals(setup, Side.STRIPE)


def _forget_arrivals(setup: SetUp, side: Side) -> None:
    with closing(sqlite3.connect(setup.folder / "wanesync.db")) as connection, connection:
        connection.execute("UPDATE webhook_counts SET last_ms = 1, minute_ms = 1 WHERE side = ?", (str(side),))


def _update_endpoint(**values: str) -> Plant:
    def plant(setup: SetUp, _: pytest.MonkeyPatch) -> None:
        client = Client(setup.sandbox.stripe, sandbox_server.clock_ms())
        (endpoint,) = client.send("GET", "/v1/webhook_endpoints")[1]["data"]
        status, body, _answer = client.send("POST", f"/v1/webhook_endpoints/{endpoint['id']}", values)
        assert status == 200, body

    return plant


FAULTS["endpoint_is_disabled"] = (
    _update_endpoint(disabled="true"),
    "is disabled, nothing is sent",
    "wanesync webhooks stripe create mends it",
)
FAULTS["endpoint_lacks_events"] = (
    _update_endpoint(**{"enabled_events[0]": "customer.created", "enabled_events[1]": "customer.updated"}),
    "does not send customer.deleted, charge.succeeded, charge.captured",
    "wanesync webhooks stripe create mends it",
)
FAULTS["endpoint_sends_everything"] = (
    _update_endpoint(**{"enabled_events[0]": "*"}),
    "sends every event, which is not used",
    "wanesync webhooks stripe create mends it",
)
FAULTS["endpoint_leads_elsewhere"] = (
    _update_endpoint(url="http://127.0.0.1/stripe-hook"),
    "leads to http://127.0.0.1/stripe-hook, not to http://127.0.0.1",
    "wanesync webhooks stripe create mends it",
)


@fault("2 endpoints lead here", "keep one: wanesync webhooks stripe remove we_")
def endpoint_is_there_twice(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    _create_endpoint(setup, "2026-10-28.endive")


@fault("sends API version 2024-06-20, and wanesync reads 2026-10-28.endive", "create --replace pins the version")
def endpoint_has_an_old_version(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.run("webhooks", "stripe", "remove", "--yes")
    _create_endpoint(setup, "2024-06-20")


def _create_endpoint(setup: SetUp, version: str) -> None:
    client = Client(setup.sandbox.stripe, sandbox_server.clock_ms())
    values = {"url": f"{setup.public}/webhooks/stripe", "api_version": version}
    values |= {f"enabled_events[{place}]": name for place, name in enumerate(EVENT_TYPES)}
    status, body, _ = client.send("POST", "/v1/webhook_endpoints", values)
    assert status == 200, body


@fault("no webhook reported the changes of 3 records (phone)", "check the webhook subscriptions")
def subscription_is_missing(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.open().run(lambda tx: store_missed(tx, Side.HUBSPOT, 3, ["phone"]))


@fault("no webhook came for 1 change of phone in the last day", "subscribe to it: wanesync webhooks hubspot write DIR")
def property_is_not_subscribed(setup: SetUp, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(webhooks, "GRACE_MS", 0)
    patch.setattr(account_setup, "CREATION_MS", 1)
    setup.sandbox.hubspot.portal.search_index.lag_ms = 0
    sender = setup.sandbox.hubspot.portal.webhooks
    sender._settings = replace(sender._settings, subscribed=frozenset({"email", "city"}))
    contact = setup.sandbox.records("hubspot")[0]["id"]
    setup.sandbox.edit("hubspot", "update", contact, {"phone": "+4930123456"})
    setup.sandbox.edit("hubspot", "update", contact, {"city": "Lyon"})
    setup.await_webhooks()


@fault("changes by app 99, whose token this is, count as a user's", 'set hubspot.own_source_ids = ["99"]')
def webhooks_come_from_another_app(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    event = Event("k", Side.HUBSPOT, "updated", "1", 1, source="user:INTEGRATION/99", received_ms=1)
    store = setup.open()
    store.run(lambda tx: tx.events.put_many([event]))
    store.run(lambda tx: tx.events.mark_read(["k"]))
    store.run(lambda tx: tx.events.mark_judged(["k"]))


@fault("were refused for a wrong signature", "compare hubspot.webhook_secret with the app's client secret")
def client_secret_is_of_another_app(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.open().run(lambda tx: tx.webhook_counts.add({(Side.HUBSPOT, Outcome.SIGNATURE): 30}))


@fault("none has arrived yet", "edit a contact in HubSpot and run this again")
def no_webhook_of_hubspot_ever_came(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(setup.folder / "wanesync.db")) as connection, connection:
        connection.execute("DELETE FROM webhook_counts WHERE side = 'hubspot'")


# -- the public address


def _proxy(answer: Handler) -> Plant:
    def plant(setup: SetUp, _: pytest.MonkeyPatch) -> None:
        setup.proxy.fault = answer

    return plant


def _rewrite(body: bytes, path: str, headers: object) -> tuple[bytes, str, object]:
    return json.dumps(json.loads(body)).encode(), path, headers


def _strip(body: bytes, path: str, headers: dict[str, str]) -> tuple[bytes, str, dict[str, str]]:
    kept = {name: value for name, value in headers.items() if "signature" not in name.lower()}
    return body, path, {name: value for name, value in kept.items() if "timestamp" not in name.lower()}


TWICE = 2
"""The fault concerns both sides' webhooks: a line for each."""
AT_BOTH: set[str] = set()


def door(name: str, plant: Plant, text: str, fix: str) -> None:
    FAULTS[name] = (plant, text, fix)
    AT_BOTH.add(name)


door(
    "body_is_rewritten",
    _proxy(_rewrite),  # type: ignore[arg-type] # headers are passed on
    "the body was rewritten on its way",
    "let the proxy pass the body unchanged",
)
door(
    "signature_is_removed",
    _proxy(_strip),  # type: ignore[arg-type] # headers are passed on
    "the signature's headers were removed on their way",
    "let the proxy pass X-HubSpot-* and Stripe-Signature on",
)
door(
    "path_is_changed",
    _proxy(lambda body, path, headers: (body, path.replace("/webhooks", ""), headers)),
    "wanesync answers, but not under /webhooks/",
    "with its path and body unchanged",
)
door(
    "path_is_not_routed",
    _proxy(lambda _body, _path, _headers: (404, {}, b"<html>not found</html>")),
    "the server there has no /webhooks/",
    "the proxy must pass /webhooks/",
)
door(
    "address_redirects",
    _proxy(lambda _body, path, _headers: (301, {"location": f"https://www.example.com{path}"}, b"")),
    "is redirected (301) to https://www.example.com/webhooks/",
    "set server.public_url to the address itself",
)
door(
    "proxy_asks_for_a_login",
    _proxy(lambda _body, _path, _headers: (401, {"www-authenticate": "Basic"}, b"login")),
    "asks for a login, or refuses the sender (401)",
    "take /webhooks/ out of the proxy's login",
)
door(
    "another_program_answers",
    _proxy(lambda _body, _path, _headers: (200, {}, b"ok")),
    "another program than wanesync serve answers /webhooks/",
    "the proxy must pass /webhooks/",
)
door(
    "proxy_has_no_upstream",
    _proxy(lambda _body, _path, _headers: (502, {}, b"bad gateway")),
    "the proxy cannot reach wanesync serve (502)",
    "let its upstream be 127.0.0.1:",
)
door(
    "proxy_limits_bodies",
    _proxy(lambda _body, _path, _headers: (413, {}, b"")),
    "the proxy refuses a body of 300 bytes (413)",
    "raise its body limit",
)


@fault("the web process uses another secret than this configuration", "restart wanesync serve")
def secret_was_changed_without_a_restart(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    # A value in the file itself: a reference would be read again by the running process.
    setup.change('webhook_secret = "file:hubspot-secret"', 'webhook_secret = "the-new-client-secret"')


@fault("the web process verifies signatures for", "restart it with this server.public_url")
def address_was_changed_without_a_restart(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.change(f'public_url = "{setup.public}"', f'public_url = "{setup.public.replace("127.0.0.1", "localhost")}"')
    setup.run("webhooks", "stripe", "create")


@fault("a wanesync serve answers there", "let the proxy lead to the serve of this configuration")
def proxy_leads_to_another_installation(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    copy = setup.folder / "copy.db"
    with closing(sqlite3.connect(setup.folder / "wanesync.db")) as old, closing(sqlite3.connect(copy)) as new:
        old.backup(new)
    copy.chmod(0o600)
    shutil.copy(setup.folder / "wanesync.db.keys", setup.folder / "copy.db.keys")
    setup.change("wanesync.db", "copy.db")
    start_processes(setup.open())


AT_BOTH.add("proxy_leads_to_another_installation")


@fault("DNS: no-such-host.invalid has no address", "create its DNS record, or correct server.public_url")
def address_has_no_dns_record(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.change(f'public_url = "{setup.public}"', 'public_url = "https://no-such-host.invalid"')
    setup.run("webhooks", "stripe", "create")


@fault("nothing listens at 127.0.0.1 port 9", "start the proxy there")
def nothing_listens(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.change(f'public_url = "{setup.public}"', 'public_url = "https://127.0.0.1:9"')
    setup.run("webhooks", "stripe", "create")


# -- this machine


@fault("the running processes work with another one than this configuration", "restart all of them with this file")
def field_map_was_changed_without_a_restart(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    job = '[[field]]\nname = "job"\nhubspot = "jobtitle"\nstripe = "metadata.job"\n'
    email = '[[field]]\nname = "email"\nhubspot = "email"\nstripe = "email"\ntransform = "email"\n'
    setup.write(setup.file.name, setup.file.read_text() + email + job)


@fault("stripe.rate is 80 a second, Stripe allows a test key 25", "leave it out")
def rate_is_above_that_of_a_test_key(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.change("[stripe]", "[stripe]\nrate = 80")


@fault("server.max_body_bytes is 65,536", "leave it out")
def bodies_are_limited_too_far(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.change("[server]", "[server]\nmax_body_bytes = 65536")


@fault("stripe.webhook_secret", "must be the signing secret of a webhook endpoint: whsec_")
def a_key_stands_where_a_secret_belongs(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.write("stripe-secret", STRIPE_KEY)


@fault("is no SQLite database", "check the key database")
def database_is_damaged(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.write("other.db", "not a database at all" * 100)
    setup.change("wanesync.db", "other.db")


@fault("wanesync.db.keys is missing", "restore it from a backup")
def key_file_is_lost(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    (setup.folder / "wanesync.db.keys").unlink()


@fault("key", "keys")
def encryption_key_is_another(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    key = base64.b64encode(bytes(range(32))).decode()
    setup.write("wanesync.db.keys", f"zzzz:{key}\n")


@fault("was refused for a wrong signature", "compare stripe.webhook_secret with the signing secret")
def stripe_signs_with_another_secret(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    (endpoint,) = setup.sandbox.stripe.account.secrets
    target = WebhookTarget(f"{setup.public}/webhooks/stripe", "whsec_other")
    setup.sandbox.stripe.account.webhooks._outboxes[endpoint].target = target
    setup.sandbox.edit("stripe", "create", None, {"email": "cy@example.com"})
    setup.await_refusal("stripe")


@fault("the database", "run `wanesync db migrate`")
def database_has_an_older_schema(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(setup.folder / "wanesync.db")) as connection, connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%migration%'")]
        connection.execute(f"UPDATE {tables[0]} SET number = number - 1")


@fault("can be read by others (mode 0644)", "chmod 640")
def database_is_readable(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    (setup.folder / "wanesync.db").chmod(0o644)


@fault("can be read by others (mode 0644)", "chmod 600")
def key_file_is_readable(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    (setup.folder / "wanesync.db.keys").chmod(0o644)


@fault("can be read by others (mode 0644)", "chmod 600")
def secret_is_readable(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    (setup.folder / "stripe-key").chmod(0o644)


@fault("can be changed by others (mode 0622)", "chmod 600")
def configuration_is_writable(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.file.chmod(0o622)


@fault("cannot be read (No such file or directory)", "it must exist and be readable")
def secret_is_missing(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    (setup.folder / "hubspot-secret").unlink()


@fault("is not set up yet", "run `wanesync init`")
def database_is_missing(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.change("wanesync.db", "other.db")


@fault("the disk of the database has 100 MB left", "make room, or move the database")
def disk_is_nearly_full(_setup: SetUp, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 << 20))


@fault("behind Stripe's", "set it (NTP) on the database's machine")
def clock_is_wrong(_setup: SetUp, patch: pytest.MonkeyPatch) -> None:
    made = sandbox_server.clock_ms
    patch.setattr(sandbox_server, "clock_ms", lambda: made() + 600_000)


@fault("its v4 paths (purchases as notes) supported until", 'set hubspot.api_version = "2026-09"')
def api_version_ends(_setup: SetUp, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(api_versions.UNSUPPORTED_FROM, "v4", dt.datetime.now(dt.UTC).date() + dt.timedelta(days=20))


@fault("requests of the day are used, by all apps of the account", "look for the app that uses them")
def quota_is_nearly_used_up(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    limiter = setup.sandbox.hubspot.rate_limiter
    limiter._used_today += 1_000
    limiter.settings = replace(limiter.settings, daily_limit=limiter._used_today + 60)


@fault("the requests of HubSpot's day are used up", "work goes on at the account's midnight")
def quota_is_used_up(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    limiter = setup.sandbox.hubspot.rate_limiter
    limiter.settings = replace(limiter.settings, daily_limit=1)


@fault("hubspot.rate is 90 a second, HubSpot allows this app 19", "set hubspot.rate = 17.1 or less")
def rate_is_above_the_subscription(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.change("[hubspot]", "[hubspot]\nrate = 90")


@fault("running now: 1 that receive webhooks, 0 that work", "start wanesync up (or serve and worker)")
def no_worker_runs(setup: SetUp, _: pytest.MonkeyPatch) -> None:
    setup.open().run(lambda tx: tx.processes.remove("w1"))


def test_a_healthy_set_up_shows_no_fault(tmp_path: Path, database_url: str) -> None:
    key = base64.b64encode(bytes(range(32))).decode()
    with SetUp(tmp_path, more=f'[security]\nkeys = ["test:{key}"]\n', database=database_url) as setup:
        setup.make()
        assert setup.examine() == []
        done = setup.run("doctor")
        assert "hubspot test event: arrived at the public address" in done.output
        assert done.output.rstrip().endswith(" ok, 0 to look at, 0 to mend")


def test_a_database_that_only_migrate_has_seen_hides_neither_account(tmp_path: Path) -> None:
    with SetUp(tmp_path) as setup:
        setup.run("db", "migrate")
        found = setup.run("doctor", code=1).output
    assert "no limit is set" not in found
    assert "ok   hubspot account: portal" in found
    assert "ok   stripe account: account" in found


def test_at_least_thirty_faults_are_planted() -> None:
    assert len(FAULTS) >= 30


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named_in_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, text, fix = FAULTS[name]
    with SetUp(tmp_path) as setup:
        setup.make()
        plant(setup, monkeypatch)
        found = setup.examine()
    assert found, "nothing was found"
    for finding in found:
        assert text in finding["text"], finding
        assert fix in finding["fix"], finding
    assert len(found) == (TWICE if name in AT_BOTH else 1), found
