"""Sides and fields are paused and resumed by an operator."""

from __future__ import annotations

import pytest

from tests.support.core_builders import link
from tests.support.operators import ADA
from wanesync.core.change_guard import HeldValue
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.ops.pauses import pause_field, pause_sides, resume_field, resume_sides
from wanesync.store import Store
from wanesync.store.tables.operating.audit import AuditFilter
from wanesync.store.tables.settings import operator_pause

KNOWN = {"city", "phone"}


def journal(store: Store) -> list[tuple[str, str]]:
    with store.reading() as tx:
        return [(row.kind, str(row.side or "")) for row in reversed(tx.journal.latest(20))]


def test_a_side_is_paused_once_and_resumed_once(store: Store) -> None:
    pause_sides(store, list(Side), ADA)
    pause_sides(store, [Side.STRIPE], ADA)
    with store.reading() as tx:
        assert {*tx.pauses.get_all()} == {operator_pause(side) for side in Side}
    assert resume_sides(store, [Side.STRIPE], ADA) == [Side.STRIPE]
    assert resume_sides(store, [Side.STRIPE], ADA) == []
    assert resume_sides(store, list(Side), ADA) == [Side.HUBSPOT]
    assert sorted(journal(store)) == [
        ("paused", "hubspot"),
        ("paused", "stripe"),
        ("resumed", "hubspot"),
        ("resumed", "stripe"),
    ]


def test_who_paused_and_resumed_is_recorded(store: Store) -> None:
    pause_sides(store, [Side.STRIPE], ADA)
    resume_sides(store, [Side.STRIPE], ADA)
    pause_field(store, "city", KNOWN, ADA)
    resume_field(store, "city", KNOWN, ADA)
    with store.reading() as tx:
        assert {str(row.operator) for row in tx.journal.latest(20)} == {"ada (cli)"}
        actions = [(row.action, row.subject) for row in tx.audit.find(AuditFilter(operator="ada"), 10)]
    assert actions[1:] == [("field.pause", "city"), ("side.resume", "stripe"), ("side.pause", "stripe")]
    assert actions[0][0] == "hold.close"


def test_an_automatic_pause_is_not_resumed_by_an_operator(store: Store) -> None:
    store.run(lambda tx: tx.pauses.set("stripe", "it refuses the key", away=False, probe_at_ms=0))
    assert resume_sides(store, list(Side), ADA) == []
    with store.reading() as tx:
        assert "stripe" in tx.pauses.get_all()


def test_a_field_is_paused_by_a_hold_of_its_own(store: Store) -> None:
    assert pause_field(store, "city", KNOWN, ADA)
    assert not pause_field(store, "city", KNOWN, ADA), "it is paused already"
    with store.transaction() as tx:
        (hold,) = tx.holds.all()
        pair = link()
        tx.links.put(pair)
        tx.holds.put(pair.id, "city", HeldValue(Side.HUBSPOT, "Ulm", "Bonn", hold.id))
    assert resume_field(store, "city", KNOWN, ADA) == 1
    assert resume_field(store, "city", KNOWN, ADA) is None, "it is not paused any more"
    assert sorted(kind for kind, _ in journal(store)) == ["hold released", "paused"]


def test_an_unknown_field_is_refused_unless_it_is_still_paused(store: Store) -> None:
    for call in (pause_field, resume_field):
        with pytest.raises(ConfigError, match="field shoe_size: there is no such field; there are city, phone"):
            call(store, "shoe_size", KNOWN, ADA)
    pause_field(store, "shoe_size", {"shoe_size"}, ADA)
    assert resume_field(store, "shoe_size", KNOWN, ADA) == 0
