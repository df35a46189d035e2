"""The live brake in a whole installation under a virtual clock: who is stopped, who is not, and the ways out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.simulation.play import Play
from tests.simulation.test_regressions import stage, updates_sent
from tests.support.operators import ADA
from wanesync.core.change_guard import ChangeGuardRule, HoldState
from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.model import Side
from wanesync.ops.holds import choose_holds, close_hold
from wanesync.ops.pauses import pause_field, resume_field
from wanesync.ops.status import read_status
from wanesync.store.tables.holds import HoldRow
from wanesync.store.tables.settings import operator_pause
from wanesync.sync.writes.writer import WRITES

IMPORT = "hubspot:IMPORT/importId:7"
MINUTE_MS = 60_000
Pairs = list[tuple[str, str]]


def town(play: Play, people: int, limit: int = 3) -> Pairs:
    """People who are the same on both sides, and a brake that stops a source after ``limit`` of them."""
    world = play.world
    world.change_guard = ChangeGuardRule(limit, 10 * MINUTE_MS, max_direction_changes=4)
    for process in list(world.processes):
        world.crash(process)  # its successor has the rule
    for number in range(people):
        values = {"email": f"p{number}@example.com", "company": "Old", "phone": "+49 30 1234567"}
        world.hubspot.edit("create", None, values, world.now)
    play.play()
    customers = {row["metadata.hubspot_contact_id"]: row["id"] for row in world.stripe.records()}
    assert len(customers) == people
    return sorted(customers.items(), key=lambda pair: int(pair[0]))


def import_all(play: Play, pairs: Sequence[tuple[str, str]], company: str, **more: str) -> None:
    """One file of values for all of them."""
    for contact_id, _ in pairs:
        play.world.hubspot.edit("import", contact_id, {"company": company, **more}, play.world.now)
    play.play()


def type_in(play: Play, side: Side, record_id: str, **values: str) -> None:
    """A person's edit; ``__`` in a name stands for a dot."""
    machine = play.world.hubspot if side is Side.HUBSPOT else play.world.stripe
    machine.edit("update", record_id, {n.replace("__", "."): v for n, v in values.items()}, play.world.now)
    play.play()


def companies(play: Play, pairs: Sequence[tuple[str, str]], side: Side = Side.STRIPE) -> list[str]:
    place = 1 if side is Side.STRIPE else 0
    return [play.world.facts.value((side, pair[place]), "company") for pair in pairs]


def holds(play: Play) -> list[HoldRow]:
    with play.world.store.reading() as tx:
        return tx.holds.all()


def conflicts(play: Play, kind: str) -> list[str]:
    with play.world.store.reading() as tx:
        return sorted(row.conflict.value for row in tx.conflicts.list(kind=kind))


def told(play: Play, kind: str) -> int:
    """How many entries of a kind the journal has."""
    with play.world.store.reading() as tx:
        return sum(entry.kind == kind for entry in tx.journal.latest(10_000))


def test_one_source_overwrites_so_many_people_and_no_more() -> None:
    with stage() as play:
        pairs = town(play, 8)
        import_all(play, pairs, "New")
        assert sorted(companies(play, pairs)) == ["New"] * 3 + ["Old"] * 5
        (hold,) = holds(play)
        assert (hold.source, hold.people, hold.fields) == (IMPORT, 5, 5)
        assert any("5 people are held" in alarm for alarm in read_status(play.world.store).alarms)
        assert told(play, "hold opened") == 1
        sent = updates_sent(play)
        assert play.world.list_all()
        play.play()
        assert updates_sent(play) == sent


def test_what_comes_later_from_a_stopped_source_is_held_too() -> None:
    with stage() as play:
        pairs = town(play, 8)
        import_all(play, pairs[:5], "New")
        import_all(play, pairs[5:], "Later")
        import_all(play, pairs[:5], "Newest")
        now = companies(play, pairs)
        assert sorted(now) == ["New"] * 3 + ["Old"] * 5
        assert holds(play)[0].people == 8


