"""Both ports over the official SDKs and real HTTP, against the sandbox: what the engine may rely on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import get_args

import pytest

from tests.support.network import ANY_ADDRESS
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions
from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions
from wanesync.core.errors import CallError, Failure
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec
from wanesync.core.model import Record, Side
from wanesync.core.ports import CreateItem, FieldTranslation, HubSpotPort, StripePort, UpdateItem
from wanesync.core.purchases import ROLL_UP_PROPERTIES, Purchase, roll_up
from wanesync.core.setup.api_versions import USED, HubSpotVersion
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.server import HUBSPOT_KEY, STRIPE_KEY, Options, Sandbox

FIELDS = FieldMap((*DEFAULT_FIELDS, FieldSpec("job", ("jobtitle",), ("metadata.job",))))


@pytest.fixture(params=["enterprise", "professional"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(Options(tier=request.param, stripe_limit=2_000)) as running:
        yield running


@pytest.fixture
def portal(sandbox: Sandbox) -> str:
    return str(sandbox.hubspot.portal.settings.portal_id)


@pytest.fixture
def extra() -> list[str]:
    return []


@pytest.fixture(params=get_args(HubSpotVersion))
def version(request: pytest.FixtureRequest) -> HubSpotVersion:
    chosen: HubSpotVersion = request.param
    return chosen


@pytest.fixture
def hubspot(sandbox: Sandbox, portal: str, extra: list[str], version: HubSpotVersion) -> Iterator[HubSpotPort]:
    options = HubSpotOptions(HUBSPOT_KEY, sandbox.hubspot_url, network=ANY_ADDRESS, portal=portal, api_version=version)
    side: HubSpotPort = HubSpotAdapter(options, FIELDS, before_extra=lambda: extra.append("request"))
    side.prepare(with_events=side.can_define_events())
    yield side
    assert set(sandbox.hubspot.versions) <= set(USED[version])


@pytest.fixture
def stripe(sandbox: Sandbox, portal: str) -> StripePort:
    return StripeAdapter(
        StripeOptions(STRIPE_KEY, sandbox.stripe_url, network=ANY_ADDRESS, portal=portal, event_key=b"k"), FIELDS
    )


@pytest.fixture
def wires() -> FieldTranslation:
    return FieldTranslator(FIELDS)


def make(hubspot: HubSpotPort, *emails: str) -> list[Record]:
    items = [
        CreateItem(f"t{n}", {"email": email, "firstname": "Zoë", "lastname": f"N{n}", "wanesync_intent": f"i-{email}"})
        for n, email in enumerate(emails)
    ]
    outcomes = hubspot.create_contacts(items)
    return [found(outcomes[item.trace]) for item in items]


def found(outcome: Record | CallError | None) -> Record:
    assert isinstance(outcome, Record), outcome
    return outcome


def failed(outcome: object) -> CallError:
    assert isinstance(outcome, CallError), outcome
    return outcome


class TestHubSpot:
    def test_account(self, hubspot: HubSpotPort, portal: str) -> None:
        account = hubspot.account()
        assert account.id == portal
        assert account.mode in ("live", "test")

    def test_prepare_makes_everything_once(self, sandbox: Sandbox, hubspot: HubSpotPort) -> None:
        assert hubspot.prepare(with_events=hubspot.can_define_events()) == []
        known = sandbox.hubspot.portal.properties.by_name
        assert known["wanesync_intent"].unique
        assert known["stripe_customer_id"].unique
        assert set(ROLL_UP_PROPERTIES) <= set(known)

    def test_events_exist_on_enterprise_only(self, sandbox: Sandbox, hubspot: HubSpotPort) -> None:
        assert hubspot.can_define_events() is (sandbox.options.tier == "enterprise")

    def test_creates_and_reads_back(self, hubspot: HubSpotPort) -> None:
        ada, bob = make(hubspot, "Ada@Example.com", "bob@example.com")
        assert ada.values["email"] == "ada@example.com"
        assert ada.values["name"] == "Zoë\x1fN0"
        assert ada.intent == "i-Ada@Example.com"
        assert ada.values["phone"] == ""
        read = hubspot.read_contacts([bob.id, ada.id])
        assert read == {ada.id: ada, bob.id: bob}

    def test_an_address_that_is_taken_names_its_holder(self, hubspot: HubSpotPort) -> None:
        [ada] = make(hubspot, "ada@example.com")
        outcomes = hubspot.create_contacts(
            [CreateItem("a", {"email": "ADA@example.com"}), CreateItem("b", {"email": "new@example.com"})]
        )
        error = failed(outcomes["a"])
        assert (error.failure, error.existing_id, error.fields) == (Failure.CONFLICT, ada.id, ("email",))
        assert found(outcomes["b"]).values["email"] == "new@example.com"

    def test_a_late_twin_of_a_creation_is_refused(self, hubspot: HubSpotPort) -> None:
        [first] = make(hubspot, "ada@example.com")
        again = CreateItem("t", {"firstname": "Zoë", "wanesync_intent": first.intent})
        error = failed(hubspot.create_contacts([again])["t"])
        assert (error.failure, error.existing_id) == (Failure.CONFLICT, first.id)

    def test_an_undefined_property_blames_its_items_only(self, hubspot: HubSpotPort, extra: list[str]) -> None:
        items = [CreateItem(f"t{n}", {"email": f"p{n}@example.com"}) for n in range(9)]
        items[4] = CreateItem("t4", {"email": "p4@example.com", "no_such_property": "x"})
        outcomes = hubspot.create_contacts(items)
        error = failed(outcomes["t4"])
        assert (error.failure, error.fields) == (Failure.REFUSED, ("no_such_property",))
        assert sum(isinstance(outcome, Record) for outcome in outcomes.values()) == 8
        assert len(extra) == 1

    def test_updates_answer_with_the_whole_contact(self, hubspot: HubSpotPort) -> None:
        ada, bob = make(hubspot, "ada@example.com", "bob@example.com")
        items = [
            UpdateItem("x", bob.id, {"phone": "+49 30 123456"}),
            UpdateItem("y", ada.id, {"city": "Köln", "phone": ""}),
        ]
        outcomes = hubspot.update_contacts(items)
        assert found(outcomes["x"]).values == {**bob.values, "phone": "+4930123456"}
        assert found(outcomes["y"]).values == {**ada.values, "city": "Köln"}
        assert found(outcomes["x"]).emails == {"bob@example.com"}
        assert found(outcomes["x"]).modified_ms >= bob.modified_ms

    def test_updates_fail_one_by_one(self, hubspot: HubSpotPort) -> None:
        ada, bob = make(hubspot, "ada@example.com", "bob@example.com")
        items = [
            UpdateItem("taken", bob.id, {"email": "ada@example.com"}),
            UpdateItem("gone", "1", {"city": "Rom"}),
            UpdateItem("good", ada.id, {"city": "Rom"}),
        ]
        outcomes = hubspot.update_contacts(items)
        taken = failed(outcomes["taken"])
        assert (taken.failure, taken.existing_id, taken.fields) == (Failure.CONFLICT, ada.id, ("email",))
        assert failed(outcomes["gone"]).failure is Failure.NOT_FOUND
        assert found(outcomes["good"]).values["city"] == "Rom"

    def test_missing_and_merged_contacts(self, sandbox: Sandbox, hubspot: HubSpotPort) -> None:
        ada, bob, eve = make(hubspot, "ada@example.com", "bob@example.com", "eve@example.com")
        sandbox.edit(Side.HUBSPOT, "merge", None, {"into": ada.id, "from": bob.id})
        sandbox.edit(Side.HUBSPOT, "delete", eve.id)
        read = hubspot.read_contacts([ada.id, bob.id, eve.id, "7"])
        survivor = found(read[ada.id])
        assert read[bob.id] == survivor
        assert survivor.id not in (ada.id, bob.id)
        assert {ada.id, bob.id} <= set(survivor.merged_ids)
        assert survivor.emails == {"ada@example.com", "bob@example.com"}
        assert (read[eve.id], read["7"]) == (None, None)

    def test_lists_all_pages(self, hubspot: HubSpotPort) -> None:
        made = [record.id for record in make(hubspot, *(f"p{n}@example.com" for n in range(25)))]
        seen: list[str] = []
        after = ""
        while True:
            page = hubspot.list_contacts(after, limit=10)
            assert page.timing.from_ms < page.timing.to_ms
            seen += [record.id for record in page.records]
            after = page.next
            if not after:
                break
        assert seen == sorted(made, key=int)

    def test_search_by_modification(self, sandbox: Sandbox, hubspot: HubSpotPort) -> None:
        made = make(hubspot, "ada@example.com", "bob@example.com")
        with sandbox.lock:  # searches lag: pretend the edits are old
            sandbox.hubspot.portal.search_index.lag_ms = 0
        since = min(record.modified_ms for record in made)
        assert hubspot.search_modified(since, "") == [(record.id, record.modified_ms) for record in made]
        assert hubspot.search_modified(since, made[0].id) == [(made[1].id, made[1].modified_ms)]

    def test_tells_our_writes_from_a_persons(self, sandbox: Sandbox, hubspot: HubSpotPort) -> None:
        [ada] = make(hubspot, "ada@example.com")
        sandbox.edit(Side.HUBSPOT, "update", ada.id, {"firstname": "Ada"})
        told = hubspot.wrote_current(ada.id, ["firstname", "lastname", "phone"])
        assert told.ours == {"firstname": False, "lastname": True, "phone": False}
        now = hubspot.read_contacts([ada.id])[ada.id]
        assert isinstance(now, Record)
        assert told.modified_ms == now.modified_ms

    def test_purchases_as_events_count_once(self, sandbox: Sandbox, hubspot: HubSpotPort) -> None:
        if not hubspot.can_define_events():
            with pytest.raises(CallError) as raised:
                hubspot.send_events(purchases("1", "pi_1"))
            error = raised.value
            assert error.failure is Failure.FORBIDDEN
            assert "analytics.behavioral_events.send" in error.scope
            return
        [ada] = make(hubspot, "ada@example.com")
        items = purchases(ada.id, *(f"pi_{n}" for n in range(620)))
        assert hubspot.send_events(items) == dict.fromkeys(items)
        assert hubspot.send_events(items) == dict.fromkeys(items)
        sandbox.hubspot.set_faults(Faults(refused_repeat=0.5))
        more = {**items, **purchases(ada.id, "pi_x", "pi_y")}
        assert hubspot.send_events(more) == dict.fromkeys(more)
        assert sandbox.hubspot.events.store.sent == 622

    def test_purchases_as_notes_are_found_again(self, hubspot: HubSpotPort) -> None:
        [ada] = make(hubspot, "ada@example.com")
        items = {**purchases(ada.id, "pi_1", "pi_2"), **purchases("1", "pi_3")}
        outcomes = hubspot.create_notes(items)
        assert (outcomes["pi_1"], outcomes["pi_2"]) == (None, None)
        assert failed(outcomes["pi_3"]).failure is Failure.NOT_FOUND
        assert hubspot.read_note_marks(ada.id) == {"pi_1", "pi_2"}

    def test_purchases_as_roll_ups(self, sandbox: Sandbox, hubspot: HubSpotPort) -> None:
        [ada] = make(hubspot, "ada@example.com")
        values = roll_up(list(purchases(ada.id, "pi_1", "pi_2").values()))
        assert hubspot.set_properties({ada.id: values}) == {ada.id: None}
        contact = sandbox.hubspot.portal.contacts.get(ada.id)
        assert contact is not None
        assert contact.properties["wanesync_purchase_count"] == "2"


def purchases(contact_id: str, *payment_ids: str) -> dict[str, Purchase]:
    return {
        payment_id: Purchase(
            payment_id, f"ch_{payment_id}", "cus_1", "a@example.com", "", 1234, "usd", 1_700_000_000_000,
            description="<b>Tea & Co</b> " * 30, contact_id=contact_id,
        )
        for payment_id in payment_ids
    }  # fmt: skip


class TestStripe:
    BODY = json.dumps(
        {
            "email": "Ada@Example.com",
            "name": "Ada Byron",
            "address": {"line1": "1 Main St", "country": "GB"},
            "preferred_locales": ["en-GB", "fr"],
            "metadata": {"hubspot_contact_id": "7", "hubspot_portal_id": "4242", "job": "Countess"},
        }
    )

    def test_account(self, stripe: StripePort) -> None:
        assert stripe.account().mode == "test"
        assert stripe.account().id.startswith("acct_")

    def test_creates_once_under_a_key(self, stripe: StripePort) -> None:
        first = stripe.create_customer(self.BODY, "wane-c-1")
        again = stripe.create_customer(self.BODY, "wane-c-1")
        assert (first.replayed, again.replayed) == (False, True)
        assert found(first.record).id == found(again.record).id
        record = found(first.record)
        assert record.emails == {"ada@example.com"}
        assert record.other_id == "7"
        assert record.values["job"] == "Countess"
        assert record.values["street"] == "1 Main St"
        assert record.values["language"] == "en-GB"
        assert first.timing.from_ms <= record.created_ms + 999
        assert record.created_ms <= first.timing.to_ms
        assert found(stripe.read_customer(record.id).record) == record

    def test_one_key_two_bodies(self, stripe: StripePort) -> None:
        stripe.create_customer(self.BODY, "k")
        with pytest.raises(CallError) as raised:
            stripe.create_customer('{"name": "Other"}', "k")
        assert raised.value.failure is Failure.MISMATCH

    def test_updates_what_is_given(self, stripe: StripePort, wires: FieldTranslation) -> None:
        record = found(stripe.create_customer(self.BODY, "c").record)
        params = wires.customer_params({"city": "London", "street": "", "language": "de", "job": ""}, record)
        updated = found(stripe.update_customer(record.id, json.dumps(params), "u").record)
        changed = {"city": "London", "street": "", "language": "de", "job": ""}
        assert updated.values == {**record.values, **changed}
        assert updated.carry["preferred_locales"] == '["de","fr"]'
        assert updated.other_id == "7"

    def test_clears_everything(self, stripe: StripePort, wires: FieldTranslation) -> None:
        record = found(stripe.create_customer(self.BODY, "c").record)
        params = wires.customer_params(dict.fromkeys(record.values, ""), record)
        updated = found(stripe.update_customer(record.id, json.dumps(params), "u").record)
        assert set(updated.values.values()) == {""}

    def test_deleted_and_never_there(self, sandbox: Sandbox, stripe: StripePort) -> None:
        record = found(stripe.create_customer(self.BODY, "c").record)
        sandbox.edit(Side.STRIPE, "delete", record.id)
        assert stripe.read_customer(record.id).record is None
        assert stripe.read_customer("cus_nobody").record is None
        with pytest.raises(CallError) as raised:
            stripe.update_customer(record.id, '{"name": "x"}', "u")
        assert raised.value.failure is Failure.NOT_FOUND

    def test_a_refused_value_names_its_field(self, stripe: StripePort) -> None:
        for body, name in (
            ('{"phone": "123456789012345678901"}', "phone"),
            ('{"email": "nonsense"}', "email"),
            (json.dumps({"metadata": {"job": "x" * 501}}), "job"),
        ):
            with pytest.raises(CallError) as raised:
                stripe.create_customer(body, f"k{name}")
            assert (raised.value.failure, raised.value.fields) == (Failure.REFUSED, (name,)), name

    def test_lists_newest_first(self, stripe: StripePort) -> None:
        made = [found(stripe.create_customer(f'{{"name": "C{n}"}}', f"k{n}").record).id for n in range(120)]
        page = stripe.list_customers("", 0, 0)
        rest = stripe.list_customers(page.next, 0, 0)
        assert (len(page.records), rest.next) == (100, "")
        assert {record.id for record in (*page.records, *rest.records)} == set(made)
        assert stripe.list_customers("", 2_000_000_000, 0).records == []

    def test_lists_events(self, stripe: StripePort) -> None:
        record = found(stripe.create_customer(self.BODY, "wane-c-1").record)
        stripe.update_customer(record.id, '{"name": "Ada Lovelace"}', "wane-u-1")
        page = stripe.list_events(0, "")
        kinds = {event.kind: event for event in page.events}
        assert kinds["created"].values["email"] == "ada@example.com"
        assert kinds["created"].record == record
        assert kinds["updated"].values == {"name": "Ada Lovelace"}
        assert kinds["updated"].previous == {"name": "Ada Byron"}
        assert kinds["updated"].request_key == "wane-u-1"
        assert page.next == ""


def test_round_trip_through_both_wires(hubspot: HubSpotPort, stripe: StripePort, wires: FieldTranslation) -> None:
    values = {
        "email": "zoë@example.com", "name": "Zoë\x1fvan der Berg", "phone": "+4930123456", "company": "Ünï & Sons",
        "street": "Hauptstr. 1", "city": "Köln", "state": "NRW", "postal_code": "50667", "country": "Germany",
        "language": "de-at", "job": "CEO <b>",
    }  # fmt: skip
    contact = found(hubspot.create_contacts([CreateItem("t", wires.contact_properties(values))])["t"])
    assert contact.values == values
    there = {name: FIELDS.by_name[name].convert(Side.STRIPE, value, "") or "" for name, value in values.items()}
    body = json.dumps(wires.customer_params(there, None))
    customer = found(stripe.create_customer(body, "k").record)
    assert customer.values == there
    assert FIELDS.comparison(contact) == FIELDS.comparison(customer)
