"""Signatures: published vectors, rotation, times, malformed input, a thousand tampers."""

from __future__ import annotations

import ast
import base64
import hashlib
import hmac
import inspect
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
import stripe
from hubspot.utils.signature import Signature

from wanesync.adapters import signatures
from wanesync.adapters.signatures import (
    ASK_INTERVAL_S,
    OVERLAP_S,
    HubSpotSignature,
    RenewableSignature,
    SignedRequest,
    StripeSignature,
)
from wanesync.core.errors import ConfigError, InvalidSignature

NOW_MS = 1_693_657_560_000
SECRET = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
# From the test suite of hubspot-api-client.
HUBSPOT = SignedRequest(
    "POST",
    "https://www.example.com/webhook_uri",
    {
        "X-HubSpot-Signature-v3": "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=",
        "X-HubSpot-Request-Timestamp": str(NOW_MS),
    },
    b"{'example_field':'example_value'}",
)
WHSEC = "whsec_test_secret"


def sign_stripe(body: bytes, at_s: int, *secrets: str) -> SignedRequest:
    signed = b"%d." % at_s + body
    marks = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    header = ",".join([f"t={at_s}", *(f"v1={mark}" for mark in marks), "v0=0000"])
    return SignedRequest("POST", "https://example.com/webhooks/stripe", {"stripe-signature": header}, body)


def sign_hubspot(url: str, signed_url: str) -> SignedRequest:
    text = b"POST" + signed_url.encode() + b"[]" + str(NOW_MS).encode()
    mark = base64.b64encode(hmac.new(SECRET.encode(), text, hashlib.sha256).digest()).decode()
    headers = {"x-hubspot-signature-v3": mark, "x-hubspot-request-timestamp": str(NOW_MS)}
    return SignedRequest("POST", url, headers, b"[]")


