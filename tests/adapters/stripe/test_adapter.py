"""Stripe's side: what it makes of each answer, and customers to and from the wire."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest
import stripe as sdk
from hypothesis import given
from hypothesis import strategies as st

from tests.support.canned_server import CannedServer, Told, closed_port
from wanesync.adapters.http_answers import MAX_SKEW_MS
from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions, mode_of
from wanesync.adapters.stripe.customers import ADDRESS_PARTS, API_VERSION, read_customer, write_params
from wanesync.adapters.stripe.events import EVENT_TYPES
from wanesync.core.errors import CallError, ConfigError, Failure
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec

FIELDS = FieldMap((*DEFAULT_FIELDS, FieldSpec("job", ("jobtitle",), ("metadata.job",))))
CUSTOMER = {"id": "cus_1", "object": "customer", "created": 1_700_000_000, "email": "A@x.de", "metadata": {}}


def open_side(server: CannedServer | str) -> StripeAdapter:
    url = server if isinstance(server, str) else server.url
    return StripeAdapter(StripeOptions("sk_test_secret", url, portal="42"), FIELDS)


def ask(told: Told) -> CallError:
    with CannedServer(told) as server, pytest.raises(CallError) as raised:
        open_side(server).update_customer("cus_1", '{"phone": "1"}', "key")
    return raised.value


def problem(kind: str, code: str = "", param: str = "", message: str = "about ada@example.com") -> dict[str, object]:
    return {"error": {"type": kind, "code": code or None, "param": param or None, "message": message}}


INVALID = "invalid_request_error"
RETRY = "Stripe-Should-Retry"
LIMITED = {"Stripe-Rate-Limited-Reason": "endpoint-rate"}


@pytest.mark.parametrize(
    ("told", "failure", "scope"),
    [
        (Told(429, problem(INVALID, "rate_limit"), LIMITED), Failure.RATE_LIMITED, "endpoint-rate"),
        (Told(429, problem(INVALID, "rate_limit")), Failure.RATE_LIMITED, ""),
        (Told(429, problem(INVALID, "lock_timeout"), {RETRY: "true"}), Failure.BUSY, ""),
        (Told(409, problem("idempotency_error", "idempotency_key_in_use")), Failure.IN_FLIGHT, ""),
        (Told(400, problem("idempotency_error")), Failure.MISMATCH, ""),
        (Told(400, problem(INVALID, "email_invalid", "email")), Failure.REFUSED, ""),
        (Told(400, problem(INVALID), {RETRY: "true"}), Failure.BUSY, ""),
        (Told(402, problem("card_error", "card_declined")), Failure.REFUSED, ""),
        (Told(404, problem(INVALID, "resource_missing", "id")), Failure.NOT_FOUND, ""),
        (Told(404, problem(INVALID, "resource_missing", "source")), Failure.REFUSED, ""),
        (Told(404, problem(INVALID)), Failure.REFUSED, ""),
        (Told(404, b"<html>"), Failure.UNAVAILABLE, ""),
        (Told(401, problem(INVALID)), Failure.UNAUTHORISED, ""),
        (
            Told(403, problem(INVALID, message="Having the 'rak_customer_write' permission would allow this")),
            Failure.FORBIDDEN, "rak_customer_write",
        ),
        (Told(500, problem("api_error")), Failure.SERVER, ""),
        (Told(500, b"<html>"), Failure.SERVER, ""),
        (Told(502, b"<html>"), Failure.UNAVAILABLE, ""),
        (Told(503, problem("api_error")), Failure.UNAVAILABLE, ""),
        (Told(503, problem("api_error"), {RETRY: "false"}), Failure.SERVER, ""),
        (Told(504, b""), Failure.UNAVAILABLE, ""),
        (Told(302, b"", {"Location": "http://127.0.0.1:9/"}), Failure.UNAVAILABLE, ""),
        (Told(200, b"<html>"), Failure.NO_ANSWER, ""),
        (Told(200, b'{"id": "cus'), Failure.NO_ANSWER, ""),
        (Told(200, b"[]"), Failure.NO_ANSWER, ""),
        (Told(200, {"object": "list"}), Failure.NO_ANSWER, ""),
        (Told(200, CUSTOMER, cut=True), Failure.NO_ANSWER, ""),
        (Told(reset=True), Failure.NO_ANSWER, ""),
    ],
)  # fmt: skip
def test_the_error_table(told: Told, failure: Failure, scope: str) -> None:
    error = ask(told)
    assert (error.failure, error.scope) == (failure, scope)
    assert "ada@" not in str(error)
    assert "ada@" not in repr(error.__cause__)


def test_nobody_listening_is_unreached() -> None:
    with pytest.raises(CallError) as raised:
        open_side(closed_port()).read_customer("cus_1")
    assert raised.value.failure is Failure.UNREACHED


def test_nothing_is_repeated() -> None:
    for told in (Told(409, problem("api_error")), Told(503, b"", {RETRY: "true"}), Told(reset=True)):
        with CannedServer(told) as server:
            with pytest.raises(CallError):
                open_side(server).read_customer("cus_1")
            assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("param", "name"),
    [
        ("email", "email"), ("address[city]", "city"), ("metadata[job]", "job"), ("preferred_locales[0]", "language"),
        ("shipping[name]", "shipping[name]"), ("business_name", "company"),
    ],
)  # fmt: skip
def test_a_refused_parameter_is_named_as_our_field(param: str, name: str) -> None:
    assert ask(Told(400, problem(INVALID, "parameter_invalid", param))).fields == (name,)


def test_the_stored_body_makes_the_request() -> None:
    body = {"name": "Zoë & Co", "address": {"line1": "1", "city": ""}, "preferred_locales": ["de", "en"], "phone": ""}
    with CannedServer(Told(200, CUSTOMER)) as server:
        side = open_side(server)
        side.create_customer(json.dumps(body), "wane-c-42-7-0")
        side.create_customer(json.dumps(body), "wane-c-42-7-0")
        first, second = server.asked
    assert (
        first.body
        == second.body
        == (
            b"name=Zo%C3%AB+%26+Co&address[line1]=1&address[city]=&preferred_locales[0]=de&preferred_locales[1]=en&phone="
        )
    )
    assert first.headers["Idempotency-Key"] == "wane-c-42-7-0"
    assert first.headers["Stripe-Version"] == API_VERSION
    assert "X-Stripe-Client-Telemetry" not in second.headers


def test_an_answer_has_its_time_and_says_if_it_is_old() -> None:
    headers = {"Idempotent-Replayed": "true"}
    ticks = iter([10.0, 10.0, 10.25])
    with CannedServer(Told(200, CUSTOMER, headers)) as server:
        side = StripeAdapter(StripeOptions("sk_test_1", server.url), FIELDS, monotonic=lambda: next(ticks))
        answer = side.read_customer("cus_1")
    assert answer.replayed
    assert answer.timing.to_ms - answer.timing.from_ms == 999 + 250 + 2 * MAX_SKEW_MS
    assert answer.timing.to_ms % 1000 == 999


def test_deleted_and_missing_customers_are_none() -> None:
    with CannedServer(Told(200, {"id": "cus_1", "object": "customer", "deleted": True})) as server:
        assert open_side(server).read_customer("cus_1").record is None
    with CannedServer(Told(404, problem(INVALID, "resource_missing", "id"))) as server:
        assert open_side(server).read_customer("cus_1").record is None


def test_a_restricted_key_learns_its_account_from_the_refusal() -> None:
    message = (
        "The provided key 'rk_test_*' does not have the required permissions for this endpoint on account 'acct_1Ab'. "
        "Having the 'rak_account_read' permission would allow this request to continue."
    )
    with CannedServer(Told(403, problem(INVALID, message=message))) as server:
        account = open_side(server).account()
    assert (account.id, account.mode) == ("acct_1Ab", "test")
    with CannedServer(Told(403, problem(INVALID, message="no"))) as server, pytest.raises(CallError):
        open_side(server).account()


def test_the_mode_is_told_by_the_key() -> None:
    assert [mode_of(key) for key in ("sk_live_1", "rk_live_1", "sk_test_1", "rk_test_1")] == ["live"] * 2 + ["test"] * 2
    with pytest.raises(ConfigError):
        mode_of("pk_live_1")


def test_lists_ask_for_what_is_wanted() -> None:
    told = {"object": "list", "data": [CUSTOMER], "has_more": True}
    with CannedServer(Told(200, told), Told(200, {**told, "data": [], "has_more": False})) as server:
        side = open_side(server)
        page = side.list_customers("cus_0", 5, 9)
        events = side.list_events(7, "evt_1")
        paths = [unquote(asked.path) for asked in server.asked]
    assert page.next == "cus_1"
    assert events.next == ""
    assert paths[0] == "/v1/customers?limit=100&starting_after=cus_0&created[gte]=5&created[lte]=9"
    assert paths[1].startswith("/v1/events?limit=100&starting_after=evt_1&types[0]=customer.created")
    assert paths[1].count("types[") == len(EVENT_TYPES)


def test_the_version_is_the_sdks() -> None:
    assert sdk.api_version == API_VERSION


class TestWire:
    def test_ids_of_another_portal_do_not_count(self) -> None:
        metadata = {"hubspot_contact_id": "7", "hubspot_portal_id": "42"}
        assert read_customer({**CUSTOMER, "metadata": metadata}, FIELDS, "42").other_id == "7"
        assert read_customer({**CUSTOMER, "metadata": metadata}, FIELDS, "43").other_id == ""
        assert read_customer({**CUSTOMER, "metadata": {"hubspot_contact_id": "7"}}, FIELDS, "").other_id == ""

    @pytest.mark.parametrize(
        ("trace", "billed"),
        [({}, False), ({"currency": "eur"}, True), ({"balance": -5}, True), ({"next_invoice_sequence": 2}, True)],
    )
    def test_who_was_billed(self, trace: dict[str, object], billed: bool) -> None:
        assert (
            read_customer({**CUSTOMER, "next_invoice_sequence": 1, "balance": 0, **trace}, FIELDS, "").billed is billed
        )

    def test_an_address_goes_out_whole(self) -> None:
        current = read_customer({**CUSTOMER, "address": {"line1": "1 St", "line2": "b", "country": "DE"}}, FIELDS, "")
        assert write_params({"city": "Ulm", "street": ""}, current, FIELDS) == {
            "address": {"line1": "", "line2": "b", "city": "Ulm", "country": "DE"}
        }
        only_street = read_customer({**CUSTOMER, "address": {"line1": "1 St"}}, FIELDS, "")
        assert write_params({"street": ""}, only_street, FIELDS) == {"address": ""}

    def test_further_locales_stay(self) -> None:
        current = read_customer({**CUSTOMER, "preferred_locales": ["en", "fr", "de"]}, FIELDS, "")
        assert write_params({"language": "de"}, current, FIELDS) == {"preferred_locales": ["de", "fr"]}
        assert write_params({"language": ""}, current, FIELDS) == {"preferred_locales": ""}

    def test_a_creation_mentions_nothing_blank(self) -> None:
        values = dict.fromkeys(FIELDS.by_name, "") | {"name": "Ada", "job": "x"}
        assert write_params(values, None, FIELDS) == {"name": "Ada", "metadata": {"job": "x"}}

    @given(st.dictionaries(st.sampled_from(ADDRESS_PARTS), st.text("abc", max_size=2)), st.text("xy", max_size=2))
    def test_an_address_written_and_merged_or_replaced_reads_the_same(self, address: dict[str, str], city: str) -> None:
        current = read_customer({**CUSTOMER, "address": address}, FIELDS, "")
        written = write_params({"city": city}, current, FIELDS)["address"]
        parts = written if isinstance(written, dict) else {}
        merged = {} if written == "" else {**address, **parts}
        wanted = {**current.values, "city": city}
        for after in (merged, parts):
            assert read_customer({**CUSTOMER, "address": after}, FIELDS, "").values == wanted

    def test_the_fixture_of_a_customer(self, shared: Path) -> None:
        raw = json.loads((shared / "samples" / "stripe_fixture_customer.json").read_text())
        record = read_customer(raw, FIELDS, "42")
        assert record.id == raw["id"]
        assert record.created_ms == raw["created"] * 1000
        assert set(record.values) == set(FIELDS.by_name)

    def test_every_parameter_written_is_in_stripes_schema(self, shared: Path) -> None:
        spec = json.loads((shared / "specs" / "stripe-openapi-endive-from-sdk.json").read_text())
        values = dict.fromkeys(FIELDS.by_name, "x")
        for path, current in (
            ("/v1/customers", None),
            ("/v1/customers/{customer}", read_customer(CUSTOMER, FIELDS, "")),
        ):
            content = spec["paths"][path]["post"]["requestBody"]["content"]
            known = content["application/x-www-form-urlencoded"]["schema"]["properties"]
            assert set(write_params(values, current, FIELDS)) <= set(known)
