"""What the tracing of a journey counts, and what it leaves out. The tracing itself is ``tests.bench.trace_journey``."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.journey_recorder import COMMIT, RETURN, SLOT_COMMIT, STATEMENT, Recorder, Statements
from tests.bench.trace_journey import Round, Tally, choose_rounds

DOOR, PLAN, LOOK_UP, ROW = range(4)
FUNCTIONS = [("web", "door", 9), ("core", "plan", 9), ("store", "look_up", 1), ("session", "row", 9)]
MODULES = {
    "door": "from fake import table\n\ndef accept():\n    return [table.look_up(n) for n in (1, 2)]\n",
    "table": "from dataclasses import dataclass\n\n@dataclass\nclass Row:\n    n: int\n\n"
    "def look_up(n):\n    return Row(n)\n\ndef serve(work):\n    while (ready := work.get()) is not None:\n"
    "        ready()\n",
}


def turn(*events: int, began_ns: int = 0) -> Round:
    return Round(began_ns, began_ns + 10, [(began_ns + place, event) for place, event in enumerate(events)])


def test_calls_and_returns_between_two_modules_are_switches() -> None:
    tally = Tally(FUNCTIONS, [turn(DOOR, PLAN, RETURN, PLAN, LOOK_UP, RETURN, RETURN, RETURN)])
    assert tally.switches == 6
    assert tally.edges == {("web", "core"): 4, ("core", "store"): 2}
    assert [(row["module"], row["switches"], row["functions"]) for row in tally.list_modules()] == [
        ("web", 0, {"door": 1}),
        ("core", 4, {"plan": 2}),
        ("store", 2, {"look_up": 1}),
    ]


def test_calls_within_a_module_and_first_calls_of_a_loop_are_no_switches() -> None:
    tally = Tally(FUNCTIONS, [turn(PLAN, PLAN, RETURN, RETURN), turn(DOOR, RETURN)])
    assert (tally.switches, tally.calls.total(), list(tally.modules)) == (0, 3, ["core", "web"])


def test_commits_and_statements_are_counted_by_kind() -> None:
    tally = Tally(FUNCTIONS, [turn(DOOR, STATEMENT, COMMIT, STATEMENT, SLOT_COMMIT, STATEMENT, RETURN)])
    assert (tally.commits, tally.slot_commits, tally.statements) == (1, 1, 3)


def test_a_short_function_that_makes_one_call_elsewhere_is_a_hop_and_its_module_a_passage() -> None:
    tally = Tally(FUNCTIONS, [turn(PLAN, LOOK_UP, ROW, RETURN, RETURN, LOOK_UP, ROW, RETURN, RETURN, RETURN)])
    assert tally.list_hops() == [{"function": "store:look_up", "calls": 2, "to": ["session:row"]}]
    assert tally.list_passages() == ["store"]


def test_a_function_that_makes_two_calls_or_none_is_no_hop() -> None:
    twice = turn(LOOK_UP, ROW, RETURN, ROW, RETURN, RETURN)
    assert Tally(FUNCTIONS, [twice]).list_hops() == []
    assert Tally(FUNCTIONS, [turn(LOOK_UP, ROW, RETURN, RETURN), turn(LOOK_UP, RETURN)]).list_hops() == []


def test_the_tree_shows_each_call_at_its_depth_and_the_commits() -> None:
    journey = Round(0, 1, list(enumerate([DOOR, PLAN, COMMIT, RETURN, LOOK_UP, RETURN, RETURN])), "web")
    lines = ["[web]", "web:door", "  core:plan", "    COMMIT", "  store:look_up"]
    assert Tally(FUNCTIONS, [journey]).draw_tree().splitlines() == lines


def test_only_rounds_that_the_edit_led_to_are_of_the_journey() -> None:
    heartbeat = [turn(ROW, COMMIT, RETURN), turn(ROW, COMMIT, RETURN, began_ns=130)]
    request = turn(DOOR, COMMIT, RETURN, began_ns=110)
    polled = [turn(PLAN, RETURN), turn(PLAN, RETURN, began_ns=120), turn(PLAN, COMMIT, RETURN, began_ns=140)]
    late = turn(DOOR, RETURN, began_ns=170)
    threads = {"heart": heartbeat, "web": [request, late], "lane": polled, "rounds": [turn(ROW, COMMIT, began_ns=125)]}
    assert choose_rounds(threads, edited_ns=100) == [request, polled[2]]


def test_a_round_that_waited_stands_where_it_commits() -> None:
    waited = turn(*[PLAN, RETURN] * 10, ROW, COMMIT, RETURN, began_ns=105)
    request = turn(DOOR, RETURN, began_ns=110)
    assert choose_rounds({"committer": [turn(PLAN, RETURN), waited], "web": [request]}, 100) == [request, waited]


def test_flushed_commits_reads_and_slot_commits_are_told_apart() -> None:
    seen: list[int] = []
    normal, light = Statements(seen.append), Statements(seen.append)
    for statement in ("PRAGMA synchronous = FULL", "BEGIN", "SELECT 1", "COMMIT", "BEGIN IMMEDIATE", "COMMIT"):
        normal(statement)
    for statement in ("PRAGMA synchronous = NORMAL", "BEGIN IMMEDIATE", "COMMIT"):
        light(statement)
    assert seen == [STATEMENT, COMMIT, SLOT_COMMIT]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of two modules, and no profiler left behind."""
    package = tmp_path / "fake"
    package.mkdir()
    for name, text in MODULES.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = sys.getprofile()
    yield tmp_path
    sys.setprofile(before)
    threading.setprofile(before)
    for name in [name for name in sys.modules if name.partition(".")[0] == "fake"]:
        del sys.modules[name]


def test_the_recorder_follows_functions_of_the_package_only(fake: Path) -> None:
    door = importlib.import_module("fake.door")
    recorder = Recorder(fake, "fake")
    recorder.install()
    door.accept()
    recorder.begin()
    door.accept()
    trace = recorder.end()
    assert [(module, name) for module, name, _ in trace["functions"]] == [
        ("fake.door", "accept"),
        ("fake.table", "look_up"),
    ]
    [thread] = trace["threads"]
    [(_, _, events)] = thread["rounds"]
    # The list comprehension of 3.11 is a frame of its own, and counts for the function around it.
    assert [event for _, event in events] == [0, 0, 1, RETURN, 1, RETURN, RETURN, RETURN]
    assert Tally(trace["functions"], [Round(0, 1, events)]).switches == 4


def test_a_loop_that_runs_is_not_recorded_but_each_of_its_turns_is(fake: Path) -> None:
    door, table = importlib.import_module("fake.door"), importlib.import_module("fake.table")
    recorder = Recorder(fake, "fake")
    recorder.install()

    class Work:
        """Two turns; recording begins when the loop asks for the first one."""

        def __init__(self) -> None:
            self.left = 2

        def get(self) -> object:
            if self.left == 2:
                recorder.begin()
            self.left -= 1
            return door.accept if self.left >= 0 else None

    table.serve(Work())
    trace = recorder.end()
    assert [len(thread["rounds"]) for thread in trace["threads"]] == [2]
    assert {name for _, name, _ in trace["functions"]} == {"accept", "look_up", "serve"}
    assert all(event >= 0 for _, _, events in trace["threads"][0]["rounds"] for _, event in events[:1])
