"""Stripe's events: how each one is read, and that none ever raises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.json_strategies import JSON, Json
from wanesync.adapters.checked_values import InvalidElement
from wanesync.adapters.stripe.customers import ADDRESS_PARTS, list_unmapped, read_carry, read_values
from wanesync.adapters.stripe.events import StripeAccount, StripeEvents
from wanesync.core.errors import InvalidPayload
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec
from wanesync.core.model import Event
from wanesync.core.normalize import Form
from wanesync.core.ports import ParsedWebhook
from wanesync.core.setup.api_versions import STRIPE_VERSION

FIELDS = FieldMap((*DEFAULT_FIELDS, FieldSpec("job", ("jobtitle",), ("metadata.job",))))
STRIPE = StripeEvents(FIELDS, StripeAccount(livemode=False, portal="42", id="acct_1"), key=b"k")


def customer(**parts: object) -> Json:
    return {
        "id": "cus_1", "object": "customer", "created": 1_700_000_000, "email": "Ada@x.de", "name": "Ada",
        "address": {**dict.fromkeys(ADDRESS_PARTS), "line1": "1 St", "city": "Ulm"}, "preferred_locales": ["de"],
        "phone": None,
        "metadata": {"job": "boss", "hubspot_contact_id": "7", "hubspot_portal_id": "42"}, **parts,
    }  # fmt: skip


def charge(**parts: object) -> Json:
    return {
        "id": "ch_1", "object": "charge", "amount": 3000, "amount_captured": 3000, "currency": "usd", "paid": True,
        "captured": True, "customer": "cus_1", "payment_intent": "pi_1", "receipt_email": None, "description": "Tea",
        "billing_details": {"email": " Ada@X.de"}, **parts,
    }  # fmt: skip


def event(kind: str, subject: object, previous: Mapping[str, object] | None = None, **parts: object) -> Json:
    data: Json = {"object": subject}
    if previous is not None:
        data["previous_attributes"] = previous
    return {
        "id": "evt_1", "object": "event", "api_version": STRIPE_VERSION, "created": 1_700_000_005, "data": data,
        "livemode": False, "type": kind, "request": {"id": "req_1", "idempotency_key": None}, **parts,
    }  # fmt: skip


def parse_stripe(element: object) -> ParsedWebhook:
    return STRIPE.parse(json.dumps(element).encode(), 5)


def one_stripe(element: object) -> Event:
    [row] = parse_stripe(element).events
    return row


class TestStripe:
    def test_a_creation_carries_all_values(self) -> None:
        row = one_stripe(event("customer.created", customer()))
        assert (row.kind, row.record_id, row.occurred_ms) == ("created", "cus_1", 1_700_000_005_000)
        assert row.values == {
            "email": "ada@x.de", "name": "Ada", "street": "1 St", "city": "Ulm", "language": "de", "job": "boss",
        }  # fmt: skip
        assert row.record is not None
        assert row.record.other_id == "7"

    @pytest.mark.parametrize(
        ("previous", "values", "before"),
        [
            ({"email": "Old@x.de"}, {"email": "ada@x.de"}, {"email": "old@x.de"}),
            ({"email": None}, {"email": "ada@x.de"}, {"email": ""}),
            ({"address": {"city": "Bonn"}}, {"city": "Ulm"}, {"city": "Bonn"}),
            ({"address": None}, {"city": "Ulm", "street": "1 St"}, {"city": "", "street": ""}),
            ({"metadata": {"job": None}}, {"job": "boss"}, {"job": ""}),
            ({"preferred_locales": ["fr", "de"]}, {"language": "de"}, {"language": "fr"}),
            ({"email": " ADA@x.de", "balance": 5}, {}, {}),
            ({"currency": None}, {}, {}),
            ({"metadata": {"hubspot_contact_id": None}}, {}, {}),
        ],
    )
    def test_an_update_carries_what_changed(self, previous: Json, values: Json, before: Json) -> None:
        row = one_stripe(event("customer.updated", customer(), previous))
        assert (row.values, row.previous) == (values, before)

    def test_a_cleared_address(self) -> None:
        row = one_stripe(event("customer.updated", customer(address=None), {"address": {"line1": "1", "city": "Ulm"}}))
        assert (row.values, row.previous) == ({"street": "", "city": ""}, {"street": "1", "city": "Ulm"})

    def test_changes_of_nothing_mapped_are_counted(self) -> None:
        unmapped: list[Json] = [{"balance": 0}, {"metadata": {"other": "x"}}, {"invoice_prefix": "A", "discount": None}]
        for previous in unmapped:
            assert parse_stripe(event("customer.updated", customer(), previous)).ignored == 1

    def test_our_request_is_named(self) -> None:
        request = {"id": "req_1", "idempotency_key": "wane-u-1"}
        assert (
            one_stripe(event("customer.updated", customer(), {"name": "x"}, request=request)).request_key == "wane-u-1"
        )
        assert one_stripe(event("customer.updated", customer(), {"name": "x"}, request=None)).request_key == ""

    def test_the_door_and_the_listing_know_an_event_by_the_same_key(self) -> None:
        element = event("customer.created", customer())
        listing = StripeEvents(FIELDS, StripeAccount(livemode=False, portal="42"), key=b"k")
        [listed] = listing.parse(json.dumps({**element, "pending_webhooks": 3}).encode(), 99).events
        assert listed.key == one_stripe(element).key
        assert listed.key != one_stripe({**element, "id": "evt_2"}).key

    @pytest.mark.parametrize(
        "version", ["2020-03-02", "2025-08-27.basil", "2027-03-31.fennel", "", "2026-10-28.preview"]
    )
    def test_an_object_of_an_unknown_version_is_only_a_hint_and_counted(self, version: str) -> None:
        parsed = parse_stripe(event("customer.created", customer(), api_version=version))
        [row] = parsed.events
        assert row.record is None
        assert row.values["email"] == "ada@x.de"
        assert parsed.reread == 1

    @pytest.mark.parametrize(
        "version", ["2025-09-30.clover", "2026-05-27.dahlia", "2026-10-28.endive", "2026-11-18.endive"]
    )
    def test_every_version_with_the_same_customer_is_used_as_it_is(self, version: str) -> None:
        parsed = parse_stripe(event("customer.created", customer(), api_version=version))
        assert parsed.events[0].record is not None
        assert parsed.reread == 0

    def test_a_deletion_costs_no_read_whatever_its_version(self) -> None:
        gone = {"id": "cus_1", "object": "customer", "deleted": True}
        assert parse_stripe(event("customer.deleted", gone, api_version="2020-03-02")).reread == 0

    def test_a_thin_event_of_an_account_is_left_out(self) -> None:
        thin = {"id": "evt_test_65", "object": "v2.core.event", "type": "v2.core.account.updated", "livemode": False}
        parsed = parse_stripe(thin)
        assert (parsed.ignored, list(parsed.set_aside), list(parsed.events)) == (1, [], [])

    def test_a_deletion_needs_no_values(self) -> None:
        row = one_stripe(event("customer.deleted", {"id": "cus_1", "object": "customer", "deleted": True}))
        assert (row.kind, row.values, row.record) == ("deleted", {}, None)

    def test_a_purchase(self) -> None:
        parsed = parse_stripe(event("charge.succeeded", charge()))
        [purchase] = parsed.purchases
        assert list(parsed.events) == []
        assert (purchase.payment_id, purchase.charge_id, purchase.customer_id) == ("pi_1", "ch_1", "cus_1")
        assert (purchase.email, purchase.amount, purchase.currency) == ("ada@x.de", 3000, "usd")
        assert (purchase.occurred_ms, purchase.description) == (1_700_000_005_000, "Tea")

    @pytest.mark.parametrize("account", ["acct_1", {"id": "acct_1", "object": "v2.core.account"}])
    def test_a_charge_of_an_account_is_no_guests_whatever_address_it_shows(self, account: object) -> None:
        [purchase] = parse_stripe(event("charge.succeeded", charge(customer=None, customer_account=account))).purchases
        assert (purchase.customer_id, purchase.email) == ("acct_1", "")

    def test_a_charge_with_both_is_its_customers(self) -> None:
        [purchase] = parse_stripe(event("charge.succeeded", charge(customer_account="acct_1"))).purchases
        assert (purchase.customer_id, purchase.email) == ("cus_1", "ada@x.de")

    @pytest.mark.parametrize("mark", [{"paid": "true"}, {"captured": "true"}, {"paid": None}, {"captured": 1}])
    def test_a_charge_whose_marks_are_neither_true_nor_false_is_set_aside(self, mark: Json) -> None:
        parsed = parse_stripe(event("charge.succeeded", charge(**mark)))
        assert not parsed.purchases
        assert len(parsed.set_aside) == 1

    @pytest.mark.parametrize(("held", "ignored"), [(49, 0), (48, 0), (47, 1)])
    def test_a_key_that_leaves_full_metadata_is_an_event(self, held: int, ignored: int) -> None:
        now = {**customer(), "metadata": {f"k{number}": "1" for number in range(held)}}
        parsed = parse_stripe(event("customer.updated", now, previous={"metadata": {"gone": "1"}}))
        assert (parsed.ignored, len(parsed.events)) == (ignored, 1 - ignored)

    def test_both_events_of_one_payment_name_it_alike(self) -> None:
        first = parse_stripe(event("charge.succeeded", charge(captured=False, amount_captured=0)))
        second = parse_stripe(event("charge.captured", charge(amount_captured=1200), id="evt_2"))
        assert (list(first.purchases), first.ignored) == ([], 1)
        assert [(p.payment_id, p.amount) for p in second.purchases] == [("pi_1", 1200)]

    def test_guests_and_expanded_objects(self) -> None:
        guest = charge(customer=None, payment_intent=None, billing_details={"email": None}, receipt_email="G@x.de")
        [purchase] = parse_stripe(event("charge.succeeded", guest)).purchases
        assert (purchase.payment_id, purchase.customer_id, purchase.email) == ("ch_1", "", "g@x.de")
        expanded = charge(customer={"id": "cus_9"}, payment_intent={"id": "pi_9"})
        [purchase] = parse_stripe(event("charge.succeeded", expanded)).purchases
        assert (purchase.payment_id, purchase.customer_id) == ("pi_9", "cus_9")

    @pytest.mark.parametrize("parts", [{"livemode": True}, {"account": "acct_2"}])
    def test_foreign_events_are_counted(self, parts: Json) -> None:
        parsed = parse_stripe({**event("customer.created", customer()), **parts})
        assert (list(parsed.events), parsed.foreign) == ([], 1)

    @pytest.mark.parametrize(
        "element",
        [
            {}, event("customer.created", None),
            event("customer.created", customer(id="x")),
            event("customer.created", customer(id="cus_1/../x")), event("customer.created", customer(), created=None),
            event("customer.created", customer(), created=-1),
            event("charge.succeeded", charge(), created=1 << 40),
            event("customer.created", customer(), id=None),
            event("charge.succeeded", charge(amount=None, amount_captured=None)),
            event("charge.succeeded", charge(currency="")), event("charge.succeeded", charge(id="")),
        ],
    )  # fmt: skip
    def test_what_cannot_be_understood_is_set_aside(self, element: Json) -> None:
        parsed = parse_stripe(element)
        assert (list(parsed.events), list(parsed.purchases), len(parsed.set_aside)) == ([], [], 1)

    @pytest.mark.parametrize("body", [b"", b"[]", b"x", b"\xff", b'{"a":', b'{"a":' * 5_000])
    def test_what_is_no_object_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidPayload):
            STRIPE.parse(body, 0)

    @given(
        st.sampled_from(["customer.created", "customer.updated", "charge.succeeded"]),
        st.sampled_from(sorted({*customer(), *charge()})),
        JSON,
        JSON,
    )
    def test_no_part_of_anything_raises(self, kind: str, name: str, value: object, previous: object) -> None:
        subject = customer(**{name: value}) if kind.startswith("customer") else charge(**{name: value})
        element = event(kind, subject)
        element["data"] = {"object": subject, "previous_attributes": previous}
        parsed = parse_stripe(element)
        assert len(parsed.events) + len(parsed.purchases) + len(parsed.set_aside) + parsed.foreign + parsed.ignored == 1

    def test_recorded_events(self, shared: Path) -> None:
        expected = {
            "stripe_evt_customer_updated.json": "updated",
            "stripe_evt_customer_deleted.json": "deleted",
        }
        for path in sorted((shared / "samples").glob("stripe_evt_*.json")):
            parsed = STRIPE.parse(path.read_bytes(), 0)
            assert list(parsed.set_aside) == [], path.name
            if path.name in expected:
                assert [row.kind for row in parsed.events] == [expected[path.name]]
            elif path.name == "stripe_evt_charge_succeeded.json":
                [purchase] = parsed.purchases
                assert (purchase.payment_id, purchase.amount) == ("pi_3KtQThJDPojXS6LN0H9EfsjV", 3000)
            else:
                assert parsed.ignored + parsed.foreign == 1, path.name
        updated = STRIPE.parse((shared / "samples" / "stripe_evt_customer_updated.json").read_bytes(), 0).events[0]
        assert updated.values == {"email": "billz@supabase.io"}
        assert updated.previous == {"email": "billing@supabase.io"}
        assert updated.record is None

    def test_fixtures_of_other_objects(self, shared: Path) -> None:
        fixture = json.loads((shared / "samples" / "stripe_fixture_charge.json").read_text())
        parsed = parse_stripe(event("charge.succeeded", fixture))
        assert len(parsed.purchases) + parsed.ignored == 1
        assert STRIPE.parse((shared / "samples" / "stripe_fixture_event.json").read_bytes(), 0).ignored == 1
        for name in ("checkout.session", "payment_intent"):
            raw = json.loads((shared / "samples" / f"stripe_fixture_{name}.json").read_text())
            assert parse_stripe(event(f"{name}.completed", raw)).ignored == 1

    @pytest.mark.parametrize(
        "payer", [{"customer": None, "customer_account": "acct_9"}, {"customer": {"id": "acct_9", "object": "account"}}]
    )
    def test_a_charge_of_an_account_is_no_guests(self, payer: dict[str, object]) -> None:
        [purchase] = parse_stripe(event("charge.succeeded", charge(**payer))).purchases
        assert (purchase.customer_id, purchase.email) == ("acct_9", "")


def test_the_event_of_a_request_names_what_was_only_sent_along() -> None:
    after = customer(
        address={**dict.fromkeys(ADDRESS_PARTS), "line1": "1 St", "city": "Bonn"}, preferred_locales=["de"]
    )
    previous = {"address": {"city": "Ulm", "line2": "2nd floor"}, "preferred_locales": ["de", "fr"]}
    request = {"request": {"idempotency_key": "k"}}
    (found,) = parse_stripe(event("customer.updated", after, previous, **request)).events
    assert found.previous == {"city": "Ulm", "address.line2": "2nd floor", "preferred_locales.further": '["fr"]'}
    assert found.values == {"city": "Bonn", "address.line2": "", "preferred_locales.further": ""}
    (edit,) = parse_stripe(event("customer.updated", after, previous, request={"idempotency_key": None})).events
    assert (edit.previous, edit.values) == ({"city": "Ulm"}, {"city": "Bonn"})


def test_an_idempotency_key_of_another_program_is_not_kept_in_plain() -> None:
    """Programs make keys of addresses (docs.stripe.com/api/idempotent_requests warns of it)."""
    keys = ["jane@leak.example", "jane@leak.example", "joe@leak.example", "wane-u-cus_1-2", None]
    kept = [
        one_stripe(event("customer.updated", {"id": "cus_1"}, {}, request={"idempotency_key": key})).request_key
        for key in keys
    ]
    assert kept[0] == kept[1] != kept[2]
    assert kept[3:] == ["wane-u-cus_1-2", ""]
    assert "leak" not in "".join(kept)


def test_what_a_change_did_not_touch_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def note(_form: Form, raw: str) -> str:
        read.append(raw)
        return raw

    monkeypatch.setattr(Form, "read", note)
    counted = StripeEvents(FieldMap(FIELDS.specs), StripeAccount(livemode=False, portal="42"), key=b"k")
    request = {"idempotency_key": "shop-1"}
    element = event("customer.updated", customer(), {"name": "Bob"}, request=request)
    (found,) = counted.parse(json.dumps(element).encode(), 0).events
    assert found.record is not None
    assert (found.values, found.previous) == ({"name": "Ada"}, {"name": "Bob"})
    assert [read.count(raw) for raw in ("1 St", "Ulm", "boss", "Ada", "Bob")] == [1] * 5


NAMES_MAP = FieldMap((*FIELDS.specs, FieldSpec("person", ("person",), ("individual_name",))))
TEXT: st.SearchStrategy[object] = st.sampled_from(["Ada", "ada", " Bob ", "", None, 7, True, [], {}, "x\0"])
ATTRIBUTES: dict[str, st.SearchStrategy[object]] = {
    **dict.fromkeys(["email", "name", "phone", "business_name", "individual_name"], TEXT),
    "address": st.sampled_from([None, 5]) | st.dictionaries(st.sampled_from(ADDRESS_PARTS), TEXT),
    "preferred_locales": st.sampled_from([None, 5, ["x\0"]]) | st.lists(st.sampled_from(["de", "fr", None])),
    "metadata": st.sampled_from([None, 5]) | st.dictionaries(st.sampled_from(["job", "other"]), TEXT),
}


@given(
    st.fixed_dictionaries({}, optional=ATTRIBUTES),
    st.fixed_dictionaries({}, optional=ATTRIBUTES).filter(lambda previous: len(previous) < 4),
    st.sampled_from([None, "shop-1"]),
)
def test_a_change_is_the_difference_of_two_whole_customers(shown: Json, previous: Json, key: str | None) -> None:
    """Only what changed is read as it was; the outcome is that of reading the customer twice."""
    subject = customer(**shown)
    before = {**subject, **previous}
    for name in ("address", "metadata"):
        now, then = subject[name], previous.get(name)
        if isinstance(then, dict):
            before[name] = {**(now if isinstance(now, dict) else {}), **then}
    element = event("customer.updated", subject, previous, request={"idempotency_key": key})
    stripe = StripeEvents(NAMES_MAP, StripeAccount(livemode=False, portal="42"), key=b"k")
    parsed = stripe.parse(json.dumps(element).encode(), 0)
    if parsed.ignored:
        return
    try:
        halves = [_everything(raw, with_carry=key is not None) for raw in (before, subject)]
    except InvalidElement:
        assert (list(parsed.events), len(parsed.set_aside)) == ([], 1)
        return
    if parsed.set_aside:
        # The object of the event is checked as a whole.
        with pytest.raises(InvalidElement):
            read_carry(subject)
        return
    (found,) = parsed.events
    was, now = halves
    changed = {name for name in was.keys() & now.keys() if was[name] != now[name]}
    assert found.values == {name: now[name] for name in changed}
    assert found.previous == {name: was[name] for name in changed}


def _everything(raw: Json, *, with_carry: bool) -> dict[str, str]:
    carry = read_carry(raw) if with_carry else {}
    sent = {path: carry.get(path, "") for path in list_unmapped(NAMES_MAP)} if with_carry else {}
    return {**read_values(raw, NAMES_MAP).values, **sent}
