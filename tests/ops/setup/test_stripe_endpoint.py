"""One endpoint at Stripe: created once, adopted, replaced, removed; never a second one."""

from __future__ import annotations

import pytest

from tests.support.setup_ports import VERSION, FakeStripe, add_endpoint
from wanesync.core.errors import CallError, ConfigError, Failure, NotFound
from wanesync.core.setup.setup_facts import Endpoint, EndpointWish
from wanesync.ops.setup.stripe_endpoint import MARK, Made, choose_removable, ensure_endpoint, make_wish

URL = "https://sync.example.com/webhooks/stripe"


@pytest.fixture
def wish() -> EndpointWish:
    return make_wish("https://sync.example.com/", ("customer.updated", "charge.succeeded"), VERSION, "17")


def test_what_is_needed_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        make_wish(None, (), VERSION, "")
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["server.public_url", "hubspot.portal_id"]


def test_it_is_created_once(wish: EndpointWish) -> None:
    stripe = FakeStripe()
    first = ensure_endpoint(stripe, wish, replace=False)
    assert (first.made, first.endpoint.url, first.endpoint.version) == (Made.CREATED, URL, VERSION)
    assert first.endpoint.secret
    again = ensure_endpoint(stripe, wish, replace=False)
    assert (again.made, again.endpoint.id, again.endpoint.secret) == (Made.KEPT, first.endpoint.id, "")
    assert len(stripe.endpoints) == 1


def test_a_creation_whose_answer_was_lost_is_asked_for_again_with_its_key(wish: EndpointWish) -> None:
    stripe = FakeStripe(lose=1)
    assert ensure_endpoint(stripe, wish, replace=False).endpoint.secret
    assert len(stripe.endpoints) == 1


def test_a_refused_creation_is_not_repeated(wish: EndpointWish) -> None:
    with pytest.raises(CallError):
        ensure_endpoint(FakeStripe(trouble={"create_endpoint": Failure.FORBIDDEN}), wish, replace=False)


def test_one_made_by_hand_is_adopted_by_its_address(wish: EndpointWish) -> None:
    stripe = FakeStripe()
    made = add_endpoint(stripe, f"{URL}/", ("*",), "2024-06-20", {"team": "billing"}, enabled=False)
    result = ensure_endpoint(stripe, wish, replace=False)
    assert (result.made, result.endpoint.id, result.old_version) == (Made.ADOPTED, made.id, "2024-06-20")
    assert result.endpoint.enabled
    assert result.endpoint.events == ("charge.succeeded", "customer.updated")
    assert result.endpoint.metadata == {"team": "billing", MARK: "17"}


def test_one_with_our_mark_follows_a_new_address(wish: EndpointWish) -> None:
    stripe = FakeStripe()
    made = add_endpoint(stripe, "https://old.example.com/webhooks/stripe", wish.events, VERSION, {MARK: "17"})
    assert ensure_endpoint(stripe, wish, replace=False).endpoint.url == URL
    assert list(stripe.endpoints) == [made.id]


def test_another_installation_is_left_alone(wish: EndpointWish) -> None:
    stripe = FakeStripe()
    other = add_endpoint(stripe, "https://other.example.com/webhooks/stripe", wish.events, VERSION, {MARK: "18"})
    assert ensure_endpoint(stripe, wish, replace=True).made is Made.CREATED
    assert other.id in stripe.endpoints
    with pytest.raises(ConfigError, match="not of this installation"):
        choose_removable(stripe, wish, other.id)


def test_a_replaced_one_has_a_new_secret_and_the_old_one_is_gone(wish: EndpointWish) -> None:
    stripe = FakeStripe()
    old = add_endpoint(stripe, URL, wish.events, "2024-06-20")
    result = ensure_endpoint(stripe, wish, replace=True)
    assert (result.made, result.endpoint.version) == (Made.REPLACED, VERSION)
    assert result.endpoint.secret
    assert old.id not in stripe.endpoints


def test_two_of_ours_are_for_the_operator_to_choose_from(wish: EndpointWish) -> None:
    stripe = FakeStripe()
    first, second = add_endpoint(stripe, URL), add_endpoint(stripe, URL)
    with pytest.raises(ConfigError, match=f"wanesync webhooks stripe remove {second.id}"):
        ensure_endpoint(stripe, wish, replace=False)
    assert choose_removable(stripe, wish, first.id) == first


def test_what_is_not_there_cannot_be_removed(wish: EndpointWish) -> None:
    for endpoint_id in (None, "we_9"):
        with pytest.raises(NotFound, match="stripe list shows all"):
            choose_removable(FakeStripe(), wish, endpoint_id)


def test_one_that_was_removed_an_hour_ago_is_made_anew(wish: EndpointWish) -> None:
    stripe = FakeStripe()
    first = ensure_endpoint(stripe, wish, replace=False).endpoint
    add_endpoint(stripe, "https://other.example.com/x")
    stripe.delete_endpoint(first.id)
    again = ensure_endpoint(stripe, wish, replace=False).endpoint
    assert again.id in stripe.endpoints
    assert again.secret


def test_two_runs_at_a_time_make_one_endpoint(wish: EndpointWish) -> None:
    class Blind(FakeStripe):
        """Shows no endpoint at the first look, as if another run had not come that far."""

        looks = 0

        def list_endpoints(self) -> list[Endpoint]:
            self.looks += 1
            return [] if self.looks in (1, 3) else list(self.endpoints.values())

    stripe = Blind()
    first, second = (ensure_endpoint(stripe, wish, replace=False).endpoint for _ in range(2))
    assert (first.id, first.secret) == (second.id, second.secret)
    assert len(stripe.endpoints) == 1


@pytest.mark.parametrize("replaced", [False, True])
def test_a_full_account_is_named(wish: EndpointWish, replaced: bool) -> None:
    stripe = FakeStripe()
    if replaced:
        ensure_endpoint(stripe, wish, replace=False)
    for number in range(16 - replaced):
        add_endpoint(stripe, f"https://other{number}.example.com/")
    with pytest.raises(ConfigError, match="Stripe keeps 16 endpoints, and all are taken"):
        ensure_endpoint(stripe, wish, replace=replaced)
    assert len(stripe.endpoints) == 16
