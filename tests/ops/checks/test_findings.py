"""The line of a finding, and its JSON."""

from __future__ import annotations

from wanesync.ops.checks.findings import State, count_states, fail, ok, warn


def test_a_finding_is_one_line_with_the_way_out() -> None:
    assert fail("disk", "is full", "make room").line == "disk: is full: make room"
    assert ok("disk", "has room").line == "disk: has room"
    assert warn("disk", "a", "b").as_json() == {"check": "disk", "state": "warn", "text": "a", "fix": "b"}


def test_states_are_counted_also_those_that_did_not_occur() -> None:
    assert count_states([ok("a", ""), fail("b", "", "")]) == {State.OK: 1, State.WARN: 0, State.FAIL: 1}
