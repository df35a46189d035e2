"""A Stripe adapter against answers that a test sets."""

from __future__ import annotations

from tests.support.canned_server import CannedServer
from tests.support.network import ANY_ADDRESS
from wanesync.adapters.stripe.adapter import StripeAdapter, StripeOptions
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec

FIELDS = FieldMap((*DEFAULT_FIELDS, FieldSpec("job", ("jobtitle",), ("metadata.job",))))

CUSTOMER: dict[str, object] = {
    "id": "cus_1",
    "object": "customer",
    "created": 1_700_000_000,
    "email": "A@x.de",
    "metadata": {},
    **dict.fromkeys(("name", "phone", "business_name", "individual_name", "address")),
    "preferred_locales": [],
}
"""A customer as Stripe shows it: every attribute, null where it is blank."""


INVALID = "invalid_request_error"


def problem(kind: str, code: str = "", param: str = "", message: str = "about ada@example.com") -> dict[str, object]:
    return {"error": {"type": kind, "code": code or None, "param": param or None, "message": message}}


def open_side(server: CannedServer | str) -> StripeAdapter:
    url = server if isinstance(server, str) else server.url
    return StripeAdapter(StripeOptions("sk_test_secret", url, network=ANY_ADDRESS, portal="42", event_key=b"k"), FIELDS)


RETRY = "Stripe-Should-Retry"
