"""Until when HubSpot supports the versions that are called."""

from __future__ import annotations

from datetime import UTC, datetime

from wanesync.core.setup.api_versions import NEWEST, UNSUPPORTED_FROM, USED, find_endings


def at(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


def test_v3_ends_with_its_associations_first() -> None:
    first, second = find_endings("v3", at("2026-11-30"))
    assert (first.version, first.days_left, first.is_near) == ("v4", 120, False)
    assert (second.version, str(second.ends)) == ("v3", "2027-09-01")


def test_an_end_is_near_two_months_before_and_ever_after() -> None:
    assert not find_endings("v3", at("2027-01-28"))[0].is_near
    assert find_endings("v3", at("2027-01-29"))[0].is_near
    assert find_endings("v3", at("2027-03-30"))[0].days_left == 0
    assert find_endings("v3", at("2028-01-01"))[0].is_near


def test_every_version_in_use_has_an_end() -> None:
    assert {version for used in USED.values() for version in used} == set(UNSUPPORTED_FROM)
    assert NEWEST in USED
    assert find_endings("", 0) == []