STRIPE = sign_stripe(b'{"id": "evt_1"}', NOW_MS // 1000, WHSEC)


def accepts(verifier: HubSpotSignature | StripeSignature, request: SignedRequest, now_ms: int = NOW_MS) -> bool:
    try:
        verifier.verify(request, now_ms)
    except InvalidSignature:
        return False
    return True


def with_headers(request: SignedRequest, **changes: str) -> SignedRequest:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return replace(request, headers=headers | {name.replace("_", "-"): value for name, value in changes.items()})


def test_the_published_vector_of_hubspot_verifies() -> None:
    assert accepts(HubSpotSignature([SECRET]), HUBSPOT)


def test_the_sdks_agree() -> None:
    header = STRIPE.headers["stripe-signature"]
    assert stripe.WebhookSignature.verify_header(STRIPE.body.decode(), header, WHSEC, tolerance=None)
    headers = HUBSPOT.headers
    made = Signature.get_signature(
        client_secret=SECRET, request_body=HUBSPOT.body.decode(), http_uri=HUBSPOT.url, http_method="POST",
        signature_version="v3", timestamp=headers["X-HubSpot-Request-Timestamp"],
    )  # fmt: skip
    assert made == headers["X-HubSpot-Signature-v3"]


def test_a_stripe_signature_verifies() -> None:
    assert accepts(StripeSignature([WHSEC]), STRIPE)


def test_both_secrets_count_during_a_rotation_and_only_they() -> None:
    assert accepts(HubSpotSignature(["new", SECRET]), HUBSPOT)
    assert not accepts(HubSpotSignature(["new"]), HUBSPOT)
    assert accepts(StripeSignature(["new", WHSEC]), STRIPE)
    assert accepts(StripeSignature(["new"]), sign_stripe(b"{}", NOW_MS // 1000, WHSEC, "new"))
    assert not accepts(StripeSignature(["new"]), STRIPE)


@pytest.mark.parametrize(("offset_s", "expected"), [(-301, False), (-299, True), (0, True), (299, True), (301, False)])
def test_five_minutes_into_the_past_and_the_future(offset_s: int, expected: bool) -> None:
    now_ms = NOW_MS - offset_s * 1000
    assert accepts(HubSpotSignature([SECRET]), HUBSPOT, now_ms) is expected
    assert accepts(StripeSignature([WHSEC]), STRIPE, now_ms) is expected


def test_hubspot_undoes_these_escapes_only() -> None:
    url = "https://h.example/a%3Ab%2Fc%3Fd%40e%21f%24g%27h%28i%29j%2Ak%2Cl%3Bm%20n%C3%A9%26"
    signed = "https://h.example/a:b/c?d@e!f$g'h(i)j*k,l;m%20n%C3%A9%26"
    assert accepts(HubSpotSignature([SECRET]), sign_hubspot(url, signed))
    assert not accepts(HubSpotSignature([SECRET]), sign_hubspot(url, url))


@pytest.mark.parametrize("secrets", [[], [""], ["a", ""]])
def test_without_a_secret_nothing_starts(secrets: list[str]) -> None:
    with pytest.raises(ConfigError):
        HubSpotSignature(secrets)
    with pytest.raises(ConfigError):
        StripeSignature(secrets)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"stripe-signature": ""},
        {"stripe-signature": "t=,v1=00"},
        {"stripe-signature": "t=1e9,v1=00"},
        {"stripe-signature": "t=-5,v1=00"},
        {"stripe-signature": "t=٣,v1=00"},
        {"stripe-signature": f"t={NOW_MS // 1000}"},
        {"stripe-signature": f"t={NOW_MS // 1000},v1=é"},
        {"stripe-signature": f"t={NOW_MS // 1000},t={NOW_MS // 1000},v1=00"},
        {"stripe-signature": f"t={NOW_MS // 1000}," + "v1=00," * 100},
        {"stripe-signature": ",=,==,"},
        {"x-hubspot-signature-v3": "x"},
        {"x-hubspot-request-timestamp": str(NOW_MS)},
        {"x-hubspot-request-timestamp": str(NOW_MS), "x-hubspot-signature-v3": "é\udcff"},
        {"x-hubspot-request-timestamp": "9" * 400, "x-hubspot-signature-v3": "x"},
        {"x-hubspot-request-timestamp": "Infinity", "x-hubspot-signature-v3": "x"},
        {"x-hubspot-signature": "v1", "x-hubspot-request-timestamp": str(NOW_MS)},
    ],
)
def test_malformed_headers_are_bad_signatures(headers: Mapping[str, str]) -> None:
    request = SignedRequest("POST", "https://example.com/", headers, b"{}")
    assert not accepts(StripeSignature([WHSEC]), request)
    assert not accepts(HubSpotSignature([SECRET]), request)


def test_older_signatures_of_hubspot_are_not_accepted() -> None:
    v2 = hashlib.sha256((SECRET + "POST" + HUBSPOT.url).encode() + HUBSPOT.body).hexdigest()
    assert not accepts(HubSpotSignature([SECRET]), with_headers(HUBSPOT, x_hubspot_signature_v3=v2))


def flip(text: bytes, rng: random.Random) -> bytes:
    position = rng.randrange(len(text))
    return text[:position] + bytes([text[position] ^ (1 << rng.randrange(8))]) + text[position + 1 :]


def tamper(request: SignedRequest, rng: random.Random) -> SignedRequest:
    choice = rng.randrange(6)
    if choice == 0:
        return replace(request, body=flip(request.body, rng))
    if choice == 1:
        return replace(request, body=request.body[: rng.randrange(len(request.body))])
    if choice == 2:
        return replace(request, body=request.body + rng.randbytes(rng.randint(1, 9)))
    name = rng.choice(list(request.headers))
    value = request.headers[name]
    if choice == 3:
        changed = flip(value.encode(), rng).decode("latin-1")
    elif choice == 4:
        changed = value[: rng.randrange(len(value))]
    else:
        changed = f"{value},{value}"
    return replace(request, headers={**request.headers, name: changed})


