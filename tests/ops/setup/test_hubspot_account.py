"""What a first set-up makes in HubSpot, and which steps come next."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.operators import ADA
from wanesync.ops.setup.hubspot_account import list_next_steps, prepare_hubspot
from wanesync.ops.writes import switch_writes
from wanesync.store import Store
from wanesync.sync.runtime import Runtime


class HubSpotAccount:
    """An account that has custom events or not, and what it was asked to prepare."""

    def __init__(self, *, has_events: bool) -> None:
        self.has_events = has_events

    def can_define_events(self) -> bool:
        return self.has_events

    def prepare(self, *, with_events: bool) -> list[str]:
        return ["properties", *(["event"] if with_events else [])]


@pytest.mark.parametrize(
    ("sink", "has_events", "made"),
    [
        ("auto", True, ["properties", "event"]),
        ("auto", False, ["properties"]),
        ("custom_event", False, ["properties", "event"]),
        ("note", True, ["properties"]),
    ],
)
def test_the_event_is_defined_where_purchases_need_it(sink: str, has_events: bool, made: list[str]) -> None:
    runtime = cast("Runtime", SimpleNamespace(hubspot=HubSpotAccount(has_events=has_events)))
    assert prepare_hubspot(runtime, sink) == made


def test_next_steps_are_those_that_are_not_done(store: Store) -> None:
    def commands(*, prepared: bool) -> list[str]:
        return [command for command, _ in list_next_steps(store, {}, prepared=prepared)]

    rest = ["wanesync diff", "wanesync up", "wanesync doctor"]
    assert commands(prepared=False) == ["wanesync init --hubspot", *rest, "wanesync writes on"]
    switch_writes(store, ADA, on=True)
    assert commands(prepared=True) == rest


def test_webhook_secrets_that_are_missing_have_their_commands(store: Store) -> None:
    steps = list_next_steps(store, {"stripe.webhook_secret": "secrets/hook"}, prepared=True)
    assert steps[0] == ("wanesync webhooks stripe create", "then secrets/hook holds its secret")