def test_other_sources_creations_and_blanks_pass() -> None:
    with stage() as play:
        pairs = town(play, 6)
        import_all(play, pairs, "New", city="Ulm")
        cities = [play.world.facts.value((Side.STRIPE, customer_id), "city") for _, customer_id in pairs]
        assert cities == ["Ulm"] * 6
        type_in(play, Side.HUBSPOT, pairs[5][0], phone="+49 30 7654321")
        assert play.world.facts.value((Side.STRIPE, pairs[5][1]), "phone").endswith("7654321")
        for number in range(10, 16):
            play.world.hubspot.edit("create", None, {"email": f"p{number}@example.com"}, play.world.now)
        play.play()
        assert len(play.world.stripe.records()) == 12


def test_a_persons_newer_value_passes_and_is_held_no_more() -> None:
    with stage() as play:
        pairs = town(play, 6)
        import_all(play, pairs, "New")
        stopped = [pair for pair, company in zip(pairs, companies(play, pairs), strict=True) if company == "Old"]
        type_in(play, Side.HUBSPOT, stopped[0][0], company="Typed")
        type_in(play, Side.STRIPE, stopped[1][1], business_name="Dashboard")
        assert companies(play, stopped) == ["Typed", "Dashboard", "Old"]
        assert companies(play, stopped, Side.HUBSPOT) == ["Typed", "Dashboard", "New"]
        assert holds(play)[0].people == 1
        assert conflicts(play, "held") == ["New"]


def test_release_writes_what_is_held_without_tripping_again() -> None:
    with stage() as play:
        pairs = town(play, 12)
        import_all(play, pairs, "New")
        (hold,) = choose_holds(play.world.store, "all", HoldState.RELEASED)
        assert close_hold(play.world.store, hold, HoldState.RELEASED, ADA) == 9
        play.play()
        assert companies(play, pairs) == ["New"] * 12
        assert holds(play) == []
        assert conflicts(play, "held") == []
        assert told(play, "hold released") == 1


def test_a_released_source_is_counted_anew() -> None:
    with stage() as play:
        pairs = town(play, 8)
        import_all(play, pairs, "New")
        close_hold(play.world.store, holds(play)[0], HoldState.RELEASED, ADA)
        play.play()
        import_all(play, pairs, "Newer")
        assert sorted(companies(play, pairs)) == ["New"] * 5 + ["Newer"] * 3
        assert [hold.people for hold in holds(play)] == [5]


def test_discard_leaves_the_other_side_as_it_was_for_good() -> None:
    with stage() as play:
        pairs = town(play, 8)
        import_all(play, pairs, "New")
        before = companies(play, pairs)
        sent = updates_sent(play)
        close_hold(play.world.store, holds(play)[0], HoldState.DISCARDED, ADA)
        play.play()
        assert play.world.list_all()
        play.play()
        assert companies(play, pairs) == before
        assert companies(play, pairs, Side.HUBSPOT) == ["New"] * 8
        assert updates_sent(play) == sent
        assert holds(play) == []
        assert conflicts(play, "held") == ["New"] * 5
        stopped = [pair for pair, company in zip(pairs, before, strict=True) if company == "Old"]
        type_in(play, Side.HUBSPOT, stopped[0][0], company="Typed")
        assert companies(play, stopped[:1]) == ["Typed"]


def test_a_discarded_source_reaches_no_further_people() -> None:
    with stage() as play:
        pairs = town(play, 8)
        import_all(play, pairs[:6], "New")
        close_hold(play.world.store, holds(play)[0], HoldState.DISCARDED, ADA)
        play.play()
        import_all(play, pairs[6:], "New")
        assert companies(play, pairs[6:]) == ["Old", "Old"]
        assert [hold.people for hold in holds(play)] == [2]


def test_the_window_moves_on() -> None:
    with stage() as play:
        pairs = town(play, 6)
        import_all(play, pairs[:3], "New")
        play.world.leap(play.world.now + 11 * MINUTE_MS)
        import_all(play, pairs[3:], "New")
        assert companies(play, pairs) == ["New"] * 6
        assert holds(play) == []


