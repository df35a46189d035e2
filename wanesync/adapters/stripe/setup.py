"""What a set-up reads from Stripe, and the webhook endpoints of an account (``core.setup_facts.StripeSetupPort``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wanesync.adapters.json_values import mapping, rows, text
from wanesync.adapters.stripe.adapter import PAGE_SIZE, StripeAdapter
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side
from wanesync.core.ports import Account
from wanesync.core.setup.setup_facts import Endpoint, EndpointWish

ENDPOINTS = "/v1/webhook_endpoints"
NO_CUSTOMER = "cus_wanesync_doctor"
"""An id that Stripe gives to no customer."""
MAX_PAGES = 10
"""Pages of endpoints that are read (our choice): an account has at most 16 endpoints by default."""


class StripeSetup:
    """One account and mode, through an adapter of its own."""

    def __init__(self, adapter: StripeAdapter) -> None:
        self._adapter = adapter
        self._clock_ms = 0

    @property
    def clock_ms(self) -> int:
        """Stripe's clock at the newest answer: a restricted key gets none with its account."""
        return self._clock_ms

    def account(self) -> Account:
        """Return account id and mode."""
        return self._adapter.account()

    def may_read(self, resource: str) -> bool:
        """Return whether the key may list a resource: the cheapest read, which changes nothing."""
        try:
            self._clock_ms = self._adapter.call("get", f"/v1/{resource}", {"limit": 1}).timing.to_ms
        except CallError as error:
            if error.failure is Failure.FORBIDDEN:
                return False
            raise
        return True

    def may_write_customers(self) -> bool:
        """Return whether the key may write customers: whether Stripe misses the customer, or the permission."""
        try:
            self._adapter.call("post", f"/v1/customers/{NO_CUSTOMER}", {})
        except CallError as error:
            if error.failure not in (Failure.FORBIDDEN, Failure.NOT_FOUND):
                raise
            return error.failure is Failure.NOT_FOUND
        return True

    def list_endpoints(self) -> Sequence[Endpoint]:
        """Return every webhook endpoint, 100 a request."""
        found: list[Endpoint] = []
        for _ in range(MAX_PAGES):
            after = {"starting_after": found[-1].id} if found else {}
            reply = self._adapter.call("get", ENDPOINTS, {"limit": PAGE_SIZE, **after})
            page = [_read(mapping(raw)) for raw in rows(reply.body.get("data"))]
            found += page
            if reply.body.get("has_more") is not True or not page:
                break
        return found

    def create_endpoint(self, wish: EndpointWish, key: str) -> Endpoint:
        """Create an endpoint; the same key creates no second one."""
        made = self._adapter.call("post", ENDPOINTS, {**_params(wish), "api_version": wish.version}, key)
        return _read(made.body)

    def update_endpoint(self, endpoint_id: str, wish: EndpointWish) -> Endpoint:
        """Change address, events and metadata, and enable it."""
        return _read(
            self._adapter.call("post", f"{ENDPOINTS}/{endpoint_id}", {**_params(wish), "disabled": False}).body
        )

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint; one that is gone already is no error."""
        try:
            self._adapter.call("delete", f"{ENDPOINTS}/{endpoint_id}", {})
        except CallError as error:
            if error.failure is not Failure.NOT_FOUND:
                raise


def _params(wish: EndpointWish) -> dict[str, object]:
    return {"url": wish.url, "enabled_events": list(wish.events), "metadata": dict(wish.metadata)}


def _read(raw: Mapping[str, object]) -> Endpoint:
    endpoint_id = text(raw.get("id"))
    if not endpoint_id.startswith("we_"):
        raise CallError(Side.STRIPE, Failure.NO_ANSWER, "unreadable answer: not a webhook endpoint")
    return Endpoint(
        id=endpoint_id,
        url=text(raw.get("url")),
        enabled=raw.get("status") == "enabled",
        events=tuple(sorted(text(name) for name in rows(raw.get("enabled_events")))),
        version=text(raw.get("api_version")),
        metadata={name: text(value) for name, value in mapping(raw.get("metadata")).items()},
        secret=text(raw.get("secret")),
    )
