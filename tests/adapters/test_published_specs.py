"""Every call of the adapters, and every answer of the sandbox to it, against the vendors' published specifications."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import pytest

from tests.support.network import ANY_ADDRESS
from tests.support.published_specs import Exchange, Violation, read_hubspot, read_record, read_stripe
from tests.support.spec_quirks import QUIRKS, find_faults
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.adapters.hubspot.account_setup import HubSpotSetup
from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions
from wanesync.adapters.hubspot.api_paths import make_table
from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions
from wanesync.core.errors import CallError
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.model import Record
from wanesync.core.ports import CreateItem, UpdateItem
from wanesync.core.purchases import Purchase
from wanesync.core.setup.api_versions import HubSpotVersion
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.hubspot.settings import Tier
from wanesync.sandbox.server import HUBSPOT_KEY, STRIPE_KEY, Options, Sandbox

FIELDS = FieldMap(DEFAULT_FIELDS)
NOTES_PAGE = 500


@dataclass(frozen=True)
class Traffic:
    """What was recorded of one tier and version."""

    version: HubSpotVersion
    exchanges: list[Exchange]

    def of(self, side: str) -> list[Exchange]:
        return [one for one in self.exchanges if one.side == side]


@pytest.fixture(scope="module", params=get_args(HubSpotVersion))
def version(request: pytest.FixtureRequest) -> HubSpotVersion:
    chosen: HubSpotVersion = request.param
    return chosen


@pytest.fixture(scope="module")
def traffic(version: HubSpotVersion, tmp_path_factory: pytest.TempPathFactory) -> Traffic:
    folder = tmp_path_factory.mktemp("records")
    exchanges: list[Exchange] = []
    for tier in get_args(Tier):
        with Sandbox(Options(tier=tier, record=str(folder / tier))) as sandbox:
            call_hubspot(sandbox, version)
            call_stripe(sandbox)
        exchanges += read_record(folder / tier)
    return Traffic(version, exchanges)


def call_hubspot(sandbox: Sandbox, version: HubSpotVersion) -> None:
    """Every method of the adapter, with answers of every kind."""
    portal = str(sandbox.hubspot.portal.settings.portal_id)
    options = HubSpotOptions(HUBSPOT_KEY, sandbox.hubspot_url, network=ANY_ADDRESS, portal=portal, api_version=version)
    side = HubSpotAdapter(options, FIELDS)
    side.account()
    with pytest.raises(CallError):
        HubSpotAdapter(replace(options, token="wrong"), FIELDS).account()
    side.inspect()
    side.prepare(with_events=side.can_define_events())
    side.inspect()
    side.has_property("email")
    side.create_contacts([CreateItem(f"t{n}", {"email": email}) for n, email in enumerate("abac")])
    made = side.create_contacts(
        [CreateItem(n, {"email": f"{n}@example.com", "city": "Rom"}) for n in "abcd"] + [CreateItem("e", {"nope": "1"})]
    )
    ids = [one.id for one in made.values() if isinstance(one, Record)]
    side.create_contacts([CreateItem("again", {"email": "a@example.com"}), CreateItem("f", {"email": "f@example.com"})])
    sandbox.edit("hubspot", "delete", ids[0])
    sandbox.edit("hubspot", "merge", None, {"into": ids[1], "from": ids[2]})
    side.read_contacts([*ids, "5"])
    side.find_archived(ids[:1])
    page = side.list_contacts("", 2)
    side.list_contacts(page.next, 2)
    side.search_modified(0, "")
    side.search_modified(0, ids[0])
    side.survey_contacts()
    found = side.read_contacts([ids[1]])[ids[1]]
    assert isinstance(found, Record)
    survivor = found.id
    items = [UpdateItem("t1", survivor, {"phone": "+4930901820"}), UpdateItem("t2", "5", {"phone": "1"})]
    side.update_contacts([*items, UpdateItem("t3", ids[3], {"hs_object_id": "1"})])
    side.set_properties({survivor: {"city": "Oslo"}, ids[3]: {"no_such_property": "1"}})
    side.wrote_current(survivor, ["city", "phone"])
    _send_purchases(side, survivor)
    setup = HubSpotSetup(options, FIELDS)
    assert setup.read_token().portal == portal
    setup.read_usage()
    assert "email" in setup.read_details()
    for faults in (Faults(error_503=1), Faults()):
        sandbox.hubspot.set_faults(faults)
        if faults.error_503:
            with pytest.raises(CallError):
                side.account()


def _send_purchases(side: HubSpotAdapter, contact_id: str) -> None:
    sold = {f"pi_{n}": purchase(f"pi_{n}", contact_id) for n in range(NOTES_PAGE + 1)}
    if side.can_define_events():
        few = dict(list(sold.items())[:3])
        side.send_events(few)
        side.send_events(few)
        side.send_events({"pi_x": purchase("pi_x", "5")})
    assert side.read_note_marks(contact_id) == frozenset()
    side.create_notes({**sold, "pi_x": purchase("pi_x", "5")})
    assert side.read_note_marks(contact_id) == sold.keys()


def purchase(payment_id: str, contact_id: str) -> Purchase:
    return Purchase(payment_id, "ch_1", "cus_1", "", "", 4_900, "eur", 1_790_000_000_000, "Book", contact_id=contact_id)


def call_stripe(sandbox: Sandbox) -> None:
    side = StripeAdapter(
        StripeOptions(STRIPE_KEY, sandbox.stripe_url, network=ANY_ADDRESS, portal="4242", event_key=b"k"), FIELDS
    )
    side.account()
    translate = FieldTranslator(FIELDS)
    values = {
        "email": "a@example.com", "name": "Ada", "phone": "+39061", "company": "Acme", "street": "Via 1", "city": "Rom",
        "country": "IT", "language": "it",
    }  # fmt: skip
    ids = {"metadata": {"hubspot_contact_id": "7", "hubspot_portal_id": "4242"}}
    full = json.dumps({**translate.customer_params(values, None), **ids})
    made = side.create_customer(full, "k1").record
    assert made is not None
    side.create_customer(full, "k1")
    side.create_customer('{"email":"b@example.com"}', "k2")
    for body, key in (('{"email":"c@example.com"}', "k1"), ('{"email":"no address"}', "k3")):
        with pytest.raises(CallError):
            side.create_customer(body, key)
    for key, changes in (("k4", {**values, "city": ""}), ("k5", dict.fromkeys(values, ""))):
        side.update_customer(made.id, json.dumps(translate.customer_params(changes, made)), key)
    side.read_customer(made.id)
    assert side.read_customer("cus_none").record is None
    sandbox.edit("stripe", "purchase", made.id, {"amount": "500", "currency": "eur"})
    sandbox.edit("stripe", "delete", made.id)
    assert side.read_customer(made.id).deleted
    side.list_customers("", 0, 0)
    side.list_customers("", 1, 2_000_000_000)
    side.list_events(1, "")


def check(shared: Path, traffic: Traffic) -> Iterator[Violation]:
    hubspot, stripe = read_hubspot(shared / "specs", traffic.version), read_stripe(shared / "specs")
    for exchange in traffic.exchanges:
        yield from (hubspot if exchange.side == "hubspot" else stripe).check(exchange)


def test_every_request_and_answer_is_as_published(shared: Path, traffic: Traffic) -> None:
    assert find_faults(check(shared, traffic)) == []
    assert len(traffic.of("hubspot")) > 60
    assert len(traffic.of("stripe")) > 20


def test_every_call_of_the_table_was_made(traffic: Traffic) -> None:
    paths = {one.path for one in traffic.of("hubspot")}
    table = make_table(traffic.version)
    unseen = [
        call
        for call, spellings in table.items()
        if not any(re.fullmatch(re.sub(r"{\w+}", "[^/]+", spellings[0]), path) for path in paths)
    ]
    assert unseen == []


@pytest.mark.parametrize("version", ["2026-09"], indirect=True)
def test_the_check_finds_faults_on_both_sides(shared: Path, traffic: Traffic) -> None:
    hubspot, stripe = read_hubspot(shared / "specs", "2026-09"), read_stripe(shared / "specs")
    create = next(one for one in traffic.of("hubspot") if one.path.endswith("/batch/create") and one.status == 201)
    spoiled = {
        "request POST /crm/objects/2026-09/contacts/batch/create: body.inputz is not published": replace(
            create, body=create.body.replace('"inputs"', '"inputz"')
        ),
        "path POST /crm/objects/2026-10/contacts: not published": replace(create, path="/crm/objects/2026-10/contacts"),
        "answer 201 POST /crm/objects/2026-09/contacts/batch/create: body.results[].id is missing": replace(
            create, answer=create.answer.replace('"id"', '"no"')
        ),
    }
    for text, exchange in spoiled.items():
        assert text in find_faults(hubspot.check(exchange))
    customer = next(one for one in traffic.of("stripe") if one.method == "POST")
    for old, new, text in (
        ("email=", "mail=", "request POST /v1/customers: body.mail is not published"),
        ("name=Ada", "balance=1.5", "request POST /v1/customers: body.balance violates type 'integer'"),
    ):
        assert text in find_faults(stripe.check(replace(customer, body=customer.body.replace(old, new))))
    wrong = replace(customer, answer=customer.answer.replace('"livemode":false', '"livemode":"no"'))
    assert find_faults(stripe.check(wrong)) == ["answer 200 POST /v1/customers: body.livemode violates type 'boolean'"]


def test_every_quirk_says_why() -> None:
    for pattern, reason in QUIRKS:
        re.compile(pattern)
        assert len(reason) > 20