def test_while_writes_are_off_no_people_are_counted() -> None:
    with stage() as play:
        pairs = town(play, 6)
        play.world.store.run(lambda tx: tx.settings.put(WRITES, "off"))
        for contact_id, _ in pairs:
            play.world.hubspot.edit("import", contact_id, {"company": "New"}, play.world.now)
        for _ in range(300):
            play.step()
        assert companies(play, pairs) == ["Old"] * 6
        assert holds(play) == []


def test_customers_are_counted_by_their_field() -> None:
    with stage() as play:
        pairs = town(play, 6)
        for _, customer_id in pairs:
            play.world.stripe.edit("update", customer_id, {"business_name": "New"}, play.world.now)
        play.play()
        assert sorted(companies(play, pairs, Side.HUBSPOT)) == ["New"] * 3 + ["Old"] * 3
        assert [hold.source for hold in holds(play)] == ["stripe:company"]


def test_two_formatters_that_never_settle_are_stopped() -> None:
    with stage() as play:
        pairs = town(play, 2, limit=100)
        (contact_id, customer_id), other = pairs
        play.world.hubspot.edit("update", contact_id, {"company": "Acme 0"}, play.world.now)
        for turn in range(1, 40):
            play.play()
            now = companies(play, pairs[:1])[0]
            play.world.stripe.edit("update", customer_id, {"business_name": f"{now.upper()}{turn}"}, play.world.now)
            play.play()
            now = companies(play, pairs[:1], Side.HUBSPOT)[0]
            play.world.hubspot.edit("update", contact_id, {"company": f"{now.title()}{turn}"}, play.world.now)
        play.play()
        assert updates_sent(play) < 10
        (hold,) = holds(play)
        assert (hold.source, hold.kind, hold.people) == ("loop:company", "loop", 1)
        type_in(play, Side.HUBSPOT, other[0], company="Calm")
        assert companies(play, [other]) == ["Calm"]


def test_a_storm_of_edits_of_one_person_is_not_held() -> None:
    with stage() as play:
        pairs = town(play, 1)
        for number in range(30):
            type_in(play, Side.HUBSPOT, pairs[0][0], company=f"Version {number}")
        assert companies(play, pairs) == ["Version 29"]
        assert holds(play) == []


def test_a_paused_field_waits_until_it_is_resumed() -> None:
    with stage() as play:
        pairs = town(play, 2)
        assert pause_field(play.world.store, "company", {"company"}, ADA)
        assert not pause_field(play.world.store, "company", {"company"}, ADA)
        type_in(play, Side.HUBSPOT, pairs[0][0], company="New", phone="+49 30 7654321")
        type_in(play, Side.HUBSPOT, pairs[0][0], company="Newer")
        assert companies(play, pairs) == ["Old", "Old"]
        assert play.world.facts.value((Side.STRIPE, pairs[0][1]), "phone").endswith("7654321")
        assert resume_field(play.world.store, "company", {"company"}, ADA) == 1
        play.play()
        assert companies(play, pairs) == ["Newer", "Old"]
        assert resume_field(play.world.store, "company", {"company"}, ADA) is None
        with pytest.raises(ConfigError, match="no such field"):
            pause_field(play.world.store, "shoe_size", {"company"}, ADA)


def test_a_side_paused_by_an_operator_rests_until_it_is_resumed() -> None:
    with stage() as play:
        pairs = town(play, 1)
        name = operator_pause(Side.STRIPE)
        play.world.store.run(lambda tx: tx.pauses.set(name, "paused by an operator", away=False, probe_at_ms=0))
        play.world.hubspot.edit("update", pairs[0][0], {"company": "New"}, play.world.now)
        for _ in range(400):
            play.step()
        play.world.leap(play.world.now + 60 * MINUTE_MS)
        for _ in range(100):
            play.step()
        assert companies(play, pairs) == ["Old"]
        assert any("stripe is paused by an operator" in alarm for alarm in read_status(play.world.store).alarms)
        play.world.store.run(lambda tx: tx.pauses.clear(name))
        play.play()
        assert companies(play, pairs) == ["New"]


def test_a_hold_that_does_not_exist_is_said_so() -> None:
    with stage() as play, pytest.raises(NotFound, match="hold list"):
        choose_holds(play.world.store, "nonsense", HoldState.RELEASED)
