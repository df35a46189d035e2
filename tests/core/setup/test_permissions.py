"""The rights of both keys, by configuration."""

from __future__ import annotations

from wanesync.core.purchases import Sink
from wanesync.core.setup.permissions import (
    DEFINE_EVENTS,
    READ_RESOURCES,
    SEND_EVENTS,
    Need,
    list_permissions,
    list_scopes,
)


def test_scopes_of_custom_events_only_where_they_are_used() -> None:
    events = {DEFINE_EVENTS, SEND_EVENTS}
    assert events.isdisjoint(scope.name for scope in list_scopes(Sink.NOTE))
    assert {scope.need for scope in list_scopes(Sink.CUSTOM_EVENT) if scope.name in events} == {Need.ALWAYS}
    assert {scope.need for scope in list_scopes(None) if scope.name in events} == {Need.OPTIONAL}


def test_every_right_has_a_reason_and_a_restricted_key_few() -> None:
    assert all(right.reason for right in (*list_scopes(None), *list_permissions()))
    always = {right.name for right in list_permissions() if right.need is Need.ALWAYS}
    assert always == set(READ_RESOURCES.values())