# Stripe's v0 and unknown parts are not signed: the seeded tampers leave them out.
@pytest.mark.parametrize(
    ("verifier", "request_"),
    [
        (HubSpotSignature([SECRET]), HUBSPOT),
        (
            StripeSignature([WHSEC]),
            replace(STRIPE, headers={"stripe-signature": STRIPE.headers["stripe-signature"].removesuffix(",v0=0000")}),
        ),
    ],
    ids=["hubspot", "stripe"],
)
def test_of_a_thousand_tampers_none_is_accepted(
    verifier: HubSpotSignature | StripeSignature, request_: SignedRequest
) -> None:
    rng = random.Random(7)
    assert accepts(verifier, request_)
    assert sum(accepts(verifier, tamper(request_, rng)) for _ in range(1000)) == 0


def test_method_and_address_are_signed_by_hubspot() -> None:
    verifier = HubSpotSignature([SECRET])
    assert not accepts(verifier, replace(HUBSPOT, method="PUT"))
    assert not accepts(verifier, replace(HUBSPOT, url=HUBSPOT.url + "?x=1"))
    assert not accepts(verifier, replace(HUBSPOT, url=HUBSPOT.url.replace("https", "http")))


def test_signatures_are_compared_in_constant_time_only() -> None:
    tree = ast.parse(inspect.getsource(signatures))
    compared = {
        name.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In)
        for name in ast.walk(node)
        if isinstance(name, ast.Name)
    }
    assert not compared & {"digest", "given", "told", "digests", "expected"}


# -- secrets that are replaced


class Rotating:
    """A manager with a webhook secret, the secret a process has read, and a clock."""

    def __init__(self) -> None:
        self.stored = self.read = ("whsec_one",)
        self.asked, self.now_s = 0, 0.0
        self.signature = RenewableSignature(StripeSignature, lambda: self.read, self.renew, lambda: self.now_s)

    def renew(self) -> None:
        self.asked += 1
        self.read = self.stored

    def accepts(self, secret: str) -> bool:
        try:
            self.signature.verify(sign_stripe(b"{}", NOW_MS // 1000, secret), NOW_MS)
        except InvalidSignature:
            return False
        return True


def test_a_signature_of_a_new_secret_is_looked_up_at_once() -> None:
    rotating = Rotating()
    rotating.stored = ("whsec_two",)
    assert rotating.accepts("whsec_one")
    assert rotating.asked == 0
    assert rotating.accepts("whsec_two")
    assert rotating.asked == 1


def test_a_replaced_secret_verifies_for_five_more_minutes() -> None:
    rotating = Rotating()
    rotating.stored = rotating.read = ("whsec_two",)
    assert rotating.accepts("whsec_one")
    assert rotating.accepts("whsec_two")
    rotating.now_s = OVERLAP_S
    assert not rotating.accepts("whsec_one")
    assert rotating.accepts("whsec_two")


def test_forged_signatures_do_not_ask_the_manager_each_time() -> None:
    rotating = Rotating()
    assert not any(rotating.accepts("whsec_forged") for _ in range(50))
    assert rotating.asked == 1
    rotating.now_s = ASK_INTERVAL_S
    assert not rotating.accepts("whsec_forged")
    assert rotating.asked == 2


def test_an_old_time_asks_for_nothing_and_a_fixed_secret_is_never_asked_for() -> None:
    rotating = Rotating()
    with pytest.raises(InvalidSignature):
        rotating.signature.verify(sign_stripe(b"{}", NOW_MS // 1000 - 1000, "whsec_one"), NOW_MS)
    assert rotating.asked == 0
    fixed = RenewableSignature(StripeSignature, lambda: ["whsec_one"])
    with pytest.raises(InvalidSignature):
        fixed.verify(sign_stripe(b"{}", NOW_MS // 1000, "whsec_two"), NOW_MS)
